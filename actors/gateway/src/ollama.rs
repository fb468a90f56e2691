//! How do Ollama's clients speak? The same as OpenAI's in other words: lines of JSON, settings under `options`.

use std::time::{Instant, SystemTime};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{EmbedRequest, Request as _};
use serde_json::{Map, Value, json};

use crate::body;
use crate::conversation::{Answer, Conversation, Settings, answering};
use crate::doors::Shared;
use crate::error::ApiError;
use crate::models::json_answer;
use crate::openai::{EMBEDDERS, read_messages};
use crate::parameters::{Harmless, OneOrMany, Parameters};
use crate::stream::{Script, json_lines};
use crate::work::Work;

const HARMLESS: Harmless =
    Harmless { any: &["keep_alive"], only: &[("format", &["\"\""]), ("tools", &["[]"]), ("think", &["false"])] };

/// How a machine is used stands in the brain file.
const HARMLESS_OPTIONS: Harmless = Harmless {
    any: &["num_ctx", "num_keep", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "numa", "low_vram"],
    only: &[("frequency_penalty", &["0"]), ("presence_penalty", &["0"])],
};

struct ChatCall {
    model: String,
    conversation: Conversation,
    stream: bool,
}

impl ChatCall {
    fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let model = parameters.need("model")?;
        let messages: Vec<Map<String, Value>> = parameters.need("messages")?;
        let messages = messages.into_iter().enumerate().map(|(index, message)| with_pictures(index, message));
        let turns = read_messages(messages.collect::<Result<_, _>>()?)?;
        if turns.is_empty() {
            return Err(ApiError::parameter("messages", "`messages` is empty"));
        }
        let settings = settings(parameters.take("options")?.unwrap_or_default())?;
        let stream = parameters.take("stream")?.unwrap_or(true);
        parameters.finish(&HARMLESS)?;
        Ok(Self { model, conversation: Conversation { turns, settings }, stream })
    }
}

/// Ollama's `images` as parts of the content.
fn with_pictures(index: usize, mut message: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let images = serde_json::from_value::<Option<Vec<String>>>(message.remove("images").unwrap_or_default());
    let wrong = |error| ApiError::parameter("messages", format!("`messages[{index}].images`: {error}"));
    if let Some(images) = images.map_err(wrong)? {
        let text = message.remove("content").filter(|content| !content.is_null()).unwrap_or_else(|| "".into());
        let picture = |data: &String| json!({ "type": "image_url", "image_url": format!("data:;base64,{data}") });
        let text = json!({ "type": "text", "text": text });
        message.insert("content".into(), std::iter::once(text).chain(images.iter().map(picture)).collect());
    }
    Ok(message)
}

fn settings(options: Map<String, Value>) -> Result<Settings, ApiError> {
    let mut options = Parameters::from(options);
    let settings = Settings {
        // -1 and -2: as long as it takes, which here is the brain's own longest answer.
        max_tokens: options.take::<i64>("num_predict")?.and_then(|count| u32::try_from(count).ok()),
        temperature: options.take("temperature")?,
        top_p: options.take("top_p")?,
        seed: options.take_seed()?,
        stop: options.take::<OneOrMany>("stop")?.map(OneOrMany::into_vec).unwrap_or_default(),
    };
    options.finish(&HARMLESS_OPTIONS)?;
    Ok(settings)
}

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

/// `POST /api/chat`
pub(crate) async fn chat(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let call = body::parameters(&doors, request, ChatCall::read).await?;
    let asked = doors.speaker(&call.model)?;
    let lines = ChatLines { model: call.model, began: work.began };
    if call.stream {
        let answering = answering(&doors, asked, call.conversation, work).await?;
        return Ok(json_lines(answering, lines));
    }
    let answer = doors.answer(&asked, call.conversation, &work).await?;
    let text = answer.text.clone();
    Ok((work.headers(), json_answer(&lines.last(&text, &answer))).into_response())
}

/// The lines of one answer.
struct ChatLines {
    model: String,
    began: Instant,
}

impl ChatLines {
    fn line(&self, text: &str) -> Value {
        let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let message = json!({ "role": "assistant", "content": text });
        json!({ "model": self.model, "created_at": now, "message": message, "done": false })
    }

    fn last(&self, text: &str, answer: &Answer) -> Value {
        let mut line = self.line(text);
        if let Some(fields) = line.as_object_mut() {
            fields.insert("done".into(), true.into());
            fields.insert("done_reason".into(), answer.finish_reason().into());
            fields.insert("total_duration".into(), nanoseconds(self.began).into());
            fields.insert("prompt_eval_count".into(), answer.usage.prompt_tokens.into());
            fields.insert("eval_count".into(), answer.usage.completion_tokens.into());
        }
        line
    }
}

impl Script for ChatLines {
    type Line = Value;

