//! What happens to every request before and after its own route? Its work is named, it is let in, and it is counted.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::access::Scope;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::kept::kept_with;
use crate::work::WorkName;

/// Names the work of a request, and has the answer tell it, whatever that is: a person finds it in logs and traces.
pub(crate) async fn name_work(mut request: Request, next: Next) -> Response {
    let work = WorkName::of(request.headers());
    request.extensions_mut().insert(work.clone());
    let mut response = next.run(request).await;
    if let Some(value) = work.value() {
        response.headers_mut().insert("x-request-id", value.clone());
        response.headers_mut().insert("megabrain-work", value);
    }
    response
}

/// Refuses pages of strangers.
pub(crate) async fn check_origin(State(doors): State<Shared>, request: Request, next: Next) -> Response {
    match doors.access.check_origin(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Lets a request in that may do what `scope` says. Its place is taken until its answer has ended, streams included.
pub(crate) async fn let_in(
    State((doors, scope)): State<(Shared, Scope)>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let entry = doors.access.enter(request.headers(), scope)?;
    request.extensions_mut().insert(entry.owner().clone());
    Ok(kept_with(next.run(request).await, entry))
}

/// Counts requests, how long they take to their last byte, and how many are open.
pub(crate) async fn count(State(doors): State<Shared>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let open = doors.metrics.begin(route, Instant::now());
    let response = next.run(request).await;
    let open = open.answered(response.status());
    kept_with(response, open)
}
