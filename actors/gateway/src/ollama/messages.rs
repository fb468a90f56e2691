//! What is in Ollama's messages? The same as in OpenAI's; only that pictures stand apart, and that calls have no ids.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use crate::conversation::Turn;
use crate::error::ApiError;
use crate::openai::read_messages;

/// A call that has no answer yet: its function, and the id that it was given here.
type Open = (String, String);

/// Reads `messages`.
///
/// # Errors
/// The message and the part of it that cannot be understood, by their numbers.
pub(super) fn read(messages: Vec<Map<String, Value>>) -> Result<Vec<Turn>, ApiError> {
    let mut open = VecDeque::new();
    let as_openais = |(index, mut message): (usize, Map<String, Value>)| {
        if let Some(thinking) = message.remove("thinking") {
            message.insert("reasoning_content".into(), thinking);
        }
        name_calls(index, &mut message, &mut open);
        name_answer(&mut message, &mut open);
        with_pictures(index, message)
    };
    let messages = messages.into_iter().enumerate().map(as_openais);
    read_messages("messages", messages.collect::<Result<_, _>>()?)
}

/// `images` as parts of the content.
fn with_pictures(index: usize, mut message: Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let images = serde_json::from_value::<Option<Vec<String>>>(message.remove("images").unwrap_or_default());
    let wrong = |error| ApiError::parameter("messages", format!("`messages[{index}].images`: {error}"));
    if let Some(images) = images.map_err(wrong)? {
        let text = message.remove("content").filter(|content| !content.is_null()).unwrap_or_else(|| "".into());
        let picture = |data: &String| json!({ "type": "image_url", "image_url": format!("data:;base64,{data}") });
        let text = json!({ "type": "text", "text": text });
        message.insert("content".into(), std::iter::once(text).chain(images.iter().map(picture)).collect());
    }
    Ok(message)
}

/// Gives calls an id each, and has their arguments, an object here, as text.
fn name_calls(index: usize, message: &mut Map<String, Value>, open: &mut VecDeque<Open>) {
    let Some(Value::Array(calls)) = message.get_mut("tool_calls") else { return };
    for (number, call) in calls.iter_mut().filter_map(Value::as_object_mut).enumerate() {
        let made = json!(format!("call_{index}_{number}"));
        let id = call.entry("id").or_insert(made).as_str().unwrap_or_default().to_owned();
        let Some(Value::Object(function)) = call.get_mut("function") else { continue };
        if let Some(arguments) = function.get_mut("arguments").filter(|arguments| arguments.is_object()) {
            *arguments = arguments.to_string().into();
        }
        let name = function.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        open.push_back((name, id));
    }
}

/// Says which call a message answers: the one that it names, else the first open one of its function, or of any.
fn name_answer(message: &mut Map<String, Value>, open: &mut VecDeque<Open>) {
    if message.get("role").and_then(Value::as_str) != Some("tool") {
        return;
    }
    let function = message.remove("tool_name");
    let function = function.as_ref().or(message.get("name")).and_then(Value::as_str);
    let named = message.get("tool_call_id").and_then(Value::as_str);
    let is_it = |(name, id): &Open| match (named, function) {
        (Some(named), _) => id == named,
        (None, Some(function)) => name == function,
        (None, None) => true,
    };
    let answered = open.iter().position(is_it).and_then(|at| open.remove(at)).map(|(_, id)| id);
    if !message.contains_key("tool_call_id") {
        // A call that is not there: the model is told what came of it all the same.
        let id = answered.unwrap_or_else(|| "call".to_owned());
        message.insert("tool_call_id".into(), id.into());
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{Message, ToolCall};

    use super::*;

    fn messages(text: &str) -> Vec<Message> {
        let turns = read(serde_json::from_str(text).unwrap());
        turns.unwrap().into_iter().map(|turn| turn.message).collect()
    }

    #[test]
    fn answers_find_their_calls_although_calls_have_no_ids() {
        let get = |id: &str, city: &str| ToolCall::function(id, "get", format!(r#"{{"city":"{city}"}}"#));
        let add = ToolCall::function("call_0_1", "add", r#"{"a":1}"#);
        let told = messages(
            r#"[{"role":"assistant","content":"","thinking":"Two cities.","tool_calls":[
                    {"function":{"name":"get","arguments":{"city":"Paris"}}}, {"function":{"name":"add","arguments":{"a":1}}},
                    {"function":{"name":"get","arguments":{"city":"Rome"}}}]},
                {"role":"tool","tool_name":"add","content":"2"},
                {"role":"tool","content":"31"},
                {"role":"tool","tool_name":"get","content":"33"}]"#,
        );
        let asked = Message {
            reasoning_content: Some("Two cities.".into()),
            tool_calls: vec![get("call_0_0", "Paris"), add, get("call_0_2", "Rome")],
            ..Message::assistant("")
        };
        let (sum, paris, rome) =
            (Message::tool("call_0_1", "2"), Message::tool("call_0_0", "31"), Message::tool("call_0_2", "33"));
        assert_eq!(told, [asked, sum, paris, rome]);
    }

    #[test]
    fn ids_that_a_client_has_are_kept() {
        let told = messages(
            r#"[{"role":"assistant","content":"","tool_calls":[{"id":"x","function":{"name":"get","arguments":{}}}]},
                {"role":"tool","tool_call_id":"x","tool_name":"get","content":"31"}]"#,
        );
        assert_eq!((told[0].tool_calls[0].id.as_str(), told[1].tool_call_id.as_deref()), ("x", Some("x")));
    }
}
