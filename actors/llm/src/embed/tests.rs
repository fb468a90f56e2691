//! What the engine promises, with a real model.

use std::path::Path;

use llama_cpp_2::token::LlamaToken;
use megabrain_schemas::Capability;
use serde::Deserialize;

use super::*;
use crate::config::Config;
use crate::load::Native;
use crate::purpose::{Pooling, Purpose};
use crate::reading::Desk;
use crate::testing::{minilm, reranker, smollm2};

// One, so that a machine with other work to do does not make threads wait for each other.
const THREADS: usize = 1;

/// What the reference says of one text: `models/make_vectors.py` tells how it was asked.
#[derive(Deserialize)]
struct Expected {
    text: String,
    tokens: u32,
    vector: Vec<f32>,
}

fn expected() -> Vec<Expected> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/media/vectors.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn engine(change: impl FnOnce(&mut Config)) -> Desk<EmbedRequest> {
    let mut config = Config::of_weights(minilm());
    config.device = "ram".to_owned();
    change(&mut config);
    let native = Native::start(None, crate::devices::Cards::Load).unwrap();
    let loaded = native.load(&config, THREADS, |_| ()).unwrap();
    assert!(loaded.context.purpose().is_reading());
    Desk::new(native, loaded, &config)
}

fn request(texts: &[&str]) -> EmbedRequest {
    EmbedRequest { input: texts.iter().map(|&text| text.to_owned()).collect(), ..EmbedRequest::default() }
}

/// Reads until every request is done; the answers in the order of the requests.
fn answers(engine: &mut Desk<EmbedRequest>, requests: &[EmbedRequest]) -> Vec<Result<EmbedReply, Fault>> {
    let mut answers: Vec<_> = requests.iter().map(|_| None).collect();
    for (at, request) in requests.iter().enumerate() {
        assert_eq!(engine.reader.admit(request.clone().passages()), Some(at));
    }
    while !engine.reader.is_idle() {
        for (id, result) in engine.reader.step().results {
            let reply = result.and_then(|read| requests[id].reply(read));
            assert!(answers[id].replace(reply).is_none(), "one answer");
        }
    }
    answers.into_iter().map(Option::unwrap).collect()
}

fn answer(engine: &mut Desk<EmbedRequest>, request: EmbedRequest) -> Result<EmbedReply, Fault> {
    answers(engine, &[request]).remove(0)
}

fn vector(engine: &mut Desk<EmbedRequest>, text: &str) -> Vec<f32> {
    answer(engine, request(&[text])).unwrap().embeddings.remove(0)
}

