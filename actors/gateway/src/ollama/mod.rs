//! How do Ollama's clients speak? The same as OpenAI's in other words: lines of JSON, settings under `options`.

pub(crate) mod chat;
mod messages;

use std::time::{Instant, SystemTime};

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{EmbedReply, EmbedRequest, Request as _, Usage};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::body;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::openai::{EMBEDDERS, are_few};
use crate::parameters::{Harmless, OneOrMany, Parameters};
use crate::work::Work;

pub(crate) use chat::chat;

/// How a machine is used stands in the brain file.
pub(crate) const HARMLESS_OPTIONS: Harmless = Harmless {
    any: &["num_ctx", "num_keep", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "numa", "low_vram"],
    // As far as engines look back for `repeat_penalty`.
    only: &[("repeat_last_n", &["64"])],
};

/// What `/api/embed` takes although it does nothing.
pub(crate) const HARMLESS_EMBED: Harmless = Harmless { any: &["keep_alive"], only: &[] };

/// Errors as Ollama's clients read them: `{"error": "…"}`.
pub(crate) async fn with_plain_errors(request: Request, next: Next) -> Response {
    let is_ollamas = request.uri().path().starts_with("/api/");
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<ApiError>() {
        Some(error) if is_ollamas => {
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response.map(|_| Body::from(json!({ "error": error.message() }).to_string()))
        }
        _ => response,
    }
}

/// `GET /api/tags`
pub(crate) async fn tags(State(doors): State<Shared>) -> Json<Value> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let model = |id: &str| {
        let name = format!("{id}:latest");
        let details =
            json!({ "format": "", "family": "", "families": null, "parameter_size": "", "quantization_level": "" });
        json!({ "name": name, "model": name, "modified_at": now, "size": 0, "digest": "", "details": details })
    };
    Json(json!({ "models": doors.listed(|id, _| model(id)) }))
}

/// `GET /api/version`: ours. Clients ask for it to see whether anybody is there.
pub(crate) async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

fn read_embed(mut parameters: Parameters) -> Result<(String, EmbedRequest), ApiError> {
    let model = parameters.need::<String>("model")?;
    let input = parameters.need::<OneOrMany>("input")?.into_vec();
    let options = parameters.take::<Map<String, Value>>("options")?.unwrap_or_default();
    Parameters::from(options).finish(&HARMLESS_OPTIONS)?;
    // Ollama cuts what is too long unless it is told not to.
    let truncate = parameters.take("truncate")?.unwrap_or(true);
    parameters.finish(&HARMLESS_EMBED)?;
    Ok((model, EmbedRequest { input, truncate, ..EmbedRequest::default() }))
}

/// `POST /api/embed`
pub(crate) async fn embed(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let ((model, request), _room) = body::parameters(&doors, request, read_embed).await?;
    let asked = doors.asked(&model, EMBEDDERS)?;
    request.check()?;
    let reply = doors.bus.call(&asked.target(), &request, work.call()).await?;
    body::aside(are_few(&reply.embeddings), move || {
        let total_duration = nanoseconds(work.began);
        let EmbedReply { embeddings, usage: Usage { prompt_tokens: prompt_eval_count, .. } } = reply;
        Ok(Json(Embeddings { model, embeddings, total_duration, prompt_eval_count }).into_response())
    })
    .await
}

/// The vectors of some texts.
#[derive(Serialize)]
struct Embeddings {
    model: String,
    embeddings: Vec<Vec<f32>>,
    total_duration: u64,
    prompt_eval_count: u32,
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all;

    #[test]
    fn the_document_tells_its_parameters() {
        tells_all("/api/embed", r#"{"model":"embed","input":"a"}"#, read_embed, &["options"]);
    }
}
