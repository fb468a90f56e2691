//! What is in OpenAI's messages? Text, calls of tools and what came of them, and beside that pictures, sound and files.

use megabrain_schemas::{Message, Role, ToolCall};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::conversation::Turn;
use crate::encoded;
use crate::error::ApiError;
use crate::media::Attached;

/// A part of a message.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: String },
    Refusal { refusal: String },
    ImageUrl { image_url: Url },
    InputAudio { input_audio: Sound },
    File { file: File },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Url {
    Plain(String),
    Object { url: String },
}

#[derive(Deserialize)]
struct Sound {
    data: String,
    format: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    file_data: Option<String>,
}

/// What a message may have beside `role` and `content`, and that says nothing more to a model.
const HARMLESS: [&str; 4] = ["name", "refusal", "annotations", "audio"];

/// Reads messages, which the parameter `name` has.
///
/// # Errors
/// The message and the part of it that cannot be understood, by their numbers.
pub(crate) fn read(name: &str, messages: Vec<Map<String, Value>>) -> Result<Vec<Turn>, ApiError> {
    let one =
        |(index, message)| one(message).map_err(|error| ApiError::parameter(name, format!("`{name}[{index}]{error}")));
    messages.into_iter().enumerate().map(one).collect()
}

fn one(mut message: Map<String, Value>) -> Result<Turn, String> {
    let role = match message.remove("role") {
        Some(Value::String(role)) => role,
        _ => return Err("`: `role` is missing".into()),
    };
    let role = match role.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(format!("`: role {role:?}: expected system, developer, user, assistant or tool")),
    };
    let content = message.remove("content").unwrap_or_default();
    let reasoning_content = take(&mut message, "reasoning_content")?;
    let tool_calls: Vec<ToolCall> = take(&mut message, "tool_calls")?.unwrap_or_default();
    let tool_call_id = take(&mut message, "tool_call_id")?;
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let unknown = message.iter().find(|(name, value)| !HARMLESS.contains(&name.as_str()) && !is_empty(value));
    if let Some((name, _)) = unknown {
        return Err(format!("`: `{name}` is not known to this brain: leave it out"));
    }
    let mut attached = Vec::new();
    let content = match content {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Array(parts) => together(parts, &mut attached)?,
        _ => return Err(".content`: expected a text or a list of parts".into()),
    };
    if role != Role::User && !attached.is_empty() {
        return Err("`: only the user's messages may have pictures, sound and files".into());
    }
    Ok(Turn {
        message: Message { reasoning_content, tool_calls, tool_call_id, ..Message::new(role, content) },
        attached,
    })
}

fn take<T: DeserializeOwned>(message: &mut Map<String, Value>, name: &str) -> Result<Option<T>, String> {
    let value = message.remove(name).unwrap_or_default();
    serde_json::from_value(value).map_err(|error| format!(".{name}`: {error}"))
}

fn together(parts: Vec<Value>, attached: &mut Vec<Attached>) -> Result<String, String> {
    let mut texts = Vec::new();
    for (index, part) in parts.into_iter().enumerate() {
        let wrong = |error: String| format!(".content[{index}]`: {error}");
        match serde_json::from_value(part).map_err(|error| wrong(error.to_string()))? {
            Part::Text { text } | Part::Refusal { refusal: text } => texts.push(text),
            Part::ImageUrl { image_url: Url::Plain(url) | Url::Object { url } } => {
                attached.push(Attached::from_url(&url).map_err(wrong)?);
            }
            Part::InputAudio { input_audio } => attached.push(sound(&input_audio).map_err(wrong)?),
            Part::File { file: File { file_data } } => {
                let data = file_data
                    .ok_or_else(|| wrong("no `file_data`: files are not kept here, send them along".into()))?;
                attached.push(Attached::from_url(&data).map_err(wrong)?);
            }
        }
    }
    Ok(texts.join("\n"))
}

