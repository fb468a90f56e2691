//! What the engine promises, with a real model.

use megabrain_schemas::{FaultKind, FinishReason, Message};

use super::*;
use crate::testing::{smollm2, smollm2_experts};

mod forms;
mod sampled;
mod tools;

// One, so that a machine with other work to do does not make threads wait for each other.
const THREADS: usize = 1;

fn engine(change: impl FnOnce(&mut Config)) -> Chat {
    engine_of(smollm2(), change)
}

fn engine_of(weights: std::path::PathBuf, change: impl FnOnce(&mut Config)) -> Chat {
    let mut config = Config::of_weights(weights);
    config.device = "ram".to_owned();
    config.context = Some(512);
    config.temperature = 0.0;
    change(&mut config);
    let native = Native::start(None, crate::devices::Cards::Load).unwrap();
    let loaded = native.load(&config, THREADS, |_| ()).unwrap();
    Chat::new(native, loaded, config, Name::sanitized("test"), || ()).unwrap()
}

fn ask(text: &str) -> ChatRequest {
    ChatRequest { messages: vec![Message::user(text)], max_tokens: Some(32), ..ChatRequest::default() }
}

/// Computes until everything admitted is done; the texts in the order of the requests.
fn answers(engine: &mut Chat, requests: &[ChatRequest]) -> Vec<(String, FinishReason, u32)> {
    let mut texts = vec![(String::new(), None, 0); requests.len()];
    for (at, request) in requests.iter().enumerate() {
        let (task, _) = engine.task(request).unwrap();
        assert_eq!(engine.batcher.admit(task), Some(at));
    }
    while !engine.batcher.is_idle() {
        for (id, result) in engine.batcher.step() {
            let output = result.unwrap();
            let text = &mut texts[id];
            text.0.push_str(&output.text);
            text.1 = output.finish;
            text.2 += output.tokens;
        }
    }
    texts.into_iter().map(|(text, finish, tokens)| (text, finish.unwrap(), tokens)).collect()
}

fn answer(engine: &mut Chat, request: ChatRequest) -> (String, FinishReason, u32) {
    answers(engine, &[request]).remove(0)
}

#[test]
fn it_answers_and_stops_by_itself() {
    let mut engine = engine(|_| ());
    let (text, finish, tokens) = answer(&mut engine, ask("What is the capital of France? Answer in one word."));
    assert!(text.contains("Paris"), "{text}");
    assert_eq!(finish, FinishReason::Stop);
    assert!(tokens > 0 && tokens < 32);
}

#[test]
fn conversations_side_by_side_say_what_each_says_alone() {
    let mut engine = engine(|_| ());
    let requests: Vec<ChatRequest> =
        ["Name a fruit.", "What is 2 plus 2?", "Say hello to my old friend, the long-haired dog of the neighbour."]
            .map(ask)
            .into();
    let alone: Vec<_> = requests.iter().map(|request| answer(&mut engine, request.clone())).collect();
    assert_eq!(answers(&mut engine, &requests), alone);
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let mut engine = engine(|_| ());
    let mut once = |seed| {
        let request = ChatRequest { temperature: Some(1.0), seed: Some(seed), ..ask("Tell a story.") };
        answer(&mut engine, request).0
    };
    let (first, second, other) = (once(7), once(7), once(8));
    assert_eq!(first, second);
    assert_ne!(first, other);
}

#[test]
fn a_stop_text_ends_the_answer_and_is_not_in_it() {
    let mut engine = engine(|_| ());
    let whole = answer(&mut engine, ask("Count from one to ten in words.")).0;
    let stop: String = whole.chars().skip(10).take(7).collect();
    let request = ChatRequest { stop: vec![stop.clone()], ..ask("Count from one to ten in words.") };
    let (text, finish, _) = answer(&mut engine, request);
    assert_eq!(Some(text.as_str()), whole.split(&stop).next());
    assert_eq!(finish, FinishReason::Stop);
}

