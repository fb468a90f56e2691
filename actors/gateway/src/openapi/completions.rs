//! What is told of `POST /v1/completions`?

use serde_json::{Value, json};

use super::Operation;
use super::sampling::{longest, sampling, stream, stream_options};
use super::schema::{body, event_stream, harmless, model, object, reference};
use crate::openai;

/// `POST /v1/completions`
pub(crate) fn completions() -> Operation {
    let example = json!({ "model": "brain", "prompt": "Name a colour.", "max_tokens": 16, "temperature": 0 });
    Operation::new("createCompletion", "Answers a prompt, which is put to the model as a user's message.")
        .takes_json(&request(), &example)
        .answers(200, "The answer: whole, or in chunks as it comes.", "application/json", &completion())
        .or(200, "text/event-stream", &event_stream())
        .asks_a_model()
}

fn request() -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let own = json!({
        "model": model("A model's id, or `brain`."),
        "prompt": { "anyOf": [text, { "type": "array", "minItems": 1, "maxItems": 1, "items": text }] },
    });
    let stream = stream("True: the answer is sent in chunks, as it comes.");
    body(
        &["model", "prompt"],
        &[own, harmless(&openai::completions::HARMLESS), longest("max_tokens"), sampling(), stream, stream_options()],
    )
}

fn completion() -> Value {
    let choice = object(
        &["index", "text", "finish_reason"],
        &json!({
            "index": { "const": 0 },
            "text": { "type": "string" },
            "logprobs": { "type": "null" },
            "finish_reason": { "enum": ["stop", "length"] },
        }),
    );
    object(
        &["id", "object", "created", "model", "choices", "usage"],
        &json!({
            "id": { "type": "string" },
            "object": { "const": "text_completion" },
            "created": { "type": "integer" },
            "model": { "type": "string" },
            "choices": { "type": "array", "minItems": 1, "maxItems": 1, "items": choice },
            "usage": reference("Usage"),
        }),
    )
}
