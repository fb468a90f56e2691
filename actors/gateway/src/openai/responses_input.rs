//! What is in the `input` of a response? The same as in the messages of a chat, taken apart into items.

use megabrain_schemas::{Message, Role, ToolCall};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::conversation::{Conversation, Turn};
use crate::error::ApiError;
use crate::openai;
use crate::parameters::{Harmless, Parameters};

use super::{messages, tools};

pub(crate) const HARMLESS: Harmless = Harmless {
    any: &[
        "user",
        "store",
        "metadata",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        // Those of tools that are built in, of which there are none.
        "max_tool_calls",
    ],
    only: &[
        ("include", &["[]"]),
        ("background", &["false"]),
        ("truncation", &["\"disabled\""]),
        ("top_logprobs", &["0"]),
        ("reasoning", &["{}", "{\"effort\":null,\"summary\":null}"]),
        ("stream_options", &["{}", "{\"include_obfuscation\":false}", "{\"include_obfuscation\":true}"]),
    ],
};

/// What is asked for.
pub(super) struct ResponseCall {
    pub(super) model: String,
    pub(super) instructions: Option<String>,
    pub(super) conversation: Conversation,
    pub(super) stream: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<Map<String, Value>>),
}

impl ResponseCall {
    pub(super) fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let model = parameters.need("model")?;
        let items = match parameters.need("input")? {
            Input::Text(text) => {
                vec![Map::from_iter([("role".into(), json!("user")), ("content".into(), json!(text))])]
            }
            Input::Items(items) => items,
        };
        let items = items.into_iter().enumerate().map(|(index, item)| as_message(index, item));
        let mut turns = joined(messages::read("input", items.collect::<Result<_, _>>()?)?);
        if turns.is_empty() {
            return Err(ApiError::parameter("input", "`input` is empty"));
        }
        let instructions: Option<String> = parameters.take("instructions")?;
        if let Some(content) = instructions.clone() {
            turns.insert(0, Turn::from(Message::new(Role::System, content)));
        }
        let mut settings = openai::settings(&mut parameters, &["max_output_tokens"])?;
        tools::of_response(&mut parameters, &mut settings)?;
        let stream = parameters.take("stream")?.unwrap_or(false);
        parameters.finish(&HARMLESS)?;
        Ok(Self { model, instructions, conversation: Conversation { turns, said_in: "input", settings }, stream })
    }
}

/// An item that is no message.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Item {
    FunctionCall {
        call_id: String,
        name: String,
        arguments: String,
    },
    FunctionCallOutput {
        call_id: String,
        output: Value,
    },
    Reasoning {
        #[serde(default)]
        summary: Vec<Thought>,
        #[serde(default)]
        content: Vec<Thought>,
    },
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum Thought {
    SummaryText { text: String },
    ReasoningText { text: String },
}

/// An item as a message of a chat.
fn as_message(index: usize, mut item: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    item.retain(|name, value| !["id", "status"].contains(&name.as_str()) && !value.is_null());
    let mut message = match item.get("type").and_then(Value::as_str) {
        None | Some("message") => {
            item.remove("type");
            item
        }
        Some(_) => serde_json::from_value(item.into())
            .map(Item::into_message)
            .map_err(|error| ApiError::parameter("input", format!("`input[{index}]`: {error}")))?,
    };
    if let Some(Value::Array(parts)) = message.get_mut("content") {
        parts.iter_mut().filter_map(Value::as_object_mut).for_each(rename);
    }
    Ok(message)
}

