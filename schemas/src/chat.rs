//! `mb.v1.chat`: messages in, one more message out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::null_is_absent;
use crate::{Fault, Name, Request, check};

mod format;
mod message;
mod tools;

pub use format::{JsonSchemaFormat, ResponseFormat};
pub(crate) use message::check_messages;
pub use message::{Message, Role};
pub use tools::{
    FunctionCall, FunctionCallDelta, FunctionName, FunctionTool, NamedTool, Tool, ToolCall, ToolCallDelta, ToolChoice,
    ToolKind, ToolMode,
};

/// Stop texts that a request may have.
const MOST_STOPS: usize = 16;
/// Bytes that a stop text may have.
const LONGEST_STOP: usize = 256;
/// Tokens whose chances a request may shift.
const MOST_BIASES: usize = 1024;
/// Bytes that a grammar may have.
const LONGEST_GRAMMAR: usize = 64 << 10;

/// A conversation to go on with. Field names follow the OpenAI API.
///
/// Every field changes the answer, so that one which is not known here is `invalid_request`, by its name, where other
/// messages ignore it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChatRequest {
    /// The model's name, where the subject does not name one. Without it the router picks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The conversation so far, oldest first. Not empty.
    pub messages: Vec<Message>,
    /// The longest answer, in tokens. Without it the brain's `default_max_tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Randomness, 0 to 2; 0 is greedy. Default: the model's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Keep only the likeliest tokens whose chances add up to this, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Keep only so many of the likeliest tokens; 0 keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Keep only tokens at least this likely, measured by the likeliest, 0 to 1; 0 keeps all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_p: Option<f32>,
    /// Taken from the logit of a token that the answer has already, -2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f32>,
    /// Taken from the logit of a token once for each time that the answer has it, -2 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f32>,
    /// Divides the positive logit of a token that is among the last 64 of the answer, and multiplies a negative one, 0.1
    /// to 10; 1 changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_penalty: Option<f32>,
    /// Added to the logits of tokens, each by its number in the model's vocabulary, -100 to 100. At most 1024 tokens.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<BTreeMap<String, f32>>")]
    pub logit_bias: BTreeMap<String, f32>,
    /// Answers wanted: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Seed of the randomness: the same seed gives the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// Texts that end the answer; they are not part of it. At most 16, each of 1 to 256 bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<String>>")]
    pub stop: Vec<String>,
    /// What the model may call. At most 128.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<Tool>>")]
    pub tools: Vec<Tool>,
    /// Whether it calls them. Default: as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// False: at most one call in an answer. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// The form that the answer must have. Default: any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_format: Option<ResponseFormat>,
    /// The same as a grammar in GBNF, llama.cpp's notation, whose first symbol is `root`. At most 64 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grammar: Option<String>,
    /// True: the text is sent as it comes, in numbered frames.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<bool>")]
    pub stream: bool,
    /// Requests of one session go to the same instance where that helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Time allowed, in milliseconds; the header wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The work id that the caller chose; the header wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Name>,
}

impl Request for ChatRequest {
    const CAPABILITY: &'static str = "chat";
    type Reply = ChatReply;
    type Frame = ChatFrame;
    fn is_stream(&self) -> bool {
        self.stream
    }
    fn check(&self) -> Result<(), Fault> {
        if self.messages.is_empty() {
            return Err(Fault::invalid("`messages` is empty"));
        }
        check_messages(&self.messages)?;
        tools::check_tools(&self.tools, self.tool_choice.as_ref())?;
        check_stops(&self.stop)?;
        self.check_form()?;
        self.check_sampling()
    }
}

impl ChatRequest {
    /// True if the model may call tools.
    pub fn may_call(&self) -> bool {
        !self.tools.is_empty() && self.tool_choice != Some(ToolChoice::Mode(ToolMode::None))
    }

    /// True if the answer must have a form other than text.
    fn has_form(&self) -> bool {
        self.grammar.is_some() || self.has_format()
    }

    fn has_format(&self) -> bool {
        !matches!(self.response_format, None | Some(ResponseFormat::Text {}))
    }

