//! `POST /api/chat`: how does a conversation go on, in Ollama's words?

use std::time::{Instant, SystemTime};

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{
    ChatRequest, FinishReason, FunctionCall, JsonSchemaFormat, ResponseFormat, ToolCall, ToolCallDelta,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::body;
use crate::conversation::{Conversation, answering};
use crate::doors::Shared;
use crate::error::ApiError;
use crate::openai::take_ollama_tools;
use crate::parameters::{Harmless, OneOrMany, Parameters};
use crate::stream::{Script, json_lines};
use crate::work::Work;

use super::{HARMLESS_OPTIONS, messages, nanoseconds};

pub(crate) const HARMLESS: Harmless =
    Harmless { any: &["keep_alive"], only: &[("logprobs", &["false"]), ("top_logprobs", &["0"])] };

struct ChatCall {
    model: String,
    conversation: Conversation,
    stream: bool,
    /// False: what the model thinks is not told.
    think: bool,
}

/// `format`: a word, or a schema.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"json\" or a JSON Schema, an object")]
enum Format {
    Word(Word),
    Schema(Map<String, Value>),
}

#[derive(Deserialize)]
enum Word {
    #[serde(rename = "json")]
    Json,
    #[serde(rename = "")]
    Text,
}

impl Format {
    fn into_response_format(self) -> Option<ResponseFormat> {
        match self {
            Self::Word(Word::Text) => None,
            Self::Word(Word::Json) => Some(ResponseFormat::JsonObject {}),
            Self::Schema(schema) => {
                let (name, description, strict, schema) = (None, None, None, schema.into());
                Some(ResponseFormat::JsonSchema { json_schema: JsonSchemaFormat { name, description, schema, strict } })
            }
        }
    }
}

impl ChatCall {
    fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let model = parameters.need("model")?;
        let turns = messages::read(parameters.need("messages")?)?;
        if turns.is_empty() {
            return Err(ApiError::parameter("messages", "`messages` is empty"));
        }
        let mut settings = settings(parameters.take("options")?.unwrap_or_default())?;
        take_ollama_tools(&mut parameters, &mut settings)?;
        settings.response_format = parameters.take::<Format>("format")?.and_then(Format::into_response_format);
        let stream = parameters.take("stream")?.unwrap_or(true);
        // Models think as they were made to: how much is not theirs to be told.
        let think = parameters.take("think")?.unwrap_or(true);
        parameters.finish(&HARMLESS)?;
        Ok(Self { model, conversation: Conversation { turns, said_in: "messages", settings }, stream, think })
    }
}

fn settings(options: Map<String, Value>) -> Result<ChatRequest, ApiError> {
    let mut options = Parameters::from(options);
    let settings = ChatRequest {
        // -1 and -2: as long as it takes, which here is the brain's own longest answer.
        max_tokens: options.take::<i64>("num_predict")?.and_then(|count| u32::try_from(count).ok()),
        stop: options.take::<OneOrMany>("stop")?.map(OneOrMany::into_vec).unwrap_or_default(),
        ..options.take_sampling()?
    };
    options.finish(&HARMLESS_OPTIONS)?;
    Ok(settings)
}

/// Answers a conversation, as it goes or at once.
pub(crate) async fn chat(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let (call, room) = body::parameters(&doors, request, ChatCall::read).await?;
    let asked = doors.speaker(&call.model)?;
    let mut lines = ChatLines { model: call.model, began: work.began, think: call.think, calls: Vec::new() };
    if call.stream {
        let answering = answering(&doors, asked, call.conversation, room, work).await?;
        let empty = ChatLines { model: lines.model.clone(), calls: Vec::new(), ..lines };
        return Ok(json_lines(answering, lines, move || empty.line("", "")));
    }
    let mut answer = doors.answer(asked, call.conversation, room, &work).await?;
    lines.calls = std::mem::take(&mut answer.tool_calls);
    let thought = answer.reasoning.take().unwrap_or_default();
    Ok(Json(lines.last(&thought, &answer.text, &answer)).into_response())
}

