//! What is a program told of the doors? `GET /openapi.json`, in OpenAPI 3.1: every door, what it takes, all it may answer.
//!
//! It is written by hand, beside the table of doors that it is made from. The doors take their parameters out of a body by
//! name, so that one they do not know is refused by name: there are no types to derive a description from. Libraries
//! (utoipa, aide) would need such types for the description alone, with a macro on each. What is a type of the contract is
//! described by its own schema. Tests hold the rest to what the doors do: each door's own, for the names that it knows,
//! and `tests/python/test_schemathesis.py` for everything, against a brain. The console is not told of: its page and its feed
//! are made for each other, and change together.

pub(crate) mod audio;
pub(crate) mod completions;
mod components;
pub(crate) mod conversations;
pub(crate) mod embeddings;
pub(crate) mod jobs;
pub(crate) mod ollama;
mod operation;
pub(crate) mod rerank;
pub(crate) mod responses;
mod sampling;
mod schema;
pub(crate) mod service;
mod statuses;
#[cfg(test)]
pub(crate) mod telling;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value, json};

pub(crate) use operation::Operation;

use crate::doors::Shared;
use crate::routes;

/// `GET /openapi.json`. Nobody needs a key for it: it tells nothing of this brain, its models or its callers, only what
/// README tells, and programs that make clients fetch it without one.
pub(crate) async fn document(State(doors): State<Shared>) -> Response {
    let asks_for_keys = !doors.config.keys.is_empty();
    let written = doors.document.get_or_init(|| Bytes::from(written(asks_for_keys).to_string()));
    ([(header::CONTENT_TYPE, "application/json")], written.clone()).into_response()
}

/// The whole document.
fn written(asks_for_keys: bool) -> Value {
    let mut paths = Map::new();
    for door in routes::doors() {
        let operation = (door.told)().written(&door, asks_for_keys);
        let path = paths.entry(door.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(door.method.into(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "megabrain",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": components::written(),
    })
}

const ABOUT: &str = "The doors of one brain, as clients of OpenAI and Ollama speak to them, and durable jobs. A parameter \
    that a door does not know is refused by its name, with status 400, unless it is null, which is the same as absent. A \
    head of a request that is too long, or has more than 100 lines, is answered with status 431 and no body; a path that \
    leads nowhere with 404, and another method than those here with 405, both in the shape of `Error`.";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All values of `$ref`.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_door_is_told_of_once_and_nothing_else_is() {
        let document = written(false);
        let told: Vec<(&str, &str)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(move |method| (path.as_str(), method.as_str()))
            })
            .collect();
        let mut doors: Vec<(&str, &str)> = routes::doors().iter().map(|door| (door.path, door.method)).collect();
        doors.sort_unstable();
        let mut sorted = told.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, doors);
        let ids: BTreeSet<&str> = told
            .iter()
            .map(|(path, method)| document["paths"][path][method]["operationId"].as_str().unwrap())
            .collect();
        assert_eq!(ids.len(), told.len(), "each has an id of its own: {ids:?}");
    }

    #[test]
    fn what_is_referred_to_is_there_and_what_is_there_is_referred_to() {
        let document = written(true);
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for kind in ["schemas", "parameters", "headers"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(found.contains(&reference), "nobody needs {reference}");
            }
        }
    }

    #[test]
    fn a_key_is_asked_for_where_keys_are() {
        let security = |keys: bool, path: &str| written(keys)["paths"][path]["get"]["security"].clone();
        assert_eq!(security(true, "/v1/models"), json!([{ "key": ["models"] }]));
        assert_eq!(security(false, "/v1/models"), json!([]));
        assert_eq!(security(true, "/healthz"), json!([]));
    }
}
