//! What is answered, whoever answers? Text, thoughts, calls of tools, and why it ended.

use megabrain_schemas::{AskReply, ChatReply, EchoReply, FinishReason, Message, Role, ToolCall, Usage};
use serde_json::{Value, json};

use crate::doors::Doors;

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// What is said.
    pub(crate) text: String,
    /// What the model thought before it said that.
    pub(crate) reasoning: Option<String>,
    /// What the model wants called.
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) finish_reason: FinishReason,
    pub(crate) usage: Usage,
    /// What the brain found and did, where it was asked.
    pub(crate) notes: Option<Value>,
}

impl Answer {
    /// Why it ended, as OpenAI writes it.
    pub(crate) fn finish_reason(&self) -> &'static str {
        match self.finish_reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
        }
    }
}

impl Doors {
    /// The router's answer. In a stream its text has come already.
    pub(crate) fn of_brain(&self, reply: AskReply) -> Answer {
        self.metrics.legs(&reply.legs);
        let AskReply { text, model, evidence, left_out, legs, took_ms, finish_reason, usage, .. } = reply;
        let notes =
            json!({ "model": model, "evidence": evidence, "left_out": left_out, "legs": legs, "took_ms": took_ms });
        Answer {
            text,
            reasoning: None,
            tool_calls: Vec::new(),
            finish_reason: finish_reason.unwrap_or(FinishReason::Stop),
            usage: usage.unwrap_or_default(),
            notes: Some(notes),
        }
    }
}

/// A model's answer, likewise.
pub(crate) fn of_chat(reply: ChatReply) -> Answer {
    let ChatReply { message, finish_reason, usage, .. } = reply;
    let message = message.unwrap_or_else(|| Message::new(Role::Assistant, ""));
    let Message { content, reasoning_content, tool_calls, .. } = message;
    Answer { text: content, reasoning: reasoning_content, tool_calls, finish_reason, usage, notes: None }
}

/// What an actor without a model says back. It has no tokens.
pub(crate) fn of_echo(reply: EchoReply) -> Answer {
    Answer {
        text: reply.text.unwrap_or_default(),
        reasoning: None,
        tool_calls: Vec::new(),
        finish_reason: FinishReason::Stop,
        usage: Usage::default(),
        notes: None,
    }
}