/// The lines of one answer.
struct ChatLines {
    model: String,
    began: Instant,
    think: bool,
    /// Calls that were not told yet: they are when they are whole.
    calls: Vec<ToolCall>,
}

impl ChatLines {
    fn line(&self, thought: &str, text: &str) -> Value {
        let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let mut message = json!({ "role": "assistant", "content": text });
        if let Some(fields) = message.as_object_mut().filter(|_| self.think && !thought.is_empty()) {
            fields.insert("thinking".into(), thought.into());
        }
        json!({ "model": self.model, "created_at": now, "message": message, "done": false })
    }

    fn last(&mut self, thought: &str, text: &str, answer: &Answer) -> Value {
        let mut line = self.line(thought, text);
        let calls: Vec<Value> = std::mem::take(&mut self.calls).into_iter().map(written).collect();
        if let Some(message) = line.get_mut("message").and_then(Value::as_object_mut).filter(|_| !calls.is_empty()) {
            message.insert("tool_calls".into(), calls.into());
        }
        if let Some(fields) = line.as_object_mut() {
            fields.insert("done".into(), true.into());
            fields.insert("done_reason".into(), reason(answer).into());
            fields.insert("total_duration".into(), nanoseconds(self.began).into());
            fields.insert("prompt_eval_count".into(), answer.usage.prompt_tokens.into());
            fields.insert("eval_count".into(), answer.usage.completion_tokens.into());
        }
        line
    }
}

/// Why it ended. Ollama knows no reason for calls: they are there to see.
fn reason(answer: &Answer) -> &'static str {
    if answer.finish_reason == FinishReason::Length { "length" } else { "stop" }
}

/// A call: its arguments are an object.
fn written(ToolCall { id, function: FunctionCall { name, arguments }, .. }: ToolCall) -> Value {
    let arguments: Value = serde_json::from_str(&arguments).unwrap_or(Value::String(arguments));
    json!({ "id": id, "function": { "name": name, "arguments": arguments } })
}

impl Script for ChatLines {
    type Line = Value;

    fn begin(&mut self) -> Vec<Value> {
        vec![self.line("", "")]
    }

    fn thought(&mut self, thought: &str) -> Vec<Value> {
        vec![self.line(thought, "")]
    }

    fn text(&mut self, text: &str) -> Vec<Value> {
        vec![self.line("", text)]
    }

    fn calls(&mut self, calls: Vec<ToolCallDelta>) -> Vec<Value> {
        for ToolCallDelta { index, id, function, .. } in calls {
            let function = function.unwrap_or_default();
            let index = index as usize;
            if self.calls.len() <= index {
                self.calls.push(ToolCall::function(id.unwrap_or_default(), function.name.unwrap_or_default(), ""));
            }
            if let (Some(call), Some(more)) = (self.calls.get_mut(index), function.arguments) {
                call.function.arguments.push_str(&more);
            }
        }
        vec![self.line("", "")]
    }

    fn note(&mut self, _: Value) -> Vec<Value> {
        vec![self.line("", "")]
    }

    fn end(&mut self, answer: Answer) -> Vec<Value> {
        vec![self.last("", "", &answer)]
    }

    fn fail(&mut self, error: ApiError) -> Vec<Value> {
        vec![json!({ "error": error.message() })]
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::Usage;

    use super::*;
    use crate::openapi::telling::tells_all;
    use crate::parameters::read_text;

    fn read(body: &str) -> Result<ChatCall, String> {
        read_text(body, ChatCall::read)
    }

    #[test]
    fn the_document_tells_its_parameters() {
        let body = r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#;
        tells_all("/api/chat", body, ChatCall::read, &["options"]);
    }

    #[test]
    fn pictures_are_attached_and_options_are_settings() {
        let call = read(
            r#"{"model":"brain:latest","messages":[{"role":"user","content":"What is this?","images":["AQID"]}],
                "options":{"temperature":0,"num_predict":-1,"num_ctx":2048,"stop":["\n"],"top_k":40,"repeat_penalty":1.1},
                "keep_alive":"5m","think":false,"format":"","tools":[]}"#,
        )
        .unwrap();
        let Conversation { turns, settings, .. } = call.conversation;
        assert!(call.stream && !call.think, "it streams where nothing is said, as Ollama does");
        assert_eq!((turns[0].message.content.as_str(), turns[0].attached.len()), ("What is this?", 1));
        assert_eq!((settings.temperature, settings.max_tokens, settings.stop.len()), (Some(0.0), None, 1));
        assert_eq!((settings.top_k, settings.repeat_penalty), (Some(40), Some(1.1)));
        assert_eq!(settings.response_format, None);
    }

