//! `POST /v1/completions`: what follows on a text? The older door: its prompt is put to the model as a user's message.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::sse::Event;
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{Message, ToolCallDelta};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::conversation::{Conversation, answering};
use crate::doors::Shared;
use crate::error::ApiError;
use crate::models::now;
use crate::parameters::{Harmless, OneOrMany, Parameters};
use crate::stream::{Script, comment, event, events};
use crate::work::Work;
use crate::{body, openai};

use super::chat::StreamOptions;
use super::chat_stream::done;

pub(crate) const HARMLESS: Harmless = Harmless {
    any: &["user"],
    only: &[("n", &["1"]), ("best_of", &["1"]), ("echo", &["false"]), ("suffix", &["\"\""])],
};

struct CompletionCall {
    model: String,
    conversation: Conversation,
    stream: bool,
    include_usage: bool,
}

impl CompletionCall {
    fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let model = parameters.need("model")?;
        let prompt = parameters.take::<OneOrMany>("prompt");
        let prompt =
            prompt.map_err(|_| ApiError::parameter("prompt", "`prompt`: expected a text; tokens are not taken"))?;
        let mut prompts = prompt.map(OneOrMany::into_vec).unwrap_or_default();
        let prompt = prompts.pop().filter(|prompt| prompts.is_empty() && !prompt.is_empty());
        let prompt =
            prompt.ok_or_else(|| ApiError::parameter("prompt", "`prompt`: expected one text that is not empty"))?;
        let settings = openai::settings(&mut parameters, &["max_tokens"])?;
        let stream = parameters.take("stream")?.unwrap_or(false);
        let options: StreamOptions = parameters.take("stream_options")?.unwrap_or_default();
        parameters.finish(&HARMLESS)?;
        let conversation = Conversation { turns: vec![Message::user(prompt).into()], said_in: "prompt", settings };
        Ok(Self { model, conversation, stream, include_usage: options.include_usage })
    }
}

/// Answers a prompt, at once or as it goes.
pub(crate) async fn completions(
    State(doors): State<Shared>,
    work: Work,
    request: Request,
) -> Result<Response, ApiError> {
    let (call, room) = body::parameters(&doors, request, CompletionCall::read).await?;
    let asked = doors.speaker(&call.model)?;
    let mut script =
        CompletionStream { id: work.id("cmpl"), model: call.model, created: now(), include_usage: call.include_usage };
    if call.stream {
        let answering = answering(&doors, asked, call.conversation, room, work).await?;
        return Ok(events(answering, script));
    }
    script.include_usage = false;
    let answer = doors.answer(asked, call.conversation, room, &work).await?;
    let mut reply = script.completion(&answer.text, Some(answer.finish_reason()));
    if let Some(fields) = reply.as_object_mut() {
        fields.insert("usage".into(), openai::usage(answer.usage));
    }
    Ok(Json(reply).into_response())
}

/// One streamed `text_completion`.
struct CompletionStream {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
}

impl CompletionStream {
    fn completion(&self, text: &str, finish_reason: Option<&str>) -> Value {
        let choice = json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": finish_reason });
        self.with(json!([choice]), Value::Null)
    }

    fn with(&self, choices: Value, usage: Value) -> Value {
        let Self { id, model, created, .. } = self;
        let mut completion =
            json!({ "id": id, "object": "text_completion", "created": created, "model": model, "choices": choices });
        if let (true, Some(fields)) = (self.include_usage, completion.as_object_mut()) {
            fields.insert("usage".into(), usage);
        }
        completion
    }
}

impl Script for CompletionStream {
    type Line = Event;

    fn begin(&mut self) -> Vec<Event> {
        // Nothing is known yet, and this kind of chunk cannot say so: a comment has the headers go out.
        vec![comment()]
    }

    fn thought(&mut self, _: &str) -> Vec<Event> {
        // This door has no place for it.
        vec![comment()]
    }

    fn text(&mut self, text: &str) -> Vec<Event> {
        vec![event(&self.completion(text, None))]
    }

    fn calls(&mut self, _: Vec<ToolCallDelta>) -> Vec<Event> {
        // Nobody calls what was not given.
        Vec::new()
    }

    fn note(&mut self, _: Value) -> Vec<Event> {
        vec![comment()]
    }

    fn end(&mut self, answer: Answer) -> Vec<Event> {
        let mut events = vec![event(&self.completion("", Some(answer.finish_reason())))];
        if self.include_usage {
            events.push(event(&self.with(json!([]), openai::usage(answer.usage))));
        }
        events.push(done());
        events
    }

    fn fail(&mut self, error: ApiError) -> Vec<Event> {
        vec![event(&error.body()), done()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all;

    #[test]
    fn the_document_tells_its_parameters() {
        tells_all("/v1/completions", r#"{"model":"fast","prompt":"Hi"}"#, CompletionCall::read, &[]);
    }
}
