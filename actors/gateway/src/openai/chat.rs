//! `POST /v1/chat/completions`: how does a conversation go on?

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::conversation::{Conversation, answering};
use crate::doors::Shared;
use crate::error::ApiError;
use crate::models::now;
use crate::parameters::{Harmless, Parameters};
use crate::stream::events;
use crate::work::Work;
use crate::{body, openai};

use super::chat_stream::ChatStream;
use super::{messages, tools};

/// What OpenAI's clients send along and engines need not know.
pub(crate) const HARMLESS: Harmless = Harmless {
    any: &[
        "user",
        "store",
        "metadata",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
    ],
    only: &[
        ("n", &["1"]),
        ("logprobs", &["false"]),
        ("top_logprobs", &["0"]),
        ("functions", &["[]"]),
        ("function_call", &["\"none\"", "\"auto\""]),
        ("modalities", &["[\"text\"]"]),
        ("verbosity", &["\"medium\""]),
    ],
};

/// What is asked for.
struct ChatCall {
    model: String,
    conversation: Conversation,
    stream: bool,
    include_usage: bool,
}

/// `stream_options`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: bool,
    /// Padding against whoever counts bytes on the way: on the loopback there is none.
    #[serde(default, rename = "include_obfuscation")]
    _include_obfuscation: bool,
}

impl ChatCall {
    fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let model = parameters.need("model")?;
        let turns = messages::read("messages", parameters.need("messages")?)?;
        if turns.is_empty() {
            return Err(ApiError::parameter("messages", "`messages` is empty"));
        }
        let mut settings = openai::settings(&mut parameters, &["max_completion_tokens", "max_tokens"])?;
        tools::of_chat(&mut parameters, &mut settings)?;
        let stream = parameters.take("stream")?.unwrap_or(false);
        let options: StreamOptions = parameters.take("stream_options")?.unwrap_or_default();
        parameters.finish(&HARMLESS)?;
        let conversation = Conversation { turns, said_in: "messages", settings };
        Ok(Self { model, conversation, stream, include_usage: options.include_usage })
    }
}

/// Answers a conversation, at once or as it goes.
pub(crate) async fn chat(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let (call, room) = body::parameters(&doors, request, ChatCall::read).await?;
    let asked = doors.speaker(&call.model)?;
    let id = work.id("chatcmpl");
    if call.stream {
        let answering = answering(&doors, asked, call.conversation, room, work).await?;
        return Ok(events(answering, ChatStream::new(id, call.model, call.include_usage)));
    }
    let answer = doors.answer(asked, call.conversation, room, &work).await?;
    let choice = json!({
        "index": 0,
        "message": message(&answer),
        "logprobs": null,
        "finish_reason": answer.finish_reason(),
    });
    let mut reply = json!({
        "id": id,
        "object": "chat.completion",
        "created": now(),
        "model": call.model,
        "choices": [choice],
        "usage": openai::usage(answer.usage),
    });
    if let (Some(notes), Some(fields)) = (answer.notes, reply.as_object_mut()) {
        fields.insert("megabrain".into(), notes);
    }
    Ok(Json(reply).into_response())
}

/// What is answered, as a message; calls without words have none.
fn message(answer: &Answer) -> Value {
    let Answer { text, reasoning, tool_calls, .. } = answer;
    let content = Some(text).filter(|text| !text.is_empty() || tool_calls.is_empty());
    let mut message = json!({ "role": "assistant", "content": content, "refusal": null });
    if let Some(fields) = message.as_object_mut() {
        fields.extend(reasoning.as_ref().map(|thought| ("reasoning_content".to_owned(), json!(thought))));
        fields.extend((!tool_calls.is_empty()).then(|| ("tool_calls".to_owned(), json!(tool_calls))));
    }
    message
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{FinishReason, ToolCall, Usage};

    use super::*;
    use crate::openapi::telling::tells_all;
    use crate::parameters::read_text;

    fn read(body: &str) -> Result<ChatCall, String> {
        read_text(body, ChatCall::read)
    }

    #[test]
    fn the_document_tells_its_parameters() {
        let body = r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#;
        tells_all("/v1/chat/completions", body, ChatCall::read, &[]);
    }

    #[test]
    fn what_clients_send_along_is_taken() {
        let call = read(
            r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}],"n":1,"user":"me","store":true,"tools":[],
                "frequency_penalty":0,"presence_penalty":0.0,"response_format":{"type":"text"},"stop":"\n","seed":-7,
                "max_tokens":5,"max_completion_tokens":9,"stream":true,"stream_options":{"include_usage":true}}"#,
        )
        .unwrap();
        assert!(call.stream && call.include_usage);
        assert_eq!(call.conversation.settings.max_tokens, Some(9));
        assert_eq!(call.conversation.settings.stop, ["\n"]);
        assert_eq!(call.conversation.settings.frequency_penalty, None);
    }

    #[test]
    fn what_an_engine_knows_goes_along() {
        let call = read(
            r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}],"logit_bias":{"7":-100},"top_k":4,
                "presence_penalty":0.5,"grammar":"root ::= \"a\""}"#,
        );
        let settings = call.unwrap().conversation.settings;
        assert_eq!((settings.logit_bias["7"], settings.top_k), (-100.0, Some(4)));
        assert_eq!((settings.presence_penalty, settings.grammar.is_some()), (Some(0.5), true));
    }

    #[test]
    fn what_would_change_the_answer_and_is_not_known_is_refused_by_name() {
        for (more, told) in [
            (r#""n":2"#, "`n` is 2"),
            (r#""logprobs":true"#, "`logprobs` is true"),
            (r#""top_logprobs":2"#, "`top_logprobs` is 2"),
            (r#""functions":[{"name":"f"}]"#, "`functions`"),
            (r#""tools":[{"type":"function"}]"#, "`tools`"),
            (r#""response_format":{"type":"yaml"}"#, "`response_format`"),
            (r#""mirostat":1"#, "`mirostat` is not known"),
            (r#""reasoning_effort":"high""#, "`reasoning_effort`"),
            (r#""temperature":"hot""#, "`temperature`"),
            (r#""max_completion_tokens":9,"max_tokens":0"#, "`max_tokens`"),
            (r#""stream_options":{"include_jokes":true}"#, "`stream_options`"),
        ] {
            let body = format!(r#"{{"model":"fast","messages":[{{"role":"user","content":"Hi"}}],{more}}}"#);
            let error = read(&body).err().unwrap_or_default();
            assert!(error.contains(told), "{more}: {error}");
        }
        assert!(read(r#"{"messages":[]}"#).err().unwrap().contains("`model` is missing"));
        assert!(read(r#"{"model":"fast","messages":[]}"#).err().unwrap().contains("`messages` is empty"));
    }

    #[test]
    fn a_message_has_content_unless_it_only_calls() {
        let spoken = Answer {
            text: String::new(),
            reasoning: None,
            tool_calls: Vec::new(),
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            notes: None,
        };
        assert_eq!(message(&spoken), json!({ "role": "assistant", "content": "", "refusal": null }));
        let called = Answer {
            reasoning: Some("Paris is a city.".into()),
            tool_calls: vec![ToolCall::function("call_1", "get_weather", "{}")],
            ..spoken
        };
        let message = message(&called);
        assert_eq!((&message["content"], &message["reasoning_content"]), (&Value::Null, &json!("Paris is a city.")));
        let call =
            json!({ "id": "call_1", "type": "function", "function": { "name": "get_weather", "arguments": "{}" } });
        assert_eq!(message["tool_calls"], json!([call]));
    }
}
