//! `GET /console/events`: what is so, and then whatever changes, a line of JSON each, for as long as somebody reads.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use tokio::sync::broadcast::error::RecvError;

use super::watch::{Watch, Watcher};
use crate::access::Scope;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::stream::{SILENCE, UNGATHERED};

enum Scene {
    Beginning(Watch, Watcher),
    Middle(Watch, Watcher),
}

/// Everything, then the changes. A page that looks takes none of its key's places: those are for work.
pub(crate) async fn events(State(doors): State<Shared>, headers: HeaderMap) -> Result<Response, ApiError> {
    let owner = doors.access.enter(&headers, Scope::Models)?.owner().clone();
    let watcher = doors.console.watch(&owner)?;
    let lines = stream::unfold(Scene::Beginning(doors.console.clone(), watcher), |scene| async move {
        let (line, watch, watcher) = match scene {
            Scene::Beginning(watch, watcher) => (watcher.state.clone(), watch, watcher),
            Scene::Middle(watch, mut watcher) => (next(&watch, &mut watcher).await?, watch, watcher),
        };
        Some((Ok::<_, Infallible>(line), Scene::Middle(watch, watcher)))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((UNGATHERED, kind, Body::from_stream(lines)).into_response())
}

/// The next line: an empty one where there is nothing to tell for long, everything where too much was missed.
async fn next(watch: &Watch, watcher: &mut Watcher) -> Option<Bytes> {
    match tokio::time::timeout(SILENCE, watcher.changes.recv()).await {
        Err(_) => Some(Bytes::from_static(b"\n")),
        Ok(Ok(line)) => Some(line),
        Ok(Err(RecvError::Lagged(_))) => watch.look().map(|look| watcher.again(look)),
        Ok(Err(RecvError::Closed)) => None,
    }
}
