//! Is the brain alive, and can it be asked?

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use megabrain_schemas::{ModelState, Name};
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
        let mut best: Option<ModelState> = None;
        for presence in heard.roster.of_model(model) {
            best = if presence.state == ModelState::Ready {
                Some(ModelState::Ready)
            } else {
                best.or(Some(presence.state))
            };
        }
        match best {
            Some(ModelState::Ready) => {}
            Some(state) => missing.push(format!("model {model}: {}", state.as_str())),
            None => missing.push(absent(model)),
        }
    }
    missing
}

fn absent(model: &Name) -> String {
    format!("model {model}: not there")
}
