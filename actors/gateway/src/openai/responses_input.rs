//! What is in the `input` of a response? The same messages as of a chat, in other words.

use megabrain_schemas::{Message, Role};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::conversation::{Conversation, Turn};
use crate::error::ApiError;
use crate::openai;
use crate::parameters::{Harmless, Parameters};

use super::messages;

const HARMLESS: Harmless = Harmless {
    any: &[
        "user",
        "store",
        "metadata",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "parallel_tool_calls",
        "max_tool_calls",
    ],
    only: &[
        ("text", &["{}", "{\"format\":{\"type\":\"text\"}}", "{\"verbosity\":\"medium\"}", TEXT_AND_VERBOSITY]),
        ("tools", &["[]"]),
        ("tool_choice", &["\"none\"", "\"auto\""]),
        ("include", &["[]"]),
        ("background", &["false"]),
        ("truncation", &["\"disabled\""]),
        ("top_logprobs", &["0"]),
        ("reasoning", &["{}", "{\"effort\":null,\"summary\":null}"]),
        ("stream_options", &["{}", "{\"include_obfuscation\":false}", "{\"include_obfuscation\":true}"]),
    ],
};
const TEXT_AND_VERBOSITY: &str = "{\"format\":{\"type\":\"text\"},\"verbosity\":\"medium\"}";

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
        let mut turns = messages::read(items.collect::<Result<_, _>>()?).map_err(|error| error.about("input"))?;
        if turns.is_empty() {
            return Err(ApiError::parameter("input", "`input` is empty"));
        }
        let instructions: Option<String> = parameters.take("instructions")?;
        if let Some(content) = instructions.clone() {
            turns.insert(0, Turn::from(Message::new(Role::System, content)));
        }
        let settings = openai::settings(&mut parameters, &["max_output_tokens"])?;
        let stream = parameters.take("stream")?.unwrap_or(false);
        parameters.finish(&HARMLESS)?;
        Ok(Self { model, instructions, conversation: Conversation { turns, settings }, stream })
    }
}

/// An item as a chat has it.
fn as_message(index: usize, mut item: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    match item.remove("type").as_ref().and_then(Value::as_str) {
        None | Some("message") => {}
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            return Err(ApiError::parameter(
                "input",
                format!("`input[{index}]`: {other:?} is not known to this brain yet"),
            ));
        }
    }
    for ours in ["id", "status"] {
        item.remove(ours);
    }
    if let Some(Value::Array(parts)) = item.get_mut("content") {
        parts.iter_mut().filter_map(Value::as_object_mut).for_each(rename);
    }
    Ok(item)
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

    fn read(body: &str) -> Result<ResponseCall, String> {
        Parameters::read(body.as_bytes()).and_then(ResponseCall::read).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_document_tells_its_parameters() {
        let body = r#"{"model":"fast","input":"Hi"}"#;
        let coming = ["top_k", "min_p", "repeat_penalty", "frequency_penalty", "presence_penalty", "logit_bias"];
        tells_all("/v1/responses", body, ResponseCall::read, &[], &coming);
    }

    #[test]
    fn a_text_is_a_users_message_and_instructions_stand_above_it() {
        let call = read(
            r#"{"model":"fast","input":"Hi","instructions":"Be short.","text":{},"store":false,"max_output_tokens":9}"#,
        );
        let Conversation { turns, settings } = call.unwrap().conversation;
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
    fn what_is_not_understood_is_refused_by_name() {
        for (more, told) in [
            (r#""input":[{"type":"function_call_output","call_id":"1","output":"x"}]"#, "function_call_output"),
            (r#""input":[{"role":"user","content":[{"type":"input_file","file_id":"f"}]}]"#, "file_data"),
            (r#""input":[]"#, "`input` is empty"),
            (r#""input":"Hi","previous_response_id":"resp_1""#, "`previous_response_id`"),
            (r#""input":"Hi","text":{"format":{"type":"json_object"}}"#, "`text`"),
        ] {
            let error = read(&format!(r#"{{"model":"fast",{more}}}"#)).err().unwrap();
            assert!(error.contains(told), "{more}: {error}");
        }
    }
}
