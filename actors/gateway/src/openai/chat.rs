//! `POST /v1/chat/completions`: how does a conversation go on?

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use crate::conversation::{Conversation, answering};
use crate::doors::Shared;
use crate::error::ApiError;
use crate::models::{json_answer, now};
use crate::parameters::{Harmless, Parameters};
use crate::stream::events;
use crate::work::Work;
use crate::{body, openai};

use super::chat_stream::ChatStream;
use super::messages;

/// What OpenAI's clients send along and engines need not know.
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
    ],
    only: &[
        ("n", &["1"]),
        ("frequency_penalty", &["0"]),
        ("presence_penalty", &["0"]),
        ("logit_bias", &["{}"]),
        ("logprobs", &["false"]),
        ("top_logprobs", &["0"]),
        ("tools", &["[]"]),
        ("functions", &["[]"]),
        ("tool_choice", &["\"none\"", "\"auto\""]),
        ("function_call", &["\"none\"", "\"auto\""]),
        ("response_format", &["{\"type\":\"text\"}"]),
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
        let turns = messages::read(parameters.need("messages")?)?;
        if turns.is_empty() {
            return Err(ApiError::parameter("messages", "`messages` is empty"));
        }
        let settings = openai::settings(&mut parameters, &["max_completion_tokens", "max_tokens"])?;
        let stream = parameters.take("stream")?.unwrap_or(false);
        let options: StreamOptions = parameters.take("stream_options")?.unwrap_or_default();
        parameters.finish(&HARMLESS)?;
        let conversation = Conversation { turns, settings };
        Ok(Self { model, conversation, stream, include_usage: options.include_usage })
    }
}

/// Answers a conversation, at once or as it goes.
pub(crate) async fn chat(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let call = body::parameters(&doors, request, ChatCall::read).await?;
    let asked = doors.speaker(&call.model)?;
    let id = work.id("chatcmpl");
    if call.stream {
        let answering = answering(&doors, asked, call.conversation, work).await?;
        return Ok(events(answering, ChatStream::new(id, call.model, call.include_usage)));
    }
    let answer = doors.answer(&asked, call.conversation, &work).await?;
    let choice = json!({
        "index": 0,
        "message": { "role": "assistant", "content": answer.text, "refusal": null },
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
    Ok((work.headers(), json_answer(&reply)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all;

    fn read(body: &str) -> Result<ChatCall, String> {
        Parameters::read(body.as_bytes()).and_then(ChatCall::read).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_document_tells_its_parameters() {
        let body = r#"{"model":"fast","messages":[{"role":"user","content":"Hi"}]}"#;
        let coming = ["top_k", "min_p", "repeat_penalty", "grammar"];
        tells_all("/v1/chat/completions", body, ChatCall::read, &[], &coming);
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
    }

    #[test]
    fn what_would_change_the_answer_and_is_not_known_is_refused_by_name() {
        for (more, told) in [
            (r#""n":2"#, "`n` is 2"),
            (r#""logit_bias":{"7":-100}"#, "`logit_bias`"),
            (r#""tools":[{"type":"function"}]"#, "`tools`"),
            (r#""response_format":{"type":"json_object"}"#, "`response_format`"),
            (r#""top_k":4"#, "`top_k` is not known"),
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
}
