//! `POST /v1/responses`: how does OpenAI's newer door answer?

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{FinishReason, Usage};
use serde_json::{Value, json};

use crate::body;
use crate::conversation::{Answer, Settings, answering};
use crate::doors::Shared;
use crate::error::ApiError;
use crate::models::{json_answer, now};
use crate::stream::events;
use crate::work::Work;

use super::responses_input::ResponseCall;
use super::responses_stream::ResponseStream;

/// Answers an input, at once or as it goes.
pub(crate) async fn responses(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let call = body::parameters(&doors, request, ResponseCall::read).await?;
    let asked = doors.speaker(&call.model)?;
    let head = Head {
        id: work.id("resp").replace('-', "_"),
        item: work.id("msg").replace('-', "_"),
        created: now(),
        model: call.model,
        instructions: call.instructions,
        settings: call.conversation.settings.clone(),
    };
    if call.stream {
        let answering = answering(&doors, asked, call.conversation, work).await?;
        return Ok(events(answering, ResponseStream::new(head)));
    }
    let answer = doors.answer(&asked, call.conversation, &work).await?;
    let text = answer.text.clone();
    Ok((work.headers(), json_answer(&head.ended(&text, &answer))).into_response())
}

/// What is known of a response before it is made.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) item: String,
    created: u64,
    model: String,
    instructions: Option<String>,
    settings: Settings,
}

impl Head {
    /// The response while it is being made.
    pub(super) fn in_progress(&self) -> Value {
        self.with("in_progress", json!([]))
    }

    /// The response that failed.
    pub(super) fn failed(&self, error: &ApiError) -> Value {
        let mut response = self.with("failed", json!([]));
        put(&mut response, "error", json!({ "code": "server_error", "message": error.message() }));
        response
    }

    /// The whole response.
    pub(super) fn ended(&self, text: &str, answer: &Answer) -> Value {
        let is_whole = answer.finish_reason == FinishReason::Stop;
        let status = if is_whole { "completed" } else { "incomplete" };
        let mut response = self.with(status, json!([self.message(status, &[part(text)])]));
        if !is_whole {
            put(&mut response, "incomplete_details", json!({ "reason": "max_output_tokens" }));
        }
        put(&mut response, "usage", usage(answer.usage));
        if let Some(notes) = &answer.notes {
            put(&mut response, "megabrain", notes.clone());
        }
        response
    }

    /// The one message of a response.
    pub(super) fn message(&self, status: &str, content: &[Value]) -> Value {
        json!({ "type": "message", "id": self.item, "status": status, "role": "assistant", "content": content })
    }

    fn with(&self, status: &str, output: Value) -> Value {
        let Self { id, created, model, instructions, settings, .. } = self;
        json!({
            "id": id, "object": "response", "created_at": created, "status": status, "model": model, "output": output,
            "error": null, "incomplete_details": null, "instructions": instructions, "metadata": {}, "usage": null,
            "max_output_tokens": settings.max_tokens, "temperature": settings.temperature, "top_p": settings.top_p,
            "parallel_tool_calls": false, "previous_response_id": null, "store": false, "text": { "format": { "type": "text" } },
            "tool_choice": "auto", "tools": [], "truncation": "disabled",
        })
    }
}

/// A message's text.
pub(super) fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": { "cached_tokens": 0 },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens),
    })
}

fn put(response: &mut Value, name: &str, value: Value) {
    if let Some(fields) = response.as_object_mut() {
        fields.insert(name.into(), value);
    }
}
