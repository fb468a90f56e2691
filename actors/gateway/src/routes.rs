//! Which doors are there?

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{self, AllowHeaders, CorsLayer};
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::access::Scope;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::openapi::{self, Operation};
use crate::{admit, console, health, jobs, metrics, models, ollama, openai};

/// A body that does not go on for this long is given up.
const BODY: Duration = Duration::from_secs(30);

const GET: Verb = (MethodFilter::GET, "get");
const POST: Verb = (MethodFilter::POST, "post");
const DELETE: Verb = (MethodFilter::DELETE, "delete");

/// A method, for axum and as the document writes it.
type Verb = (MethodFilter, &'static str);

/// One door.
pub(crate) struct Door {
    /// What a key must be good for; `None`: nobody needs one.
    pub(crate) scope: Option<Scope>,
    /// The method as the document writes it.
    pub(crate) method: &'static str,
    /// Where it is.
    pub(crate) path: &'static str,
    /// What the document tells of it.
    pub(crate) told: fn() -> Operation,
    answering: MethodRouter<Shared>,
}

/// Every door for programs: these are told of, and no others. The console opens its own, [`console::routes`].
pub(crate) fn doors() -> Vec<Door> {
    use openapi::{
        audio, completions, conversations, embeddings, jobs as job, ollama as ollamas, rerank, responses, service,
    };
    let of = |scope| Some(scope);
    vec![
        door(None, GET, "/healthz", health::alive, service::alive),
        door(None, GET, "/readyz", health::ready, service::ready),
        door(None, GET, "/openapi.json", openapi::document, service::document),
        door(of(Scope::Metrics), GET, "/metrics", metrics::metrics, service::metrics),
        door(of(Scope::Models), GET, "/v1/models", models::list, service::models),
        door(of(Scope::Models), GET, "/v1/models/{id}", models::one, service::model),
        door(of(Scope::Models), GET, "/api/tags", ollama::tags, ollamas::tags),
        door(of(Scope::Models), GET, "/api/version", ollama::version, ollamas::version),
        door(of(Scope::Chat), POST, "/v1/chat/completions", openai::chat, conversations::chat),
        door(of(Scope::Chat), POST, "/v1/completions", openai::completions, completions::completions),
        door(of(Scope::Chat), POST, "/v1/responses", openai::responses, responses::responses),
        door(of(Scope::Chat), POST, "/api/chat", ollama::chat, ollamas::chat),
        door(of(Scope::Transcribe), POST, "/v1/audio/transcriptions", openai::transcriptions, audio::transcriptions),
        door(of(Scope::Transcribe), POST, "/v1/audio/translations", openai::translations, audio::translations),
        door(of(Scope::Jobs), POST, "/v1/jobs", jobs::submit, job::submit),
        door(of(Scope::Jobs), GET, "/v1/jobs/{id}", jobs::one, job::one),
        door(of(Scope::Jobs), DELETE, "/v1/jobs/{id}", jobs::cancel, job::cancel),
        door(of(Scope::Jobs), GET, "/v1/jobs/{id}/events", jobs::events, job::events),
        door(of(Scope::Speak), POST, "/v1/audio/speech", openai::speech, audio::speech),
        door(of(Scope::Embed), POST, "/v1/embeddings", openai::embeddings, embeddings::embeddings),
        door(of(Scope::Rerank), POST, "/v1/rerank", openai::rerank, rerank::rerank),
        door(of(Scope::Embed), POST, "/api/embed", ollama::embed, ollamas::embed),
    ]
}

fn door<T: 'static>(
    scope: Option<Scope>,
    (filter, method): Verb,
    path: &'static str,
    handler: impl Handler<T, Shared>,
    told: fn() -> Operation,
) -> Door {
    Door { scope, method, path, told, answering: on(filter, handler) }
}

/// All doors, with everything that a request passes on its way to one.
pub(crate) fn routes(shared: Shared) -> Router {
    let all = doors().into_iter().fold(console::routes(), |all, Door { scope, path, answering, .. }| {
        let one = Router::new().route(path, answering);
        all.merge(match scope {
            None => one,
            Some(scope) => one.route_layer(from_fn_with_state((shared.clone(), scope), admit::let_in)),
        })
    });
    let max_body = usize::try_from(shared.config.max_body.as_u64()).unwrap_or(usize::MAX);
    // The first is outermost. One layer of many: each `layer` is a box more, which all around it clone at every request.
    let passed = (
        map_response(plain_content),
        from_fn(admit::name_work),
        from_fn_with_state(shared.clone(), admit::count),
        from_fn(ollama::with_plain_errors),
        CatchPanicLayer::custom(panicked),
        from_fn_with_state(shared.clone(), admit::check_origin),
        allowing(shared.access.origins()),
        DefaultBodyLimit::max(max_body),
        RequestBodyTimeoutLayer::new(BODY),
    );
    all.method_not_allowed_fallback(wrong_method).fallback(nothing_here).layer(passed).with_state(shared)
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
    ApiError::nothing_here(&method, &uri)
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
