//! How does a template see a conversation? As the Python dictionaries that its author had before him.

use megabrain_schemas::{Message, Role, Tool, ToolCall};
use serde_json::{Map, Value, json};

use super::json::spaced;

/// What a model is told whose template knows of no tools. It is told to write what Hermes writes.
const INSTRUCTION: &str = "\
# Tools

You may call one or more functions to help with the request of the user. These are the functions, each as JSON:
{tools}

To call a function, write its name and its arguments as a JSON object between these tags, and nothing else:
<tool_call>
{\"name\": \"<name of the function>\", \"arguments\": {<arguments>}}
</tool_call>";

/// Messages for a template that knows of tools.
pub(super) fn with_tools(messages: &[Message]) -> Value {
    messages.iter().map(message).collect()
}

/// Messages for a template that knows of none: what the model needs to know of tools is told in words.
pub(super) fn in_words(messages: &[Message], tools: &[Tool]) -> Value {
    let mut told: Vec<Message> = messages.iter().map(message_in_words).collect();
    if !tools.is_empty() {
        let instruction = instruction(tools);
        match told.first_mut().filter(|first| first.role == Role::System) {
            Some(first) => first.content = format!("{}\n\n{instruction}", first.content),
            None => told.insert(0, Message::new(Role::System, instruction)),
        }
    }
    told.iter().map(message).collect()
}

/// The same for a template that refuses the role `system`: its words come first in what the person says.
pub(super) fn without_system(messages: &Value) -> Option<Value> {
    let mut messages = messages.as_array()?.clone();
    let system = messages.first().filter(|first| first["role"] == "system")?["content"].as_str()?.to_owned();
    messages.remove(0);
    let first = messages.first_mut().filter(|first| first["role"] == "user")?;
    let words = format!("{system}\n\n{}", first["content"].as_str().unwrap_or_default());
    first["content"] = Value::String(words);
    Some(Value::Array(messages))
}

fn instruction(tools: &[Tool]) -> String {
    let tools: Vec<String> = tools.iter().map(|tool| spaced(&json!(tool.function))).collect();
    INSTRUCTION.replace("{tools}", &tools.join("\n"))
}

fn message(message: &Message) -> Value {
    let mut fields = Map::new();
    let is_only_calls = message.content.is_empty() && !message.tool_calls.is_empty();
    fields.insert("role".into(), json!(message.role));
    fields.insert("content".into(), if is_only_calls { Value::Null } else { json!(message.content) });
    if let Some(thought) = &message.reasoning_content {
        fields.insert("reasoning_content".into(), json!(thought));
    }
    if !message.tool_calls.is_empty() {
        fields.insert("tool_calls".into(), message.tool_calls.iter().map(call).collect());
    }
    if let Some(id) = &message.tool_call_id {
        fields.insert("tool_call_id".into(), json!(id));
    }
    Value::Object(fields)
}

/// A call whose arguments are an object: templates write them as JSON themselves.
fn call(call: &ToolCall) -> Value {
    let function = json!({"name": call.function.name, "arguments": arguments(call)});
    json!({"id": call.id, "type": "function", "function": function})
}

fn arguments(call: &ToolCall) -> Value {
    let text = &call.function.arguments;
    let parsed: Option<Value> = serde_json::from_str(text).ok();
    parsed.filter(Value::is_object).unwrap_or_else(|| json!(text))
}

fn message_in_words(message: &Message) -> Message {
    let mut told = Message { tool_calls: Vec::new(), tool_call_id: None, ..message.clone() };
    for call in &message.tool_calls {
        let written = spaced(&json!({"name": call.function.name, "arguments": arguments(call)}));
        let between = if told.content.is_empty() { "" } else { "\n" };
        told.content.push_str(&format!("{between}<tool_call>\n{written}\n</tool_call>"));
    }
    if message.role == Role::Tool {
        told.role = Role::User;
        told.content = format!("<tool_response>\n{}\n</tool_response>", message.content);
    }
    told
}
