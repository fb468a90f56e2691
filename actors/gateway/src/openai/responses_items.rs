//! What does a response consist of? Items: what the model thought, what it says, and each call that it asks for.

use megabrain_schemas::{FunctionCall, ToolCall};
use serde_json::{Value, json};

use crate::answer::Answer;

/// One item of a response's output.
#[derive(Debug)]
pub(super) enum Item {
    /// What the model thought.
    Reasoning(String),
    /// What it says.
    Message(String),
    /// What it wants called.
    Call(ToolCall),
}

impl Item {
    /// The items of a whole answer. One that says nothing says that in a message.
    pub(super) fn of(answer: &Answer) -> Vec<Self> {
        let Answer { text, reasoning, tool_calls, .. } = answer;
        let thought = reasoning.clone().map(Self::Reasoning);
        let said = (!text.is_empty() || tool_calls.is_empty()).then(|| Self::Message(text.clone()));
        thought.into_iter().chain(said).chain(tool_calls.iter().cloned().map(Self::Call)).collect()
    }

    /// A call whose arguments are still to come.
    pub(super) fn call(id: String, name: String) -> Self {
        Self::Call(ToolCall::function(id, name, ""))
    }

    /// Its id: `rest` tells it from all other items of its kind.
    pub(super) fn id(&self, rest: &str) -> String {
        let kind = match self {
            Self::Reasoning(_) => "rs",
            Self::Message(_) => "msg",
            Self::Call(_) => "fc",
        };
        format!("{kind}_{rest}")
    }

    /// What events about its text are called after: `response.<this>.delta`. Then what their text is called at its end.
    pub(super) fn events(&self) -> (&'static str, &'static str) {
        match self {
            Self::Reasoning(_) => ("reasoning_text", "text"),
            Self::Message(_) => ("output_text", "text"),
            Self::Call(_) => ("function_call_arguments", "arguments"),
        }
    }

    /// Its text, or the arguments of its call.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Reasoning(text) | Self::Message(text) => text,
            Self::Call(ToolCall { function: FunctionCall { arguments, .. }, .. }) => arguments,
        }
    }

    /// Goes on.
    pub(super) fn push(&mut self, more: &str) {
        match self {
            Self::Reasoning(text) | Self::Message(text) => text.push_str(more),
            Self::Call(call) => call.function.arguments.push_str(more),
        }
    }

    /// The part that its text is, where it has parts.
    pub(super) fn part(&self) -> Option<Value> {
        match self {
            Self::Reasoning(text) => Some(json!({ "type": "reasoning_text", "text": text })),
            Self::Message(text) => {
                Some(json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }))
            }
            Self::Call(_) => None,
        }
    }

    /// The item when it begins: without parts.
    pub(super) fn begun(&self, id: &str) -> Value {
        self.written(id, "in_progress", &[])
    }

    /// The item when it has ended.
    pub(super) fn ended(&self, id: &str, status: &str) -> Value {
        self.written(id, status, self.part().as_slice())
    }

    fn written(&self, id: &str, status: &str, content: &[Value]) -> Value {
        match self {
            Self::Reasoning(_) => {
                json!({ "type": "reasoning", "id": id, "status": status, "summary": [], "content": content })
            }
            Self::Message(_) => {
                json!({ "type": "message", "id": id, "status": status, "role": "assistant", "content": content })
            }
            Self::Call(ToolCall { id: call, function: FunctionCall { name, arguments }, .. }) => json!({
                "type": "function_call", "id": id, "status": status,
                "call_id": call, "name": name, "arguments": arguments,
            }),
        }
    }
}
