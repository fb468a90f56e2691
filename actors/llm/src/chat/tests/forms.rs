//! Is an answer held to its form, by a real model that would say something else, and does a neighbour suffer?

use std::time::{Duration, Instant};

use megabrain_schemas::{JsonSchemaFormat, ResponseFormat};
use serde_json::{Value, json};

use super::*;
use crate::testing::qwen;

fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 20},
            "age": {"type": "integer", "minimum": 0, "maximum": 150},
            "likes": {"type": "array", "items": {"enum": ["sea", "sun", "wind"]}, "minItems": 1, "maxItems": 3},
            "address": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"], "additionalProperties": false}]},
        },
        "required": ["name", "age", "likes", "address"],
        "additionalProperties": false,
    })
}

fn form(schema: Value) -> Option<ResponseFormat> {
    let json_schema = JsonSchemaFormat { name: None, description: None, schema, strict: Some(true) };
    Some(ResponseFormat::JsonSchema { json_schema })
}

#[test]
fn an_answer_keeps_to_its_schema_however_random_it_is() {
    for weights in [smollm2(), qwen()] {
        let mut engine = engine_of(weights, |_| ());
        for (seed, temperature) in [(1, 0.0), (2, 1.0), (3, 2.0), (4, 2.0)] {
            let request = ChatRequest {
                response_format: form(person()),
                temperature: Some(temperature),
                top_p: Some(1.0),
                seed: Some(seed),
                max_tokens: Some(300),
                ..ask("Tell a story about the sea. Do not use JSON.")
            };
            let (text, finish, _) = answer(&mut engine, request);
            assert_eq!(finish, FinishReason::Stop, "{text}");
            let answer: Value = serde_json::from_str(&text).unwrap();
            let keys: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(keys, ["name", "age", "likes", "address"], "in the order of the schema");
            assert!((0..=150).contains(&answer["age"].as_i64().unwrap()), "{answer}");
            let likes = answer["likes"].as_array().unwrap();
            assert!((1..=3).contains(&likes.len()), "{answer}");
            assert!(likes.iter().all(|like| ["sea", "sun", "wind"].contains(&like.as_str().unwrap())), "{answer}");
            assert!(answer["name"].as_str().unwrap().chars().count() <= 20, "{answer}");
        }
    }
}

#[test]
fn a_json_object_and_a_grammar_are_kept_to() {
    let mut engine = engine_of(qwen(), |_| ());
    let request = ChatRequest {
        response_format: Some(ResponseFormat::JsonObject {}),
        max_tokens: Some(200),
        ..ask("Name the capital of France and of Italy, as JSON with the keys france and italy.")
    };
    let (text, finish, _) = answer(&mut engine, request);
    assert_eq!(finish, FinishReason::Stop, "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["france"], "Paris");

    let grammar = "root ::= \"Answer: \" (\"yes\" | \"no\") \".\"".to_owned();
    let request = ChatRequest { grammar: Some(grammar), ..ask("Is water wet? Explain.") };
    let (text, finish, tokens) = answer(&mut engine, request);
    assert!(["Answer: yes.", "Answer: no."].contains(&text.as_str()), "{text}");
    assert_eq!(finish, FinishReason::Stop);
    assert!(tokens < 10, "nothing is computed once nothing can follow");
}

#[test]
fn what_is_wrong_with_a_form_is_told_before_a_sequence_is_taken() {
    let mut engine = engine(|_| ());
    let request = ChatRequest { response_format: form(json!(false)), ..ask("Hi") };
    let fault = engine.task(&request).unwrap_err();
    assert_eq!(fault.kind, FaultKind::InvalidRequest, "{fault}");
    assert!(engine.batcher.is_idle());
}

/// Tokens per second of each of two sequences side by side, until the first ends.
fn speeds(engine: &mut Chat, requests: [&ChatRequest; 2]) -> [f64; 2] {
    let ids = requests.map(|request| {
        let (task, _) = engine.task(request).unwrap();
        engine.batcher.admit(task).unwrap()
    });
    let mut tokens = [0, 0];
    while tokens.contains(&0) {
        for (id, result) in engine.batcher.step() {
            tokens[ids.iter().position(|known| *known == id).unwrap()] += result.unwrap().tokens;
        }
    }
    let (began, before) = (Instant::now(), tokens);
    'all: loop {
        for (id, result) in engine.batcher.step() {
            let output = result.unwrap();
            tokens[ids.iter().position(|known| *known == id).unwrap()] += output.tokens;
            if output.finish.is_some() {
                break 'all;
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    for id in ids {
        engine.batcher.dismiss(id);
    }
    [0, 1].map(|which| f64::from(tokens[which] - before[which]) / seconds)
}

#[test]
fn an_answer_with_a_form_does_not_slow_its_neighbour_unduly() {
    let story = ChatRequest { max_tokens: Some(100), ..ask("Tell a long story about the sea.") };
    let list = json!({"type": "array", "minItems": 40, "items": {"type": "object", "properties": {"word": {"type": "string"}, "length": {"type": "integer"}}, "required": ["word", "length"], "additionalProperties": false}});
    let held = ChatRequest { response_format: form(list), ..story.clone() };
    for weights in [smollm2(), qwen()] {
        let name = weights.file_name().unwrap().to_string_lossy().into_owned();
        let mut engine = engine_of(weights, |_| ());
        let mut planned = || {
            let began = Instant::now();
            engine.task(&held).unwrap();
            began.elapsed()
        };
        let (first_form, compiled) = (planned(), planned());
        let [first, second] = speeds(&mut engine, [&story, &story]);
        let [constrained, neighbour] = speeds(&mut engine, [&held, &story]);
        println!(
            "{name}: two free {first:.1} and {second:.1} tok/s; one held to a schema {constrained:.1}, its neighbour \
             {neighbour:.1}; planned in {compiled:?}, the first one in {first_form:?}"
        );
        assert!(neighbour > 0.7 * second, "{name}: {neighbour} of {second}");
        assert!(compiled < Duration::from_secs(1), "{name}: {compiled:?}");
    }
}
