//! `mb.v1.speak`: text in, speech out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::null_is_absent;
use crate::{Fault, Media, Request, Segment, check};

/// Text to be spoken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpeakRequest {
    /// The text.
    pub text: String,
    /// The voice's name, one of those that the model has. Default: the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<String>,
    /// 1 is the voice's own speed, 2 twice as fast; 0.25 to 4, as in the OpenAI API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<f32>,
    /// What the speech is written as.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<AudioFormat>")]
    pub format: AudioFormat,
    /// True: each sentence is sent as soon as it is spoken, in numbered frames.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<bool>")]
    pub stream: bool,
}

/// What speech is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AudioFormat {
    /// `audio/wav`, 16-bit PCM.
    #[default]
    Wav,
    /// `audio/flac`.
    Flac,
    /// `audio/ogg`, Opus.
    Opus,
}

impl Request for SpeakRequest {
    const CAPABILITY: &'static str = "speak";
    type Reply = SpeakReply;
    type Frame = SpeakReply;
    fn is_stream(&self) -> bool {
        self.stream
    }
    fn check(&self) -> Result<(), Fault> {
        if self.text.trim().is_empty() {
            return Err(Fault::invalid("`text` is empty"));
        }
        check::within("speed", self.speed, 0.25..=4.0)
    }
}

/// Speech. One channel, at the voice's own sample rate.
///
/// A frame of a stream is the same for one sentence, or a part of a long one: its `audio` is a whole file of its own in
/// the format asked for, with the pause before it. The frames, one after the other, are what the terminal answer has in
/// one file: the samples are equal in a format without loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SpeakReply {
    /// The sound: inline while it is small, else by reference.
    pub audio: Media,
    /// Its length, in milliseconds.
    pub duration_ms: f64,
    /// What is said when: a sentence, or a part of a long one, each. Times are those of the whole, in a frame too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
}
