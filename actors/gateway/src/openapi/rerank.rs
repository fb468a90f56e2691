//! What is told of `POST /v1/rerank`?

use serde_json::{Value, json};

use super::Operation;
use super::operation::merge;
use super::schema::{body, harmless, model, object};
use crate::openai;

/// `POST /v1/rerank`
pub(crate) fn rerank() -> Operation {
    let documents = ["Berth 41 is taken.", "Berth 42 is free on Friday."];
    let example = json!({ "model": "rerank", "query": "Which berth is free?", "documents": documents });
    Operation::new("createRerank", "Ranks documents by how well they answer a query.")
        .takes_json(&request(), &example)
        .answers(200, "The documents, best first.", "application/json", &list())
        .asks_a_model()
}

fn request() -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let mut object_of_text = object(&["text"], &json!({ "text": text }));
    merge(&mut object_of_text, &json!({ "additionalProperties": false }));
    let document = json!({ "anyOf": [text, object_of_text] });
    let own = json!({
        "model": model("A model's id; `rerank-v3.5` and the like are whoever ranks here."),
        "query": text,
        "documents": { "type": "array", "minItems": 1, "items": document },
        "top_n": { "type": ["integer", "null"], "minimum": 1, "maximum": u32::MAX, "description": "So many results, the best." },
        "truncate": { "type": ["boolean", "null"], "description": "False: what is too long is refused, not cut." },
        "return_documents": { "type": ["boolean", "null"], "description": "False: results without their texts." },
    });
    body(&["model", "query", "documents"], &[own, harmless(&openai::rerank::HARMLESS)])
}

fn list() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    let result = object(
        &["index", "relevance_score"],
        &json!({
            "index": count,
            "relevance_score": { "type": "number", "minimum": 0, "maximum": 1 },
            "document": object(&["text"], &json!({ "text": { "type": "string" } })),
        }),
    );
    let usage = object(&["prompt_tokens", "total_tokens"], &json!({ "prompt_tokens": count, "total_tokens": count }));
    object(
        &["object", "model", "results", "usage"],
        &json!({
            "object": { "const": "list" },
            "model": { "type": "string" },
            "results": { "type": "array", "items": result },
            "usage": usage,
        }),
    )
}
