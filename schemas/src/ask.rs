//! `mb.v1.ask`: a question with any mix of media in, a joined answer out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chat::{check_messages, check_stops};
use crate::contract::null_is_absent;
use crate::{ChatRequest, Data, Fault, FinishReason, Media, Message, Name, Request, Usage, check};

/// A question. At least one of `text` and `attachments` must be there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ask {
    /// The question in words. Without it, what is heard in the attachments is the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was said before, oldest first: put to the models that answer, ahead of the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<Message>>")]
    pub messages: Vec<Message>,
    /// Sound, pictures, film, documents. Each becomes one leg or more.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Vec<Attachment>>")]
    pub attachments: Vec<Attachment>,
    /// The models that answer, by name. Without it the brain's own order; empty: nobody answers, the evidence is the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<Name>>,
    /// Who of the models answers.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Policy>")]
    pub policy: Policy,
    /// How many of the attachments must yield something: `all`, `any` (the default) or a number. With fewer, the question
    /// is answered by a fault that names those that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub need: Option<Need>,
    /// True: evidence and text are sent as they come, in numbered frames.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<bool>")]
    pub stream: bool,
    /// Time allowed for everything, in milliseconds; the header wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// How many pictures to take of each film at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// The longest answer of one model, in tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Randomness of the answer, 0 to 2; 0 is greedy.
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
    /// Where a model has several instances, questions of one session go to the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The work id that the caller chose, so that it can cancel; the header wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Name>,
}

/// One attachment of a question.
pub type Attachment = Media;

/// Who answers a question that several models could answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The first of the models; the next one where it fails.
    #[default]
    First,
    /// Every model, side by side.
    All,
}

/// How many attachments must yield something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected `all`, `any` or a number")]
pub enum Need {
    /// In a word.
    Word(NeedWord),
    /// As a number; more than there are is all of them.
    Count(u32),
}

/// How many attachments must yield something, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NeedWord {
    /// Every one.
    All,
    /// One.
    Any,
}

impl Request for Ask {
    const CAPABILITY: &'static str = "ask";
    type Reply = AskReply;
    type Frame = AskFrame;
    fn is_stream(&self) -> bool {
        self.stream
    }
    fn check(&self) -> Result<(), Fault> {
        let has_text = self.text.as_ref().is_some_and(|text| !text.trim().is_empty());
        if !has_text && self.attachments.is_empty() {
            return Err(Fault::invalid("the question has neither `text` nor `attachments`"));
        }
        if self.attachments.is_empty() && self.models.as_ref().is_some_and(Vec::is_empty) {
            return Err(Fault::invalid("`models` is empty and there are no `attachments`: nobody would answer"));
        }
        if let Some(models) = &self.models
            && let Some((index, twice)) =
                models.iter().enumerate().find(|(index, one)| models.iter().take(*index).any(|other| other == *one))
        {
            return Err(Fault::invalid(format!("models[{index}]: {twice} is there twice")));
        }
        for (index, attachment) in self.attachments.iter().enumerate() {
            attachment.check(&format!("attachments[{index}]"))?;
        }
        check_messages(&self.messages)?;
        check_stops(&self.stop)?;
        check::at_least_one("frames", self.frames)?;
        check::at_least_one("max_tokens", self.max_tokens)?;
        check::within("temperature", self.temperature, 0.0..=2.0)?;
        check::within("top_p", self.top_p, 0.0..=1.0)
    }
}

impl Ask {
    /// The chat request that puts `prompt` to a model, after what was said before, with this question's own settings.
    pub fn chat(&self, prompt: String) -> ChatRequest {
        let mut messages = self.messages.clone();
        messages.push(Message::user(prompt));
        ChatRequest {
            messages,
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed,
            stop: self.stop.clone(),
            session: self.session.clone(),
            stream: self.stream,
            ..ChatRequest::default()
        }
    }
}

/// The joined answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AskReply {
    /// The work that this answers. Left out by whoever answers through a responder, whose [`Stamp`](crate::Stamp) has it:
    /// the same key twice is an error to every reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Name>,
    /// The answer. With several models: the first one's that answered, in the order asked.
    pub text: String,
    /// The model whose answer `text` is. Absent if nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
    /// Why `text` ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// Tokens of `text`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Every model's answer, in the order asked.
    pub answers: Vec<Answer>,
    /// What was found in the attachments, sorted by attachment and time.
    pub evidence: Vec<Evidence>,
    /// The numbers, counted from 0, of those pieces of `evidence` that were not put to the models, because their context
    /// is too short for all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<usize>,
    /// What each leg took, failed ones included.
    pub legs: Vec<LegReport>,
    /// Time from the question's arrival at the router to this answer, in milliseconds, by the router's clock.
    #[serde(default)]
    pub took_ms: f64,
}

/// One model's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Who answered.
    pub model: Name,
    /// The answer.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Its tokens.
    pub usage: Usage,
    /// Time from publishing to the terminal answer, in milliseconds.
    pub took_ms: f64,
}

/// What kind of thing an attachment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Sound.
    Audio,
    /// Pictures, frames of a film included.
    Image,
    /// Attached documents.
    Text,
}

/// One thing that was heard, seen or read, on the clock of its attachment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Which attachment, counted from 0.
    pub attachment: usize,
    /// What kind of thing it was found in.
    pub modality: Modality,
    /// Who found it.
    pub model: Name,
    /// When it begins, in milliseconds from the attachment's start. Absent where there is no clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t0_ms: Option<f64>,
    /// When it ends, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub t1_ms: Option<f64>,
    /// What was found, in words.
    pub text: String,
    /// How sure the model is, 0 to 1. Absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
    /// How the leg that found it ended. Unless `ok`, there may be more to find that it did not come to.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<LegStatus>")]
    pub status: LegStatus,
}

/// How a leg ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LegStatus {
    /// It answered.
    #[default]
    Ok,
    /// It answered a fault.
    Failed,
    /// It did not answer in its share of the deadline.
    Late,
    /// It was cancelled.
    Cancelled,
    /// It was never sent.
    Skipped,
}

impl LegStatus {
    /// As the contract writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Late => "late",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }
}

/// What one leg did and took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LegReport {
    /// The leg's path: `0`, `0.3`.
    pub leg: String,
    /// Where it was sent.
    pub subject: String,
    /// Who worked on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
    /// How it ended. Absent in the frame that tells that it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<LegStatus>,
    /// Time that it waited in the model's queue, in milliseconds, where the model says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_ms: Option<f64>,
    /// Time from publishing to its end, in milliseconds, by the router's clock.
    #[serde(default)]
    pub took_ms: f64,
    /// What a person should know although it answered: that a film is damaged, and from where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Fault>,
}

/// One frame of a streamed answer: exactly one of `leg`, `evidence` and `delta` is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AskFrame {
    /// A leg has begun (no `status`) or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg: Option<LegReport>,
    /// Something was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// More text of the answer of `model`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<String>,
    /// Whose text `delta` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
}

/// The leg of an attachment that no built-in capability is meant for: what an actor that announces a media type of its
/// own is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentRequest {
    /// The attachment as the caller gave it.
    pub attachment: Media,
    /// The question that it came with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
}

impl AttachmentRequest {
    /// As [`Request::check`]: this message serves many capabilities, so it has no one name.
    ///
    /// # Errors
    /// `invalid_request`, naming the field.
    pub fn check(&self) -> Result<(), Fault> {
        self.attachment.check("attachment")
    }
}

/// What such an actor answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AttachmentReply {
    /// What was found, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes, where the answer is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
}