fn cosine(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[test]
fn vectors_are_those_of_the_reference() {
    let mut engine = engine(|_| ());
    for expected in expected() {
        let reply = answer(&mut engine, request(&[&expected.text])).unwrap();
        let similar = cosine(&reply.embeddings[0], &expected.vector);
        assert_eq!(reply.usage.prompt_tokens, expected.tokens, "{}", expected.text);
        assert!(similar > 0.999, "{similar}: {}", expected.text);
        let norm = cosine(&reply.embeddings[0], &reply.embeddings[0]);
        assert!((norm - 1.0).abs() < 1e-5, "{norm}: {}", expected.text);
    }
}

#[test]
fn texts_and_requests_side_by_side_give_what_each_gives_alone() {
    let mut engine = engine(|_| ());
    let expected = expected();
    // More than fit into one step, twice, in two orders.
    let forth: Vec<&Expected> = expected.iter().cycle().take(100).collect();
    let back: Vec<&Expected> = forth.iter().rev().copied().collect();
    let texts = |order: &[&Expected]| request(&order.iter().map(|one| one.text.as_str()).collect::<Vec<_>>());
    let replies = answers(&mut engine, &[texts(&forth), texts(&back)]);
    for (reply, order) in replies.into_iter().zip([&forth, &back]) {
        let reply = reply.unwrap();
        assert_eq!(reply.embeddings.len(), order.len());
        assert_eq!(reply.usage.prompt_tokens, order.iter().map(|one| one.tokens).sum::<u32>());
        for (vector, one) in reply.embeddings.iter().zip(order) {
            assert!(cosine(vector, &one.vector) > 0.999, "{}", one.text);
        }
    }
}

#[test]
fn a_short_request_does_not_wait_for_all_texts_of_a_long_one() {
    let mut engine = engine(|_| ());
    let long = engine.reader.admit(request(&["the sea and the ships on it"; 2000]).passages()).unwrap();
    let short = engine.reader.admit(request(&["a berth"]).passages()).unwrap();
    let mut steps = 0;
    while steps < 5 {
        steps += 1;
        let ended = engine.reader.step().results;
        assert!(ended.iter().all(|(id, _)| *id != long));
        if ended.iter().any(|(id, result)| *id == short && result.is_ok()) {
            return;
        }
    }
    panic!("not read after {steps} steps");
}

#[test]
fn a_long_text_finds_its_step_while_short_ones_keep_coming() {
    let mut engine = engine(|_| ());
    let long = expected().pop().unwrap();
    engine.reader.admit(request(&["a berth"; 5000]).passages()).unwrap();
    let id = engine.reader.admit(request(&[&long.text]).passages()).unwrap();
    let mut steps = 0;
    while !engine.reader.step().results.iter().any(|(ended, _)| *ended == id) {
        steps += 1;
        assert!(steps < 20);
    }
}

#[test]
fn a_text_longer_than_the_context_is_refused_with_both_lengths() {
    let mut engine = engine(|_| ());
    for (words, told) in [(600, "input[1] has 602 tokens"), (3_000_000, "input[1] has at least ")] {
        let long = "word ".repeat(words);
        let fault = answer(&mut engine, request(&["short", &long, "after"])).unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert!(fault.message.starts_with(told) && fault.message.ends_with("context has 512"), "{fault}");
    }
    // The model reads on.
    assert!(answer(&mut engine, request(&["short"])).is_ok());
}

#[test]
fn truncate_reads_as_much_as_the_context_has() {
    let mut engine = engine(|config| config.context = Some(64));
    assert_eq!(engine.profile().context, Some(64));
    let text = |words: usize| (0..words).map(|word| format!("{} ", word % 10)).collect::<String>();
    // 62 words, and what the model expects before and after a text.
    let whole = vector(&mut engine, &text(62));
    for words in [63, 200, 1_000_000] {
        let cut = answer(&mut engine, EmbedRequest { truncate: true, ..request(&[&text(words)]) }).unwrap();
        assert_eq!(cut.usage.prompt_tokens, 64);
        assert!(cosine(&cut.embeddings[0], &whole) > 0.9999, "{words}");
    }
}

#[test]
fn marks_of_the_model_in_a_text_are_text() {
    let engine = engine(|_| ());
    let mut passages = request(&["[SEP]"]).passages();
    let mut reader = engine.reader;
    passages.next_length(reader.context()).unwrap();
    let separator = reader.context().model().vocab().sep();
    let tokens: Vec<LlamaToken> = passages.take_next();
    assert_eq!(tokens.iter().filter(|token| **token == separator).count(), 1, "the one at the end");
}

#[test]
fn a_dismissed_request_frees_its_slot_and_leaves_no_trace() {
    let mut engine = engine(|config| config.slots = 1);
    let alone = vector(&mut engine, "a berth");
    let id = engine.reader.admit(request(&["the sea"; 500]).passages()).unwrap();
    assert_eq!(engine.reader.admit(request(&["a berth"]).passages()), None);
    engine.reader.step();
    engine.reader.dismiss(id);
    assert!(engine.reader.is_idle());
    assert!(cosine(&vector(&mut engine, "a berth"), &alone) > 0.9999);
}

#[test]
fn any_language_model_makes_vectors_if_it_is_asked_to() {
    let mut engine = engine(|config| {
        config.weights.model = smollm2();
        config.embedding = Some(true);
        config.context = Some(256);
    });
    let texts = ["The cat sleeps.", "A cat is sleeping.", "Shares fell on Monday after the bank's report."];
    let together = answer(&mut engine, request(&texts)).unwrap();
    let [cat, same, other] = together.embeddings.as_slice() else { panic!("three vectors") };
    assert!(cosine(cat, same) > cosine(cat, other));
    // By the hundred in both orders: nothing is left over from step to step.
    let many = answer(&mut engine, request(&texts.repeat(40))).unwrap();
    assert!(many.embeddings.iter().zip(texts.iter().cycle()).all(|(vector, text)| {
        let alone = texts.iter().position(|one| one == text).map(|at| &together.embeddings[at]).unwrap();
        cosine(vector, alone) > 0.999
    }));
}

#[test]
fn a_setting_that_the_model_cannot_keep_is_a_load_error() {
    let native = Native::start(None, crate::devices::Cards::Load).unwrap();
    let refuse = |change: &dyn Fn(&mut Config), word: &str| {
        let mut config = Config::of_weights(minilm());
        config.device = "ram".to_owned();
        change(&mut config);
        let error = native.load(&config, 1, |_| ()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    };
    refuse(&|config| config.embedding = Some(false), "`embedding`");
    refuse(&|config| config.context = Some(1024), "at most 512 tokens");
}

#[test]
fn the_profile_tells_capability_device_and_context() {
    let engine = engine(|_| ());
    let profile = engine.profile();
    assert_eq!(profile.capabilities, [Capability::of::<EmbedRequest>()]);
    assert_eq!((profile.device.as_deref(), profile.slots, profile.context), (Some("ram"), 4, Some(512)));
    let bytes = profile.device_memory_bytes.unwrap();
    assert!((40_000_000..400_000_000).contains(&bytes), "{bytes}");
}

#[test]
fn vectors_that_no_answer_has_room_for_are_refused_before_they_are_computed() {
    let check = |texts: usize, codec| request(&vec!["a"; texts]).check_room(384, codec, 8 << 20);
    assert!(check(2000, Codec::MessagePack).is_ok());
    let fault = check(5000, Codec::MessagePack).unwrap_err();
    assert_eq!(fault.kind, FaultKind::TooLarge);
    assert!(fault.message.contains("5000") && fault.message.contains("4369"), "{fault}");
    assert!(check(3000, Codec::Json).is_err());
}

#[test]
fn vectors_are_of_length_one_and_one_without_direction_is_refused() {
    assert_eq!(to_unit(vec![3.0, -4.0]).unwrap(), [0.6, -0.8]);
    for useless in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
        assert!(to_unit(useless.to_vec()).is_err());
    }
}

#[test]
fn a_file_tells_what_its_model_is_for() {
    let native = Native::start(None, crate::devices::Cards::Load).unwrap();
    let of = |weights| {
        let config = Config { device: "ram".to_owned(), ..Config::of_weights(weights) };
        native.load(&config, 1, |_| ()).unwrap().context.purpose()
    };
    assert_eq!(of(minilm()), Purpose::Embed(Pooling::Own));
    assert_eq!(of(smollm2()), Purpose::Chat);
    assert_eq!(of(reranker()), Purpose::Rerank);
}
