//! Does every parameter of sampling have its effect, from the request to the model's words?

use super::*;

const STORY: &str = "Tell a long story about the sea.";

fn text(engine: &mut Chat, change: impl FnOnce(&mut ChatRequest)) -> String {
    let mut request = ChatRequest { seed: Some(7), ..ask(STORY) };
    change(&mut request);
    answer(engine, request).0
}

#[test]
fn what_keeps_only_the_likeliest_makes_a_hot_answer_the_greedy_one() {
    let mut engine = engine(|_| ());
    let greedy = text(&mut engine, |_| ());
    let hot = |request: &mut ChatRequest| (request.temperature, request.top_p) = (Some(2.0), Some(1.0));
    assert_ne!(text(&mut engine, hot), greedy);
    for narrow in [
        |request: &mut ChatRequest| request.top_k = Some(1),
        |request: &mut ChatRequest| request.min_p = Some(1.0),
        |request: &mut ChatRequest| request.top_p = Some(0.0),
    ] {
        let narrowed = text(&mut engine, |request| {
            hot(request);
            narrow(request);
        });
        assert_eq!(narrowed, greedy);
    }
}

#[test]
fn penalties_change_what_is_said_again() {
    let mut engine = engine(|_| ());
    let long = |request: &mut ChatRequest| request.max_tokens = Some(100);
    let greedy = text(&mut engine, long);
    for penalize in [
        |request: &mut ChatRequest| request.presence_penalty = Some(2.0),
        |request: &mut ChatRequest| request.frequency_penalty = Some(2.0),
        |request: &mut ChatRequest| request.repeat_penalty = Some(1.5),
    ] {
        let penalized = text(&mut engine, |request| {
            long(request);
            penalize(request);
        });
        assert_ne!(penalized, greedy);
    }
    let unchanged = text(&mut engine, |request| {
        long(request);
        (request.presence_penalty, request.frequency_penalty) = (Some(0.0), Some(0.0));
        (request.repeat_penalty, request.n) = (Some(1.0), Some(1));
    });
    assert_eq!(unchanged, greedy);
}

#[test]
fn a_bias_forbids_a_token_and_an_unknown_one_is_refused_by_its_number() {
    let mut engine = engine(|_| ());
    let greedy = text(&mut engine, |_| ());
    let vocabulary = engine.batcher.context().vocabulary();
    let first = engine.batcher.context().model().vocab().tokenize(greedy.as_bytes(), false, false)[0];
    let otherwise = text(&mut engine, |request| {
        request.logit_bias = [(first.0.to_string(), -100.0)].into();
    });
    assert_ne!(otherwise.chars().next(), greedy.chars().next(), "{otherwise}");
    let request = ChatRequest { logit_bias: [(vocabulary.to_string(), 1.0)].into(), ..ask(STORY) };
    let fault = engine.task(&request).unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest);
    assert!(fault.message.contains(&format!("`logit_bias.{vocabulary}`")), "{fault}");
}
