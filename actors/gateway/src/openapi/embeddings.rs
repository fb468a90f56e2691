//! What is told of `POST /v1/embeddings`?

use serde_json::{Value, json};

use super::Operation;
use super::schema::{body, harmless, model, object};
use crate::openai;

/// `POST /v1/embeddings`
pub(crate) fn embeddings() -> Operation {
    let example = json!({ "model": "embed", "input": ["a berth for Friday", "a place for my boat"] });
    Operation::new("createEmbedding", "Makes vectors of texts.")
        .takes_json(&request(), &example)
        .answers(200, "A vector for each text.", "application/json", &list())
        .asks_a_model()
}

fn request() -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let own = json!({
        "model": model("A model's id; `text-embedding-3-small` and the like are whoever embeds here."),
        "input": { "anyOf": [text, { "type": "array", "minItems": 1, "items": text }] },
        "encoding_format": { "enum": ["float", "base64", null], "description": "base64: of little-endian 32-bit floats." },
    });
    body(&["model", "input"], &[own, harmless(&openai::embeddings::HARMLESS)])
}

fn list() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let vector = json!({ "anyOf": [{ "type": "array", "items": { "type": "number" } }, { "type": "string" }] });
    let embedding = object(
        &["object", "index", "embedding"],
        &json!({ "object": { "const": "embedding" }, "index": count, "embedding": vector }),
    );
    let usage = object(&["prompt_tokens", "total_tokens"], &json!({ "prompt_tokens": count, "total_tokens": count }));
    object(
        &["object", "data", "model", "usage"],
        &json!({
            "object": { "const": "list" },
            "data": { "type": "array", "items": embedding },
            "model": { "type": "string" },
            "usage": usage,
        }),
    )
}