impl Item {
    fn into_message(self) -> Map<String, Value> {
        let fields = match self {
            Self::FunctionCall { call_id, name, arguments } => {
                let call = ToolCall::function(call_id, name, arguments);
                [("role", json!("assistant")), ("tool_calls", json!([call]))].to_vec()
            }
            Self::FunctionCallOutput { call_id, output } => {
                [("role", json!("tool")), ("tool_call_id", json!(call_id)), ("content", output)].to_vec()
            }
            Self::Reasoning { summary, content } => {
                let thoughts = if content.is_empty() { summary } else { content };
                let texts = thoughts.into_iter().map(|thought| match thought {
                    Thought::SummaryText { text } | Thought::ReasoningText { text } => text,
                });
                let thought = texts.collect::<Vec<_>>().join("\n");
                [("role", json!("assistant")), ("reasoning_content", json!(thought))].to_vec()
            }
        };
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// What a model did at once as one message: here, its thoughts, its words and each of its calls are items of their own.
fn joined(turns: Vec<Turn>) -> Vec<Turn> {
    let mut joined: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns {
        match joined.last_mut().filter(|last| is_one_message(&last.message, &turn.message)) {
            Some(last) => join(&mut last.message, turn.message),
            None => joined.push(turn),
        }
    }
    joined
}

fn is_one_message(before: &Message, next: &Message) -> bool {
    let only_thinks = before.content.is_empty() && before.tool_calls.is_empty();
    let only_calls = next.content.is_empty() && next.reasoning_content.is_none();
    before.role == Role::Assistant && next.role == Role::Assistant && (only_thinks || only_calls)
}

fn join(before: &mut Message, next: Message) {
    before.content.push_str(&next.content);
    before.tool_calls.extend(next.tool_calls);
    if let Some(thought) = next.reasoning_content {
        let earlier = before.reasoning_content.take().map(|earlier| format!("{earlier}\n"));
        before.reasoning_content = Some(earlier.unwrap_or_default() + &thought);
    }
}

/// A part as a chat has it.
fn rename(part: &mut Map<String, Value>) {
    let kind = match part.get("type").and_then(Value::as_str) {
        Some("input_text" | "output_text") => "text",
        Some("input_image") => "image_url",
        Some("input_file") => {
            let file = json!({ "file_data": part.remove("file_data") });
            part.insert("file".into(), file);
            "file"
        }
        _ => return,
    };
    part.insert("type".into(), kind.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all;
    use crate::parameters::read_text;

    fn read(body: &str) -> Result<ResponseCall, String> {
        read_text(body, ResponseCall::read)
    }

    #[test]
    fn the_document_tells_its_parameters() {
        let body = r#"{"model":"fast","input":"Hi"}"#;
        tells_all("/v1/responses", body, ResponseCall::read, &[]);
    }

    #[test]
    fn a_text_is_a_users_message_and_instructions_stand_above_it() {
        let call = read(
            r#"{"model":"fast","input":"Hi","instructions":"Be short.","text":{},"store":false,"max_output_tokens":9}"#,
        );
        let Conversation { turns, settings, .. } = call.unwrap().conversation;
        let said: Vec<(Role, &str)> =
            turns.iter().map(|turn| (turn.message.role, turn.message.content.as_str())).collect();
        assert_eq!(said, [(Role::System, "Be short."), (Role::User, "Hi")]);
        assert_eq!(settings.max_tokens, Some(9));
    }

    #[test]
    fn items_have_text_and_pictures_and_answers_of_before() {
        let call = read(
            r#"{"model":"brain","input":[
                {"role":"user","content":[{"type":"input_text","text":"See"},{"type":"input_image","detail":"auto","image_url":"data:image/png;base64,AQID"}]},
                {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"A cat.","annotations":[],"logprobs":[]}]},
                {"role":"user","content":"Sure?"}],
                "text":{"format":{"type":"text"}},"tools":[],"stream":true}"#,
        )
        .unwrap();
        assert!(call.stream);
        let turns = &call.conversation.turns;
        let said: Vec<(&str, usize)> =
            turns.iter().map(|turn| (turn.message.content.as_str(), turn.attached.len())).collect();
        assert_eq!(said, [("See", 1), ("A cat.", 0), ("Sure?", 0)]);
    }

    #[test]
    fn thoughts_words_and_calls_of_one_answer_are_one_message() {
        let call = read(
            r#"{"model":"fast","input":[
                {"role":"user","content":"Paris and Rome?"},
                {"type":"reasoning","id":"rs_1","summary":[],"content":[{"type":"reasoning_text","text":"Two cities."}],"encrypted_content":null},
                {"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"I look."}]},
                {"type":"function_call","id":"fc_1","status":"completed","call_id":"1","name":"get","arguments":"{\"city\":\"Paris\"}"},
                {"type":"function_call","id":"fc_2","status":"completed","call_id":"2","name":"get","arguments":"{\"city\":\"Rome\"}"},
                {"type":"function_call_output","call_id":"1","output":"31"},
                {"type":"function_call_output","call_id":"2","output":[{"type":"input_text","text":"33"}]},
                {"type":"function_call","call_id":"3","name":"get","arguments":"{}"}],
                "tools":[{"type":"function","name":"get"}],"tool_choice":"required"}"#,
        );
        let turns = call.unwrap().conversation.turns;
        let messages: Vec<&Message> = turns.iter().map(|turn| &turn.message).collect();
        let get = |id: &str, arguments: &str| ToolCall::function(id, "get", arguments);
        let first = Message {
            reasoning_content: Some("Two cities.".into()),
            tool_calls: vec![get("1", r#"{"city":"Paris"}"#), get("2", r#"{"city":"Rome"}"#)],
            ..Message::assistant("I look.")
        };
        let again = Message { tool_calls: vec![get("3", "{}")], ..Message::assistant("") };
        let (paris, rome) = (Message::tool("1", "31"), Message::tool("2", "33"));
        assert_eq!(messages, [&Message::user("Paris and Rome?"), &first, &paris, &rome, &again]);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (more, told) in [
            (r#""input":[{"type":"item_reference","id":"msg_1"}]"#, "`input[0]`: unknown variant `item_reference`"),
            (r#""input":[{"type":"function_call","name":"f","arguments":"{}"}]"#, "missing field `call_id`"),
            (r#""input":[{"type":"reasoning","summary":[],"encrypted_content":"x"}]"#, "`encrypted_content`"),
            (
                r#""input":[{"role":"user","content":"Hi"},{"type":"function_call_output","call_id":"1","output":7}]"#,
                "`input[1].content`",
            ),
            (r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#, "file_data"),
            (r#""input":[]"#, "`input` is empty"),
            (r#""input":"Hi","previous_response_id":"resp_1""#, "`previous_response_id`"),
            (r#""input":"Hi","text":{"format":{"type":"yaml"}}"#, "`text`"),
            (r#""input":"Hi","tools":[{"type":"web_search"}]"#, "`tools`"),
        ] {
            let error = read(&format!(r#"{{"model":"fast",{more}}}"#)).err().unwrap();
            assert!(error.contains(told), "{more}: {error}");
        }
    }
}