/// Sound as its base64 and its format's name.
fn sound(Sound { data, format }: &Sound) -> Result<Attached, String> {
    let said = match format.as_str() {
        "mp3" => "audio/mpeg".to_owned(),
        "m4a" => "audio/mp4".to_owned(),
        format => format!("audio/{format}"),
    };
    // Some clients send a data URL where base64 is asked for.
    match encoded::data_url(data) {
        Some(read) => read.map(|(mime, bytes)| Attached::bytes(mime.or(Some(said)), bytes)),
        None => encoded::decode(data).map(|bytes| Attached::bytes(Some(said), bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(messages: &str) -> Result<Vec<Turn>, String> {
        read("messages", serde_json::from_str(messages).unwrap()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn text_comes_whole_or_in_parts_and_the_rest_is_attached() {
        let turns = read_json(
            r#"[{"role":"developer","content":"Be short."},
                {"role":"user","content":[{"type":"text","text":"What is"},{"type":"text","text":"this?"},
                    {"type":"image_url","image_url":{"url":"data:image/png;base64,AQID","detail":"low"}},
                    {"type":"input_audio","input_audio":{"data":"AQID","format":"mp3"}}]},
                {"role":"assistant","content":null,"refusal":null,"annotations":[],"tool_calls":null}]"#,
        )
        .unwrap();
        let said: Vec<(Role, &str)> =
            turns.iter().map(|turn| (turn.message.role, turn.message.content.as_str())).collect();
        assert_eq!(said, [(Role::System, "Be short."), (Role::User, "What is\nthis?"), (Role::Assistant, "")]);
        let types: Vec<&str> = turns[1].attached.iter().filter_map(|one| one.mime.as_deref()).collect();
        assert_eq!(types, ["image/png", "audio/mpeg"]);
    }

    #[test]
    fn calls_and_what_came_of_them_are_messages_too() {
        let turns = read_json(
            r#"[{"role":"assistant","content":null,"reasoning_content":"Where is it?","tool_calls":[{"id":"call_1",
                    "type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}}]},
                {"role":"tool","tool_call_id":"call_1","content":[{"type":"text","text":"31"}]}]"#,
        )
        .unwrap();
        let call = ToolCall::function("call_1", "get_weather", r#"{"city":"Paris"}"#);
        let asked = Message {
            reasoning_content: Some("Where is it?".into()),
            tool_calls: vec![call],
            ..Message::assistant("")
        };
        assert_eq!([&turns[0].message, &turns[1].message], [&asked, &Message::tool("call_1", "31")]);
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_place() {
        for (messages, told) in [
            (r#"[{"content":"x"}]"#, "messages[0]`: `role`"),
            (r#"[{"role":"user","content":"x"},{"role":"function","content":"x"}]"#, "messages[1]`: role \"function\""),
            (
                r#"[{"role":"assistant","content":"","tool_calls":[{"id":"1"}]}]"#,
                "messages[0].tool_calls`: missing field `function`",
            ),
            (r#"[{"role":"assistant","content":"","function_call":{"name":"f"}}]"#, "`function_call`"),
            (r#"[{"role":"tool","content":"","tool_call_id":7}]"#, "messages[0].tool_call_id`"),
            (
                r#"[{"role":"user","content":[{"type":"text","text":"x"},{"type":"song"}]}]"#,
                "content[1]`: unknown variant `song`",
            ),
            (
                r#"[{"role":"user","content":[{"type":"image_url","image_url":{"url":"file:///y.png"}}]}]"#,
                "not fetched",
            ),
            (
                r#"[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"***","format":"wav"}}]}]"#,
                "base64",
            ),
            (
                r#"[{"role":"system","content":[{"type":"image_url","image_url":"data:;base64,AQID"}]}]"#,
                "only the user's",
            ),
            (r#"[{"role":"user","content":7}]"#, "content"),
        ] {
            let error = read_json(messages).unwrap_err();
            assert!(error.contains(told), "{messages}: {error}");
        }
    }
}