    fn check_form(&self) -> Result<(), Fault> {
        if let Some(grammar) = &self.grammar {
            if grammar.len() > LONGEST_GRAMMAR {
                return Err(Fault::invalid(format!(
                    "`grammar` has {} bytes: expected {LONGEST_GRAMMAR} or fewer",
                    grammar.len()
                )));
            }
            if self.has_format() {
                return Err(Fault::invalid("`grammar` and `response_format` both say what form the answer must have"));
            }
        }
        if self.has_form() && self.may_call() {
            return Err(Fault::invalid(
                "an answer cannot both call `tools` and have a form: set `tool_choice` to none, or leave out \
                 `response_format` and `grammar`",
            ));
        }
        Ok(())
    }

    fn check_sampling(&self) -> Result<(), Fault> {
        check::at_least_one("max_tokens", self.max_tokens)?;
        check::within("temperature", self.temperature, 0.0..=2.0)?;
        check::within("top_p", self.top_p, 0.0..=1.0)?;
        check::within("min_p", self.min_p, 0.0..=1.0)?;
        check::within("presence_penalty", self.presence_penalty, -2.0..=2.0)?;
        check::within("frequency_penalty", self.frequency_penalty, -2.0..=2.0)?;
        check::within("repeat_penalty", self.repeat_penalty, 0.1..=10.0)?;
        if let Some(n) = self.n.filter(|n| *n != 1) {
            return Err(Fault::invalid(format!("`n` is {n}: expected 1, one answer")));
        }
        if self.logit_bias.len() > MOST_BIASES {
            return Err(Fault::invalid(format!(
                "`logit_bias` has {} tokens: expected {MOST_BIASES} or fewer",
                self.logit_bias.len()
            )));
        }
        for (token, bias) in &self.logit_bias {
            if token.len() > 20 || token.parse::<u32>().is_err() {
                let token: String = token.chars().take(20).collect();
                return Err(Fault::invalid(format!("`logit_bias.{token}`: expected the number of a token")));
            }
            check::within(&format!("logit_bias.{token}"), Some(*bias), -100.0..=100.0)?;
        }
        Ok(())
    }
}

/// Refuses stop texts beyond bounds: every token of an answer is searched for all of them.
pub(crate) fn check_stops(stops: &[String]) -> Result<(), Fault> {
    if stops.len() > MOST_STOPS {
        return Err(Fault::invalid(format!("`stop` has {} texts: expected {MOST_STOPS} or fewer", stops.len())));
    }
    if stops.iter().any(String::is_empty) {
        return Err(Fault::invalid("`stop` holds an empty text, which would end every answer at once"));
    }
    match stops.iter().map(String::len).max() {
        Some(longest) if longest > LONGEST_STOP => {
            Err(Fault::invalid(format!("`stop` holds a text of {longest} bytes: expected {LONGEST_STOP} or fewer")))
        }
        _ => Ok(()),
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model had finished, or a stop text came.
    Stop,
    /// `max_tokens` was reached, or the context is full.
    Length,
    /// The model wants tools called, and their results.
    ToolCalls,
}

/// Counts of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Tokens that went in.
    pub prompt_tokens: u32,
    /// Tokens that came out.
    pub completion_tokens: u32,
}

/// Where the time went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// Waiting for a slot.
    pub queued_ms: f64,
    /// Reading the prompt.
    pub prompt_ms: f64,
    /// From the request's arrival at the model to the first token.
    pub first_token_ms: f64,
    /// From the request's arrival at the model to the answer.
    pub total_ms: f64,
}

/// The answer, and the last frame of a stream (there without `message`: its text has been sent).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatReply {
    /// What the model says. Absent at the end of a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Its tokens.
    pub usage: Usage,
    /// Where the time went.
    pub timings: Timings,
}

/// One frame of a stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatFrame {
    /// More text: whole characters, one token or several. Empty in a frame of thoughts or calls.
    pub delta: String,
    /// More of what the model thinks before it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// More of the calls that the model asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<ToolCallDelta>>")]
    pub tool_calls: Vec<ToolCallDelta>,
}

impl ChatFrame {
    /// More text.
    pub fn text(delta: impl Into<String>) -> Self {
        Self { delta: delta.into(), ..Self::default() }
    }
}
