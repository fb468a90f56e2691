//! Which doors are there?

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{self, AllowHeaders, CorsLayer};
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::access::Scope;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::{admit, health, metrics, models, ollama, openai};

/// A body that does not go on for this long is given up.
const BODY: Duration = Duration::from_secs(30);

/// All doors, with everything that a request passes on its way to one.
pub(crate) fn routes(doors: Shared) -> Router {
    let open = Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready));
    let scoped = [
        (Scope::Metrics, Router::new().route("/metrics", get(metrics::metrics))),
        (
            Scope::Models,
            Router::new()
                .route("/v1/models", get(models::list))
                .route("/v1/models/{id}", get(models::one))
                .route("/api/tags", get(ollama::tags))
                .route("/api/version", get(ollama::version)),
        ),
        (
            Scope::Chat,
            Router::new()
                .route("/v1/chat/completions", post(openai::chat))
                .route("/v1/completions", post(openai::completions))
                .route("/v1/responses", post(openai::responses))
                .route("/api/chat", post(ollama::chat)),
        ),
        (
            Scope::Transcribe,
            Router::new()
                .route("/v1/audio/transcriptions", post(openai::transcriptions))
                .route("/v1/audio/translations", post(openai::translations)),
        ),
        (Scope::Speak, Router::new().route("/v1/audio/speech", post(openai::speech))),
        (
            Scope::Embed,
            Router::new().route("/v1/embeddings", post(openai::embeddings)).route("/api/embed", post(ollama::embed)),
        ),
    ];
    let all = scoped.into_iter().fold(open, |all, (scope, routes)| {
        all.merge(routes.route_layer(from_fn_with_state((doors.clone(), scope), admit::let_in)))
    });
    all.method_not_allowed_fallback(wrong_method)
        .fallback(nothing_here)
        .layer(RequestBodyTimeoutLayer::new(BODY))
        .layer(axum::extract::DefaultBodyLimit::max(
            usize::try_from(doors.config.max_body.as_u64()).unwrap_or(usize::MAX),
        ))
        .layer(allowing(doors.access.origins()))
        .layer(from_fn_with_state(doors.clone(), admit::check_origin))
        .layer(from_fn(ollama::with_plain_errors))
        .layer(from_fn_with_state(doors.clone(), admit::count))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(admit::name_work))
        .layer(map_response(plain_content))
        .with_state(doors)
}

/// What a browser is told of the pages that may call.
fn allowing(origins: &[HeaderValue]) -> CorsLayer {
    let layer = CorsLayer::new().allow_methods(cors::Any).allow_headers(AllowHeaders::mirror_request());
    match origins {
        [] => layer,
        all if all.iter().any(|origin| origin == "*") => layer.allow_origin(cors::Any),
        some => layer.allow_origin(some.to_vec()),
    }
}

async fn nothing_here(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(80).collect();
    ApiError::new(StatusCode::NOT_FOUND, "unknown_url", format!("there is nothing at {method} {path}"))
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let path: String = uri.path().chars().take(80).collect();
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{path} is there, yet not for {method}"),
    )
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    // The panic itself is in the log already.
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the gateway stumbled over this request")
        .into_response()
}

/// No browser is to take an answer for something else than it says it is.
async fn plain_content(mut response: Response) -> Response {
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