    #[test]
    fn a_form_is_a_word_or_a_schema_and_tools_are_openais() {
        let form = |more: &str| {
            let body = format!(r#"{{"model":"fast","messages":[{{"role":"user","content":"Hi"}}],{more}}}"#);
            read(&body).unwrap().conversation.settings
        };
        assert_eq!(form(r#""format":"json""#).response_format, Some(ResponseFormat::JsonObject {}));
        let Some(ResponseFormat::JsonSchema { json_schema }) = form(r#""format":{"type":"integer"}"#).response_format
        else {
            panic!("no schema")
        };
        assert_eq!(json_schema.schema, json!({ "type": "integer" }));
        let tool = r#""tools":[{"type":"function","function":{"name":"add","parameters":{"type":"object"}}}]"#;
        assert_eq!(form(tool).tools[0].function.name, "add");
    }

    #[test]
    fn what_would_change_the_answer_is_refused_by_name() {
        for (more, told) in [
            (r#""options":{"mirostat":1}"#, "`mirostat`"),
            (r#""options":{"repeat_last_n":128}"#, "`repeat_last_n`"),
            (r#""format":"yaml""#, "`format`"),
            (r#""tools":[{}]"#, "`tools`"),
            (r#""think":"high""#, "`think`"),
            (r#""logprobs":true"#, "`logprobs`"),
        ] {
            let body = format!(r#"{{"model":"fast","messages":[{{"role":"user","content":"Hi"}}],{more}}}"#);
            let error = read(&body).err().unwrap();
            assert!(error.contains(told), "{more}: {error}");
        }
    }

    #[test]
    fn calls_are_told_when_they_are_whole_with_arguments_that_are_an_object() {
        let mut lines = ChatLines { model: "fast".into(), began: Instant::now(), think: true, calls: Vec::new() };
        let part = |delta: Value| vec![serde_json::from_value::<ToolCallDelta>(delta).unwrap()];
        lines.calls(part(
            json!({ "index": 0, "id": "call_1", "function": { "name": "get", "arguments": "{\"city\":" } }),
        ));
        lines.calls(part(json!({ "index": 0, "function": { "arguments": "\"Paris\"}" } })));
        lines.calls(part(json!({ "index": 1, "id": "call_2", "function": { "name": "now", "arguments": "{}" } })));
        let answer = Answer {
            text: String::new(),
            reasoning: None,
            tool_calls: Vec::new(),
            finish_reason: FinishReason::ToolCalls,
            usage: Usage::default(),
            notes: None,
        };
        let last = lines.end(answer).pop().unwrap();
        assert_eq!((&last["done"], &last["done_reason"]), (&json!(true), &json!("stop")));
        let functions: Vec<&Value> =
            last["message"]["tool_calls"].as_array().unwrap().iter().map(|call| &call["function"]).collect();
        let (get, now) =
            (json!({ "name": "get", "arguments": { "city": "Paris" } }), json!({ "name": "now", "arguments": {} }));
        assert_eq!(functions, [&get, &now]);
    }

    #[test]
    fn thoughts_stand_apart_unless_they_are_not_wanted() {
        let mut lines = ChatLines { model: "fast".into(), began: Instant::now(), think: true, calls: Vec::new() };
        assert_eq!(
            lines.thought("Hm.")[0]["message"],
            json!({ "role": "assistant", "content": "", "thinking": "Hm." })
        );
        lines.think = false;
        assert_eq!(lines.thought("Hm.")[0]["message"], json!({ "role": "assistant", "content": "" }));
    }
}
