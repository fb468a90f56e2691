//! What is told of `POST /v1/responses`?

use serde_json::{Value, json};

use super::Operation;
use super::conversations::tools;
use super::sampling::{longest, sampling, stream};
use super::schema::{body, event_stream, harmless, maybe, model, object, reference};
use crate::openai;

/// `POST /v1/responses`
pub(crate) fn responses() -> Operation {
    let example = json!({ "model": "brain", "input": "Name a colour.", "max_output_tokens": 16, "temperature": 0 });
    Operation::new("createResponse", "Answers an input.")
        .takes_json(&request(), &example)
        .answers(200, "The response: whole, or in events as it comes.", "application/json", &response())
        .or(200, "text/event-stream", &event_stream())
        .asks_a_model()
}

fn request() -> Value {
    let function = object(&["type", "name"], &json!({ "type": { "const": "function" }, "name": { "type": "string" } }));
    let item = json!({
        "type": "object",
        "description": "A message, as in a chat; a `function_call`, its `function_call_output`, or a `reasoning` item.",
    });
    let own = json!({
        "model": model("A model's id, or `brain`, which takes pictures and files in messages."),
        "input": { "anyOf": [{ "type": "string" }, { "type": "array", "minItems": 1, "items": item }] },
        "instructions": { "type": ["string", "null"], "description": "What stands above the input, as a system's message." },
        "text": {
            "type": ["object", "null"],
            "description": "`format`: text, json_object or json_schema, which the answer is held to at every token.",
        },
        "tool_choice": maybe(&json!({ "anyOf": [{ "enum": ["none", "auto", "required"] }, function] })),
    });
    let stream = stream("True: the answer is sent in events, as it comes.");
    let all = [
        own,
        harmless(&openai::responses_input::HARMLESS),
        longest("max_output_tokens"),
        sampling(),
        stream,
        tools(&function),
    ];
    body(&["model", "input"], &all)
}

fn response() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let usage = object(
        &["input_tokens", "output_tokens", "total_tokens"],
        &json!({ "input_tokens": count, "output_tokens": count, "total_tokens": count }),
    );
    let item = object(&["type", "id"], &json!({ "type": { "enum": ["message", "function_call", "reasoning"] } }));
    object(
        &["id", "object", "created_at", "status", "model", "output", "usage"],
        &json!({
            "id": { "type": "string" },
            "object": { "const": "response" },
            "created_at": { "type": "integer" },
            "status": { "enum": ["completed", "incomplete"] },
            "model": { "type": "string" },
            "output": { "type": "array", "items": item },
            "incomplete_details": { "type": ["object", "null"] },
            "error": { "type": "null" },
            "usage": usage,
            "megabrain": reference("Notes"),
        }),
    )
}
