//! `mb.v1.chat`: messages in, one more message out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::null_is_absent;
use crate::{Fault, Media, Name, Request, check};

/// Stop texts that a request may have.
const MOST_STOPS: usize = 16;
/// Bytes that a stop text may have.
const LONGEST_STOP: usize = 256;

/// A conversation to go on with. Field names follow the OpenAI API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Seed of the randomness: the same seed gives the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// Texts that end the answer; they are not part of it. At most 16, each of 1 to 256 bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<String>>")]
    pub stop: Vec<String>,
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
        check_images(&self.messages)?;
        check_stops(&self.stop)?;
        check::at_least_one("max_tokens", self.max_tokens)?;
        check::within("temperature", self.temperature, 0.0..=2.0)?;
        check::within("top_p", self.top_p, 0.0..=1.0)
    }
}

/// Refuses more pictures than a conversation may have, and one that is not there.
pub(crate) fn check_images(messages: &[Message]) -> Result<(), Fault> {
    check::images("`messages` have", messages.iter().map(|message| message.images.len()).sum())?;
    for (index, message) in messages.iter().enumerate() {
        for (number, image) in message.images.iter().enumerate() {
            image.check(&format!("messages[{index}].images[{number}]"))?;
        }
    }
    Ok(())
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

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions that stand above the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Pictures that belong to it, for a model that takes some; they come before what is said. At most 64 in all messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<Media>>")]
    pub images: Vec<Media>,
}

impl Message {
    /// A message of words.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), images: Vec::new() }
    }
    /// A message from the person.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new(Role::User, content)
    }
    /// A message from the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new(Role::Assistant, content)
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChatFrame {
    /// More text: whole characters, one token or several.
    pub delta: String,
}
