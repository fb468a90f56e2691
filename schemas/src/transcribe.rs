//! `mb.v1.transcribe`: sound in, words on a clock out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::null_is_absent;
use crate::{Fault, Media, Name, Request};

/// Sound to be written down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscribeRequest {
    /// The model's name, where the subject does not name one. Without it the router picks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The sound: wav, mp3, m4a, flac, ogg or webm, any rate, any number of channels.
    pub audio: Media,
    /// The language spoken, ISO 639-1 (`en`). Without it the model finds out, if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// True: segments are sent as they are ready, in numbered frames.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<bool>")]
    pub stream: bool,
    /// Time allowed, in milliseconds; the header wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The work id that the caller chose; the header wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Name>,
}

impl Request for TranscribeRequest {
    const CAPABILITY: &'static str = "transcribe";
    type Reply = TranscribeReply;
    type Frame = TranscribeFrame;
    fn is_stream(&self) -> bool {
        self.stream
    }
    fn check(&self) -> Result<(), Fault> {
        self.audio.check("audio")
    }
}

/// A stretch of speech.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Segment {
    /// When it begins, in milliseconds from the start of the sound.
    pub t0_ms: f64,
    /// When it ends.
    pub t1_ms: f64,
    /// What is said.
    pub text: String,
    /// Mean probability of its tokens, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f32>,
}

/// Everything that was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscribeReply {
    /// All segments in one text.
    pub text: String,
    /// The language spoken, ISO 639-1.
    pub language: String,
    /// Length of the sound, in milliseconds.
    pub duration_ms: f64,
    /// The segments in order.
    pub segments: Vec<Segment>,
    /// Time that the work waited for a slot, in milliseconds.
    #[serde(default)]
    pub queued_ms: f64,
}

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscribeFrame {
    /// The next segment.
    pub segment: Segment,
}
