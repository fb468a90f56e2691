//! How does a model call functions of the caller? Field names and shapes are those of the OpenAI API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Fault;

/// Tools that a request may have.
const MOST_TOOLS: usize = 128;
/// Characters of a function's name.
const LONGEST_NAME: usize = 64;

/// Something that the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// What kind of thing: a function.
    #[serde(rename = "type")]
    pub kind: ToolKind,
    /// The function.
    pub function: FunctionTool,
}

/// Kinds of tools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolKind {
    /// A function of the caller.
    #[default]
    Function,
}

/// A function that the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionTool {
    /// What it is called: 1 to 64 letters, digits, `_`, `-` and `.`; no two of a request alike.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A JSON Schema of its arguments. Without it, there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
    /// True where the caller wants arguments that keep to `parameters`. They are held to it by a grammar where the call
    /// itself is: with `tool_choice` `required` or a named function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// Whether the model calls tools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected \"none\", \"auto\", \"required\" or {\"type\":\"function\",\"function\":{\"name\":…}}"
)]
pub enum ToolChoice {
    /// By a word.
    Mode(ToolMode),
    /// This function, and nothing else.
    Named(NamedTool),
}

/// Whether the model calls tools, by a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolMode {
    /// It does not, and is not told of them.
    None,
    /// As it likes.
    Auto,
    /// It does.
    Required,
}

/// The function that the model must call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NamedTool {
    /// What kind of thing: a function.
    #[serde(rename = "type")]
    pub kind: ToolKind,
    /// Which one.
    pub function: FunctionName,
}

/// A function by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionName {
    /// What it is called.
    pub name: String,
}

/// A call that the model asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    /// The call's own id, for the message that answers it.
    pub id: String,
    /// What kind of thing is called: a function.
    #[serde(rename = "type", default)]
    pub kind: ToolKind,
    /// The function and its arguments.
    pub function: FunctionCall,
}

/// A function and its arguments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionCall {
    /// What it is called.
    pub name: String,
    /// Its arguments: a JSON object, as text.
    pub arguments: String,
}

/// A part of a call, in a frame of a stream. The parts of one call have the same index.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCallDelta {
    /// Which call of this answer, from 0.
    pub index: u32,
    /// The call's own id. With its first part only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What kind of thing is called. With the first part only.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ToolKind>,
    /// More of the function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<FunctionCallDelta>,
}

/// More of a function and its arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FunctionCallDelta {
    /// What it is called. With the call's first part only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The next piece of the arguments' text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
}

impl Tool {
    /// A function that the model may call.
    pub fn function(name: impl Into<String>, description: impl Into<String>, parameters: Value) -> Self {
        let (name, description) = (name.into(), Some(description.into()));
        let function = FunctionTool { name, description, parameters: Some(parameters), strict: None };
        Self { kind: ToolKind::Function, function }
    }
}

impl ToolCall {
    /// A call of a function.
    pub fn function(id: impl Into<String>, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        let function = FunctionCall { name: name.into(), arguments: arguments.into() };
        Self { id: id.into(), kind: ToolKind::Function, function }
    }

    /// The call as one part of a stream.
    pub fn into_delta(self, index: u32) -> ToolCallDelta {
        let FunctionCall { name, arguments } = self.function;
        let function = FunctionCallDelta { name: Some(name), arguments: Some(arguments) };
        ToolCallDelta { index, id: Some(self.id), kind: Some(self.kind), function: Some(function) }
    }
}

impl ToolChoice {
    /// This function, and nothing else.
    pub fn named(name: impl Into<String>) -> Self {
        Self::Named(NamedTool { kind: ToolKind::Function, function: FunctionName { name: name.into() } })
    }
}

/// Refuses tools that could not be told apart or called.
pub(super) fn check_tools(tools: &[Tool], choice: Option<&ToolChoice>) -> Result<(), Fault> {
    if tools.len() > MOST_TOOLS {
        return Err(Fault::invalid(format!("`tools` has {}: expected {MOST_TOOLS} or fewer", tools.len())));
    }
    for (index, tool) in tools.iter().enumerate() {
        let name = &tool.function.name;
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
            return Err(Fault::invalid(format!(
                "tools[{index}].function.name: expected 1 to {LONGEST_NAME} letters, digits, `_`, `-` and `.`"
            )));
        }
        if tools.iter().take(index).any(|earlier| earlier.function.name == *name) {
            return Err(Fault::invalid(format!("tools[{index}].function.name: there are two of {name}")));
        }
        if tool.function.parameters.as_ref().is_some_and(|schema| !schema.is_object()) {
            return Err(Fault::invalid(format!(
                "tools[{index}].function.parameters: expected a JSON Schema, an object"
            )));
        }
    }
    match choice {
        Some(ToolChoice::Named(named)) if tools.iter().all(|tool| tool.function.name != named.function.name) => {
            Err(Fault::invalid("`tool_choice` names a function that is not in `tools`"))
        }
        Some(ToolChoice::Mode(ToolMode::Required)) if tools.is_empty() => {
            Err(Fault::invalid("`tool_choice` is required, and there are no `tools`"))
        }
        _ => Ok(()),
    }
}
