//! What is told of Ollama's doors?

use serde_json::{Value, json};

use super::Operation;
use super::conversations::{function, tools};
use super::operation::merge;
use super::sampling::{sampling, stream};
use super::schema::{body, harmless, json_lines, model, object};
use crate::ollama;

/// `POST /api/chat`
pub(crate) fn chat() -> Operation {
    let example = json!({
        "model": "brain", "messages": [{ "role": "user", "content": "Name a colour." }],
        "options": { "num_predict": 16, "temperature": 0 }, "stream": false,
    });
    Operation::new("ollamaChat", "Goes on with a conversation, in Ollama's words.")
        .takes_json(&request(), &example)
        .answers(200, "The next message: in lines as it comes, or whole.", "application/json", &whole())
        .or(200, "application/x-ndjson", &json_lines())
        .asks_a_model()
}

/// `POST /api/embed`
pub(crate) fn embed() -> Operation {
    let example = json!({ "model": "embed", "input": ["a berth for Friday", "a place for my boat"] });
    let texts = json!({ "type": "string", "minLength": 1 });
    let own = json!({
        "model": model("A model's id."),
        "input": { "anyOf": [texts, { "type": "array", "minItems": 1, "items": texts }] },
        "truncate": { "type": ["boolean", "null"], "description": "False: what is too long is refused, not cut." },
        "options": table(&harmless(&ollama::HARMLESS_OPTIONS)),
    });
    let count = json!({ "type": "integer", "minimum": 0 });
    let vectors = object(
        &["model", "embeddings", "total_duration", "prompt_eval_count"],
        &json!({
            "model": { "type": "string" },
            "embeddings": { "type": "array", "items": { "type": "array", "items": { "type": "number" } } },
            "total_duration": count,
            "prompt_eval_count": count,
        }),
    );
    Operation::new("ollamaEmbed", "Makes vectors of texts, in Ollama's words.")
        .takes_json(&body(&["model", "input"], &[own, harmless(&ollama::HARMLESS_EMBED)]), &example)
        .answers(200, "A vector for each text.", "application/json", &vectors)
        .asks_a_model()
}

/// `GET /api/tags`
pub(crate) fn tags() -> Operation {
    let text = json!({ "type": "string" });
    let tag = object(
        &["name", "model", "modified_at", "size", "digest", "details"],
        &json!({
            "name": text, "model": text, "modified_at": text, "digest": text,
            "size": { "type": "integer" }, "details": { "type": "object" },
        }),
    );
    let schema = object(&["models"], &json!({ "models": { "type": "array", "items": tag } }));
    Operation::new("ollamaTags", "Lists the models, in Ollama's words.").answers(
        200,
        "Everything that can be named as a model.",
        "application/json",
        &schema,
    )
}

/// `GET /api/version`
pub(crate) fn version() -> Operation {
    let schema = object(&["version"], &json!({ "version": { "type": "string" } }));
    Operation::new("ollamaVersion", "Tells the version of this program.").answers(
        200,
        "The version.",
        "application/json",
        &schema,
    )
}

fn request() -> Value {
    let message = object(
        &["role"],
        &json!({
            "role": { "enum": ["system", "developer", "user", "assistant", "tool"] },
            "content": { "type": ["string", "array", "null"] },
            "images": { "type": ["array", "null"], "items": { "type": "string" }, "description": "In base64." },
            "thinking": { "type": ["string", "null"], "description": "What the assistant thought before it answered." },
            "tool_calls": { "type": ["array", "null"] },
            "tool_name": { "description": "The function whose result a message of role tool is." },
        }),
    );
    let own = json!({
        "model": model("A model's id, or `brain`, which takes pictures in messages; `:latest` may stand behind it."),
        "messages": { "type": "array", "minItems": 1, "items": message, "description": "Oldest first." },
        "options": options(),
        "format": { "anyOf": [{ "enum": ["json", "", null] }, { "type": "object", "description": "A JSON Schema." }] },
        "think": { "type": ["boolean", "null"], "description": "False: what the model thinks is not told." },
    });
    let stream = stream("False: the answer is sent when it is whole.");
    body(&["model", "messages"], &[own, harmless(&ollama::chat::HARMLESS), stream, tools(&function())])
}

fn options() -> Value {
    let mut properties = sampling();
    merge(
        &mut properties,
        &json!({
            "num_predict": { "type": ["integer", "null"], "description": "The longest answer, in tokens; below 0: the brain's." },
        }),
    );
    merge(&mut properties, &harmless(&ollama::HARMLESS_OPTIONS));
    table(&properties)
}

/// A table of parameters within others, likewise: one that is not known is refused, unless it is null.
fn table(properties: &Value) -> Value {
    json!({ "type": ["object", "null"], "properties": properties, "additionalProperties": { "type": "null" } })
}

fn whole() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let message = object(
        &["role", "content"],
        &json!({
            "role": { "const": "assistant" },
            "content": { "type": "string" },
            "thinking": { "type": "string" },
            "tool_calls": { "type": "array" },
        }),
    );
    object(
        &["model", "created_at", "message", "done", "done_reason"],
        &json!({
            "model": { "type": "string" },
            "created_at": { "type": "string" },
            "message": message,
            "done": { "const": true },
            "done_reason": { "enum": ["stop", "length"] },
            "total_duration": count,
            "prompt_eval_count": count,
            "eval_count": count,
        }),
    )
}
