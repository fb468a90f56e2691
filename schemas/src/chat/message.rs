//! What is a message of a conversation?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tools::ToolCall;
use crate::contract::null_is_absent;
use crate::{Fault, Media, check};

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions that stand above the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What came of a call that the model asked for.
    Tool,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "MessageAsWritten")]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said. May be absent or `null`, which reads as empty, where the model calls tools.
    pub content: String,
    /// Pictures that belong to it, for a model that takes some; they come before what is said. At most 64 in all messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Media>,
    /// What the model thought before it said this, for models that think aloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Calls that the model asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Of a message of role `tool`: the call that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// A message as it may be written: without content where it calls tools.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Message")]
struct MessageAsWritten {
    /// Who says it.
    role: Role,
    /// What is said. May be absent or `null` where the model calls tools.
    #[serde(default)]
    content: Option<String>,
    /// Pictures that belong to it, for a model that takes some; they come before what is said. At most 64 in all messages.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<Media>>")]
    images: Vec<Media>,
    /// What the model thought before it said this, for models that think aloud.
    #[serde(default)]
    reasoning_content: Option<String>,
    /// Calls that the model asks for.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<ToolCall>>")]
    tool_calls: Vec<ToolCall>,
    /// Of a message of role `tool`: the call that it answers.
    #[serde(default)]
    tool_call_id: Option<String>,
}

impl TryFrom<MessageAsWritten> for Message {
    type Error = &'static str;

    fn try_from(written: MessageAsWritten) -> Result<Self, Self::Error> {
        let MessageAsWritten { role, content, images, reasoning_content, tool_calls, tool_call_id } = written;
        if content.is_none() && tool_calls.is_empty() {
            return Err("missing field `content`");
        }
        let content = content.unwrap_or_default();
        Ok(Self { role, content, images, reasoning_content, tool_calls, tool_call_id })
    }
}

impl Message {
    /// A message of words.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            images: Vec::new(),
            reasoning_content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
    /// A message from the person.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }
    /// A message from the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
    }
    /// What came of the call with this id.
    pub fn tool(tool_call_id: impl Into<String>, content: impl Into<String>) -> Self {
        Self { tool_call_id: Some(tool_call_id.into()), ..Self::new(Role::Tool, content) }
    }
}

/// Refuses messages whose parts do not fit together.
pub(crate) fn check_messages(messages: &[Message]) -> Result<(), Fault> {
    check::images("`messages` have", messages.iter().map(|message| message.images.len()).sum())?;
    for (index, message) in messages.iter().enumerate() {
        for (number, image) in message.images.iter().enumerate() {
            image.check(&format!("messages[{index}].images[{number}]"))?;
        }
        match (message.role, &message.tool_call_id) {
            (Role::Tool, None) => {
                return Err(Fault::invalid(format!("messages[{index}] has role `tool` and no `tool_call_id`")));
            }
            (Role::System | Role::User | Role::Assistant, Some(_)) => {
                return Err(Fault::invalid(format!("messages[{index}] has a `tool_call_id` and not the role `tool`")));
            }
            _ => {}
        }
        if message.role != Role::Assistant && !message.tool_calls.is_empty() {
            return Err(Fault::invalid(format!("messages[{index}] has `tool_calls` and not the role `assistant`")));
        }
    }
    Ok(())
}