#[test]
fn max_tokens_and_a_full_context_end_with_length() {
    let mut engine = engine(|config| config.context = Some(256));
    let request = ChatRequest { max_tokens: Some(5), ..ask("Tell a long story.") };
    let (_, finish, tokens) = answer(&mut engine, request);
    assert_eq!((finish, tokens), (FinishReason::Length, 5));

    let request = ChatRequest { max_tokens: Some(1000), ..ask("Write a very long story about the sea.") };
    let prompt = engine.task(&request).unwrap().0.prompt.len();
    let (_, finish, tokens) = answer(&mut engine, request);
    assert_eq!(finish, FinishReason::Length);
    assert_eq!(prompt + tokens as usize, 256 + 1, "the last token needs no room");
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_both_lengths() {
    let mut engine = engine(|config| config.context = Some(256));
    for words in [300, 3_000_000] {
        let fault = engine.task(&ask(&"word ".repeat(words))).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert!(fault.message.contains("256") && fault.message.contains("tokens"), "{fault}");
    }
}

#[test]
fn a_dismissed_conversation_leaves_room_and_no_trace() {
    let mut engine = engine(|config| config.slots = 1);
    let expected = answer(&mut engine, ask("Name a fruit."));
    let task = engine.task(&ask("Tell a very long story about a dragon.")).unwrap().0;
    let id = engine.batcher.admit(task).unwrap();
    let second = engine.task(&ask("Name a fruit.")).unwrap().0;
    assert_eq!(engine.batcher.admit(second), None);
    for _ in 0..5 {
        engine.batcher.step();
    }
    engine.batcher.dismiss(id);
    assert!(engine.batcher.is_idle());
    assert_eq!(answer(&mut engine, ask("Name a fruit.")), expected);
}

#[test]
fn an_answer_goes_on_while_a_long_prompt_is_read() {
    let mut engine = engine(|config| config.context = Some(2048));
    let answer = engine.task(&ChatRequest { max_tokens: Some(200), ..ask("Tell a very long story.") }).unwrap().0;
    let answering = engine.batcher.admit(answer).unwrap();
    while engine.batcher.step().is_empty() {}

    let long = engine.task(&ask(&"The quick brown fox jumps over the lazy dog. ".repeat(150))).unwrap().0;
    assert!(long.prompt.len() > 1500);
    let reading = engine.batcher.admit(long).unwrap();
    let mut steps = 0;
    loop {
        let gave: Vec<usize> = engine.batcher.step().into_iter().map(|(id, _)| id).collect();
        steps += 1;
        if gave.contains(&reading) {
            break;
        }
        assert_eq!(gave, [answering], "every step gives the answer a token");
    }
    assert!(steps > 3, "the prompt was read in {steps} steps");
}

#[test]
fn a_step_has_room_for_a_chunk_of_a_prompt_beside_every_answer() {
    // The fewest prompt tokens that a step takes are more than this batch has left beside fifteen answers.
    let mut engine = engine(|config| (config.batch, config.slots, config.context) = (16, 16, Some(256)));
    let answers = 15;
    for _ in 0..answers {
        let answer = engine.task(&ChatRequest { max_tokens: Some(200), ..ask("Tell a very long story.") }).unwrap().0;
        engine.batcher.admit(answer).unwrap();
    }
    while engine.batcher.step().len() < answers {}

    let long = engine.task(&ask(&"The quick brown fox jumps over the lazy dog. ".repeat(10))).unwrap().0;
    let reading = engine.batcher.admit(long).unwrap();
    loop {
        let results = engine.batcher.step();
        assert!(results.iter().all(|(_, result)| result.as_ref().is_ok_and(|output| output.finish.is_none())));
        if results.iter().any(|(id, _)| *id == reading) {
            assert_eq!(results.len(), answers + 1);
            break;
        }
        assert_eq!(results.len(), answers, "every step gives every answer a token");
    }
}

#[test]
fn threads_change_between_steps() {
    let mut engine = engine(|_| ());
    let expected = answer(&mut engine, ask("Name a fruit."));
    engine.set_threads(2);
    assert_eq!(answer(&mut engine, ask("Name a fruit.")), expected);
    engine.set_threads(0);
    assert_eq!(answer(&mut engine, ask("Name a fruit.")), expected);
}

#[test]
fn the_profile_tells_device_and_memory() {
    let profile = engine(|_| ()).profile();
    assert_eq!(profile.device.as_deref(), Some("ram"));
    assert_eq!((profile.slots, profile.context), (4, Some(512)));
    let bytes = profile.device_memory_bytes.unwrap();
    assert!((100_000_000..1_000_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn a_mixture_of_experts_answers_with_its_experts_in_ram() {
    let mut engine = engine(|config| {
        config.weights.model = smollm2_experts();
        config.experts = crate::config::Experts::Ram;
    });
    let (text, ..) = answer(&mut engine, ask("What is the capital of France? Answer in one word."));
    assert!(text.contains("Paris"), "{text}");
}

#[test]
fn an_unknown_device_and_a_file_that_is_no_model_are_load_errors() {
    let native = Native::start(None, crate::devices::Cards::Load).unwrap();
    let mut config = Config::of_weights(smollm2());
    config.device = "cuda7".to_owned();
    let error = native.load(&config, 1, |_| ()).unwrap_err();
    assert!(matches!(&error, LoadError::Config(text) if text.contains("ram")), "{error}");

    let folder = tempfile::tempdir().unwrap();
    config = Config::of_weights(folder.path().join("model.gguf"));
    config.device = "ram".to_owned();
    let whole = std::fs::read(smollm2()).unwrap();
    std::fs::write(&config.weights.model, &whole[..whole.len() - 1]).unwrap();
    let error = native.load(&config, 1, |_| ()).unwrap_err();
    assert!(matches!(&error, LoadError::Weights(text) if text.contains("cut short")), "{error}");
}