    fn begin(&mut self) -> Vec<Value> {
        vec![self.line("")]
    }

    fn text(&mut self, text: &str) -> Vec<Value> {
        vec![self.line(text)]
    }

    fn note(&mut self, _: Value) -> Vec<Value> {
        vec![self.line("")]
    }

    fn end(&mut self, answer: Answer) -> Vec<Value> {
        vec![self.last("", &answer)]
    }

    fn fail(&mut self, error: ApiError) -> Vec<Value> {
        vec![json!({ "error": error.message() })]
    }

    fn silence(&mut self) -> Vec<Value> {
        vec![self.line("")]
    }
}

/// `GET /api/tags`
pub(crate) async fn tags(State(doors): State<Shared>) -> Response {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let model = |id: &String| {
        let name = format!("{id}:latest");
        let details =
            json!({ "format": "", "family": "", "families": null, "parameter_size": "", "quantization_level": "" });
        json!({ "name": name, "model": name, "modified_at": now, "size": 0, "digest": "", "details": details })
    };
    let models: Vec<Value> = doors.listed().iter().map(|(id, _)| model(id)).collect();
    json_answer(&json!({ "models": models }))
}

/// `GET /api/version`: ours. Clients ask for it to see whether anybody is there.
pub(crate) async fn version() -> Response {
    json_answer(&json!({ "version": env!("CARGO_PKG_VERSION") }))
}

fn read_embed(mut parameters: Parameters) -> Result<(String, EmbedRequest), ApiError> {
    let model = parameters.need::<String>("model")?;
    let input = parameters.need::<OneOrMany>("input")?.into_vec();
    let options = parameters.take::<Map<String, Value>>("options")?.unwrap_or_default();
    Parameters::from(options).finish(&HARMLESS_OPTIONS)?;
    // Ollama cuts what is too long unless it is told not to.
    let truncate = parameters.take("truncate")?.unwrap_or(true);
    parameters.finish(&Harmless { any: &["keep_alive"], only: &[] })?;
    Ok((model, EmbedRequest { input, truncate, ..EmbedRequest::default() }))
}

/// `POST /api/embed`
pub(crate) async fn embed(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let (model, request) = body::parameters(&doors, request, read_embed).await?;
    let asked = doors.asked(&model, EMBEDDERS)?;
    request.check()?;
    let reply = doors.bus.call(&asked.target(), &request, work.call()).await?;
    let answer = json!({
        "model": model,
        "embeddings": reply.embeddings,
        "total_duration": nanoseconds(work.began),
        "prompt_eval_count": reply.usage.prompt_tokens,
    });
    Ok((work.headers(), json_answer(&answer)).into_response())
}

fn nanoseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all;

    fn read(body: &str) -> Result<ChatCall, String> {
        Parameters::read(body.as_bytes()).and_then(ChatCall::read).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_document_tells_its_parameters() {
        let body = r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#;
        let coming = [
            "top_k",
            "min_p",
            "repeat_penalty",
            "logit_bias",
            "repeat_last_n",
            "logprobs",
            "top_logprobs",
            "parallel_tool_calls",
        ];
        tells_all("/api/chat", body, ChatCall::read, &["options"], &coming);
        tells_all("/api/embed", r#"{"model":"embed","input":"a"}"#, read_embed, &[], &[]);
    }

    #[test]
    fn pictures_are_attached_and_options_are_settings() {
        let call = read(
            r#"{"model":"brain:latest","messages":[{"role":"user","content":"What is this?","images":["AQID"]}],
                "options":{"temperature":0,"num_predict":-1,"num_ctx":2048,"stop":["\n"]},"keep_alive":"5m","think":false}"#,
        )
        .unwrap();
        let Conversation { turns, settings } = call.conversation;
        assert!(call.stream, "as Ollama does where nothing is said");
        assert_eq!((turns[0].message.content.as_str(), turns[0].attached.len()), ("What is this?", 1));
        assert_eq!((settings.temperature, settings.max_tokens, settings.stop.len()), (Some(0.0), None, 1));
    }

    #[test]
    fn options_that_would_change_the_answer_are_refused_by_name() {
        for (more, told) in [
            (r#""options":{"top_k":40}"#, "`top_k`"),
            (r#""options":{"repeat_penalty":1.1}"#, "`repeat_penalty`"),
            (r#""format":"json""#, "`format`"),
            (r#""messages":[{"role":"user","images":"AQID"}]"#, "`messages[0].images`"),
            (r#""tools":[{}]"#, "`tools`"),
        ] {
            let body = format!(r#"{{"model":"fast","messages":[{{"role":"user","content":"Hi"}}],{more}}}"#);
            let error = read(&body).err().unwrap();
            assert!(error.contains(told), "{more}: {error}");
        }
    }
}
