//! How is a conversation's next message streamed? In chunks of its text, the last ones with why it ended and its usage.

use axum::response::sse::Event;
use megabrain_schemas::ToolCallDelta;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::error::ApiError;
use crate::models::now;
use crate::openai;
use crate::stream::{Script, event};

/// One streamed `chat.completion`.
pub(super) struct ChatStream {
    id: String,
    model: String,
    created: u64,
    include_usage: bool,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    choices: &'a [Choice<'a>],
    /// `null` in all but the last chunk, where usage was asked for; else absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    /// What the brain tells beside its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    megabrain: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'a> {
    index: u32,
    delta: Delta<'a>,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

#[derive(Default, Serialize)]
struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallDelta>,
}

impl ChatStream {
    pub(super) fn new(id: String, model: String, include_usage: bool) -> Self {
        Self { id, model, created: now(), include_usage }
    }

    fn chunk(&self, delta: Delta<'_>, finish_reason: Option<&'static str>, megabrain: Option<Value>) -> Event {
        let choices = [Choice { index: 0, delta, logprobs: None, finish_reason }];
        let usage = self.include_usage.then_some(Value::Null);
        event(&self.with(&choices, usage, megabrain))
    }

    fn with<'a>(&'a self, choices: &'a [Choice<'a>], usage: Option<Value>, megabrain: Option<Value>) -> Chunk<'a> {
        let Self { id, model, created, .. } = self;
        Chunk { id, object: "chat.completion.chunk", created: *created, model, choices, usage, megabrain }
    }
}

impl Script for ChatStream {
    type Line = Event;

    fn begin(&mut self) -> Vec<Event> {
        vec![self.chunk(Delta { role: Some("assistant"), content: Some(""), ..Delta::default() }, None, None)]
    }

    fn thought(&mut self, thought: &str) -> Vec<Event> {
        vec![self.chunk(Delta { reasoning_content: Some(thought), ..Delta::default() }, None, None)]
    }

    fn text(&mut self, text: &str) -> Vec<Event> {
        vec![self.chunk(Delta { content: Some(text), ..Delta::default() }, None, None)]
    }

    fn calls(&mut self, tool_calls: Vec<ToolCallDelta>) -> Vec<Event> {
        vec![self.chunk(Delta { tool_calls, ..Delta::default() }, None, None)]
    }

    fn note(&mut self, note: Value) -> Vec<Event> {
        // An empty delta: clients that know of no notes see nothing new.
        vec![self.chunk(Delta::default(), None, Some(note))]
    }

    fn end(&mut self, answer: Answer) -> Vec<Event> {
        let mut events = vec![self.chunk(Delta::default(), Some(answer.finish_reason()), answer.notes.clone())];
        if self.include_usage {
            events.push(event(&self.with(&[], Some(openai::usage(answer.usage)), None)));
        }
        events.push(done());
        events
    }

    fn fail(&mut self, error: ApiError) -> Vec<Event> {
        vec![event(&error.body()), done()]
    }
}

/// What ends every stream of OpenAI's older doors.
pub(super) fn done() -> Event {
    Event::default().data("[DONE]")
}
