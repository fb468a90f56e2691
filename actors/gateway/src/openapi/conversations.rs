//! What is told of `POST /v1/chat/completions`?

use serde_json::{Value, json};

use super::Operation;
use super::sampling::{longest, sampling, stream, stream_options};
use super::schema::{body, event_stream, harmless, maybe, model, object, reference};
use crate::openai;

/// `POST /v1/chat/completions`
pub(crate) fn chat() -> Operation {
    let example = json!({
        "model": "brain", "messages": [{ "role": "user", "content": "Name a colour." }], "max_tokens": 16, "temperature": 0,
    });
    Operation::new("createChatCompletion", "Goes on with a conversation.")
        .takes_json(&request(), &example)
        .answers(200, "The next message: whole, or in chunks as it comes.", "application/json", &completion())
        .or(200, "text/event-stream", &event_stream())
        .asks_a_model()
}

/// Functions that a model may call.
pub(super) fn tools(function: &Value) -> Value {
    json!({
        "tools": maybe(&json!({ "type": "array", "maxItems": 128, "items": function })),
        "parallel_tool_calls": { "type": ["boolean", "null"], "description": "False: at most one call in an answer." },
    })
}

/// A function of a chat and of Ollama's: a level of its own.
pub(super) fn function() -> Value {
    let fields = json!({
        "name": { "type": "string" },
        "description": { "type": ["string", "null"] },
        "parameters": { "description": "A JSON Schema of its arguments." },
        "strict": { "type": ["boolean", "null"] },
    });
    object(&["type", "function"], &json!({ "type": { "const": "function" }, "function": object(&["name"], &fields) }))
}

fn request() -> Value {
    let own = json!({
        "model": model("A model's id, or `brain`, which takes pictures, sound, film and files in messages."),
        "messages": { "type": "array", "minItems": 1, "items": reference("Message"), "description": "Oldest first." },
        "tool_choice": maybe(&reference("ToolChoice")),
        "response_format": maybe(&reference("ResponseFormat")),
        "grammar": { "type": ["string", "null"], "description": "The form of the answer, in GBNF." },
    });
    body(
        &["model", "messages"],
        &[
            own,
            harmless(&openai::chat::HARMLESS),
            longest("max_tokens"),
            longest("max_completion_tokens"),
            sampling(),
            stream("True: the answer is sent in chunks, as it comes."),
            stream_options(),
            tools(&function()),
        ],
    )
}

fn completion() -> Value {
    let message = object(
        &["role", "content"],
        &json!({
            "role": { "const": "assistant" },
            "content": { "type": ["string", "null"] },
            "refusal": { "type": "null" },
            "reasoning_content": { "type": "string" },
            "tool_calls": { "type": "array", "items": reference("ToolCall") },
        }),
    );
    let choice = object(
        &["index", "message", "finish_reason"],
        &json!({
            "index": { "const": 0 },
            "message": message,
            "logprobs": { "type": "null" },
            "finish_reason": { "enum": ["stop", "length", "tool_calls"] },
        }),
    );
    object(
        &["id", "object", "created", "model", "choices", "usage"],
        &json!({
            "id": { "type": "string" },
            "object": { "const": "chat.completion" },
            "created": { "type": "integer" },
            "model": { "type": "string" },
            "choices": { "type": "array", "minItems": 1, "maxItems": 1, "items": choice },
            "usage": reference("Usage"),
            "megabrain": reference("Notes"),
        }),
    )
}
