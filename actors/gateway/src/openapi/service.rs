//! What is told of the doors that tell of the brain itself?

use serde_json::{Value, json};

use super::Operation;
use super::schema::{object, reference};

/// `GET /healthz`
pub(crate) fn alive() -> Operation {
    let schema = object(&["status"], &json!({ "status": { "const": "alive" } }));
    Operation::new("isAlive", "Tells that the process lives and its doors are open.").answers(
        200,
        "It does.",
        "application/json",
        &schema,
    )
}

/// `GET /readyz`
pub(crate) fn ready() -> Operation {
    let ready = object(&["status"], &json!({ "status": { "const": "ready" } }));
    let not = object(
        &["status", "missing"],
        &json!({
            "status": { "const": "not ready" },
            "missing": { "type": "array", "minItems": 1, "items": { "type": "string" } },
        }),
    );
    Operation::new("isReady", "Tells whether the bus, a router and the models that are needed are there.")
        .answers(200, "They are.", "application/json", &ready)
        .answers(503, "They are not: it names what is missing.", "application/json", &not)
}

/// `GET /openapi.json`
pub(crate) fn document() -> Operation {
    let schema = object(&["openapi", "info", "paths"], &json!({}));
    Operation::new("getDocument", "Tells all of this.").answers(200, "This document.", "application/json", &schema)
}

/// `GET /metrics`
pub(crate) fn metrics() -> Operation {
    let page = json!({ "type": "string" });
    Operation::new("getMetrics", "Tells Prometheus of requests and models.").answers(
        200,
        "A page of OpenMetrics.",
        "application/openmetrics-text",
        &page,
    )
}

/// `GET /v1/models`
pub(crate) fn models() -> Operation {
    let list = object(
        &["object", "data"],
        &json!({ "object": { "const": "list" }, "data": { "type": "array", "items": reference("Model") } }),
    );
    Operation::new("listModels", "Lists the models, and `brain`: the router.").answers(
        200,
        "Everything that can be named as a model.",
        "application/json",
        &list,
    )
}

/// `GET /v1/models/{id}`
pub(crate) fn model() -> Operation {
    Operation::new("retrieveModel", "Tells of one model.")
        .takes(json!({ "$ref": "#/components/parameters/id" }))
        .answers(200, "The model.", "application/json", &reference("Model"))
        .refuses(&[400, 404])
}

/// A model as OpenAI's clients know it, and beside that what it does and how it is.
pub(super) fn model_schema() -> Value {
    object(
        &["id", "object", "created", "owned_by"],
        &json!({
            "id": { "type": "string" },
            "object": { "const": "model" },
            "created": { "type": "integer" },
            "owned_by": { "type": "string" },
            "state": { "type": "string" },
            "capabilities": { "type": "array", "items": { "type": "string" } },
            "context_length": { "type": ["integer", "null"] },
        }),
    )
}
