//! How is a JSON Schema written in few words?

use serde_json::{Value, json};

use crate::parameters::Harmless;

/// One of the document's own schemas, by its name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// It, or null, which is the same as absent.
pub(super) fn maybe(schema: &Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}

/// A number within bounds, or null.
pub(super) fn within(lowest: f64, highest: f64, about: &str) -> Value {
    json!({ "type": ["number", "null"], "minimum": lowest, "maximum": highest, "description": about })
}

/// What a door takes although it does nothing.
pub(super) fn harmless(harmless: &Harmless) -> Value {
    let any = harmless.any.iter().map(|name| ((*name).to_owned(), ignored()));
    let only = harmless.only.iter().map(|(name, texts)| ((*name).to_owned(), only(texts)));
    Value::Object(any.chain(only).collect())
}

/// Taken with any value, and nothing follows from it.
pub(super) fn ignored() -> Value {
    json!({ "description": "Taken, and ignored." })
}

/// Taken with these values only, which are written as JSON: what happens anyway.
fn only(texts: &[&str]) -> Value {
    let all: Vec<Value> = texts.iter().chain(&["null"]).filter_map(|text| serde_json::from_str(text).ok()).collect();
    json!({ "enum": all, "description": "What this brain does anyway; other values are refused." })
}

/// An object.
pub(super) fn object(required: &[&str], properties: &Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// The parameters of a door: one that is not known is refused, unless it is null.
pub(super) fn body(required: &[&str], properties: &[Value]) -> Value {
    let mut all = json!({});
    properties.iter().for_each(|some| super::operation::merge(&mut all, some));
    let mut body = object(required, &all);
    super::operation::merge(&mut body, &json!({ "additionalProperties": { "type": "null" } }));
    body
}

/// `model` of a body.
pub(super) fn model(about: &str) -> Value {
    json!({ "type": "string", "description": about })
}

/// Server-sent events. OpenAPI 3.1 has no words for what is in each: it is not said to be a text, nor anything else.
pub(super) fn event_stream() -> Value {
    json!({ "description": "Server-sent events; `data` of each is JSON. Comments stand where there is nothing new." })
}

/// Lines of JSON, likewise.
pub(super) fn json_lines() -> Value {
    json!({ "description": "JSON objects, one a line, each as that of the whole answer; the last has `done`." })
}
