//! Is the brain alive, and can it be asked?

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use megabrain_schemas::ModelState;
use serde_json::{Value, json};

use crate::doors::{Doors, Shared};

/// `GET /healthz`: the process lives and its doors are open.
pub(crate) async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

/// `GET /readyz`: the bus, a router and the models that are needed are there; else it names those that are not.
pub(crate) async fn ready(State(doors): State<Shared>) -> (StatusCode, Json<Value>) {
    let missing = missing(&doors);
    if missing.is_empty() {
        return (StatusCode::OK, Json(json!({ "status": "ready" })));
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "not ready", "missing": missing })))
}

fn missing(doors: &Doors) -> Vec<String> {
    if !doors.is_on_bus() {
        return vec!["the bus".into()];
    }
    let heard = doors.present.look();
    let mut missing = Vec::new();
    if !heard.has_router() {
        missing.push("a router".into());
    }
    for model in doors.config.ready.iter().flatten() {
        let mut states = heard.roster.of_model(model).map(|presence| presence.state);
        match states.next() {
            None => missing.push(format!("model {model}: not there")),
            Some(first) if first != ModelState::Ready && !states.any(|state| state == ModelState::Ready) => {
                missing.push(format!("model {model}: {}", first.as_str()));
            }
            Some(_) => {}
        }
    }
    missing
}
