//! `mb.v1.transcribe`: sound in, words on a clock out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::null_is_absent;
use crate::{Fault, Media, Name, Request, subtitles};

/// Ten minutes: live sound holds a slot while nothing comes.
const MOST_IDLE_MS: u64 = 600_000;

/// Sound to be written down: `audio`, or `live`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscribeRequest {
    /// The model's name, where the subject does not name one. Without it the router picks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The sound: wav, mp3, m4a, flac, ogg or webm, any rate, any number of channels.
    #[serde(default, skip_serializing_if = "Media::is_none", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<Media>")]
    pub audio: Media,
    /// Instead of `audio`: sound that is published while it is recorded. The answer is then always a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveSound>,
    /// The language spoken, ISO 639-1 (`en`). Without it the model finds out, if it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// True: written down in English, whatever is spoken. A model that knows only English refuses it.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<bool>")]
    pub translate: bool,
    /// True: each segment has its words with their times.
    #[serde(default, skip_serializing_if = "is_false", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<bool>")]
    pub words: bool,
    /// What `text` of the answer is. The segments are the same with each.
    #[serde(default, skip_serializing_if = "is_default", deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<TextFormat>")]
    pub format: TextFormat,
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
        self.stream || self.live.is_some()
    }
    fn check(&self) -> Result<(), Fault> {
        match &self.live {
            None => self.audio.check("audio"),
            Some(_) if !self.audio.is_none() => Err(Fault::invalid("both `audio` and `live` are given: give one")),
            Some(live) => live.check(),
        }
    }
}

/// Sound that comes while it is recorded: signed 16-bit samples, little-endian, one channel, without a header.
///
/// The first frame of the answer names the subject to publish it on, `mb.v1.live.<work>`: what is published before that
/// frame is not heard. A message holds whole samples, a tenth of a second or so. It comes as fast as it is spoken: what
/// runs ahead of the model by more than two minutes is refused. An empty message ends it. So does `idle_ms` without any;
/// then, too, all that was heard is answered. All of it takes part of the request's deadline, the brain's if it names
/// none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveSound {
    /// Samples a second: 1000 to 384000. Default 16000.
    #[serde(default = "default_rate")]
    pub rate: u32,
    /// The sound ends when nothing was published for so long, in milliseconds: 1 to 600000. Default 10000.
    #[serde(default = "default_idle_ms")]
    pub idle_ms: u64,
}

fn default_rate() -> u32 {
    16_000
}

fn default_idle_ms() -> u64 {
    10_000
}

impl Default for LiveSound {
    fn default() -> Self {
        Self { rate: default_rate(), idle_ms: default_idle_ms() }
    }
}

impl LiveSound {
    fn check(&self) -> Result<(), Fault> {
        if !(1_000..=384_000).contains(&self.rate) {
            return Err(Fault::invalid(format!("`rate` is {}: expected 1000 to 384000", self.rate)));
        }
        if !(1..=MOST_IDLE_MS).contains(&self.idle_ms) {
            return Err(Fault::invalid(format!("`idle_ms` is {}: expected 1 to {MOST_IDLE_MS}", self.idle_ms)));
        }
        Ok(())
    }
}

/// How a transcript is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextFormat {
    /// What is said and nothing else. `json`, as the OpenAI API calls it, is the same: times are in `segments`.
    #[default]
    #[serde(alias = "json")]
    Text,
    /// Subtitles as SubRip has them.
    Srt,
    /// Subtitles as WebVTT has them.
    Vtt,
}

impl TextFormat {
    /// A transcript in this format, of its plain text and its segments.
    pub fn render(self, text: String, segments: &[Segment]) -> String {
        match self {
            Self::Text => text,
            Self::Srt => subtitles::srt(segments),
            Self::Vtt => subtitles::vtt(segments),
        }
    }
}

/// A stretch of speech.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Its words in order, if they or subtitles were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

/// A word, with the marks that belong to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Word {
    /// When it begins, in milliseconds from the start of the sound.
    pub t0_ms: f64,
    /// When it ends.
    pub t1_ms: f64,
    /// The word.
    pub text: String,
    /// Mean probability of its tokens, 0 to 1.
    pub confidence: f32,
}

/// Everything that was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscribeReply {
    /// All segments in one text, in the `format` that was asked for.
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

/// One frame of a stream. Those of a file have a segment each.
///
/// While there is nothing to tell of live sound, a frame with nothing in it comes about once a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TranscribeFrame {
    /// The next segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// True: live, the segment is what was understood so far of speech that goes on. The next segment takes its place.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
    /// In the first frame of live sound: the subject that it is listened to on, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish_to: Option<String>,
}

impl TranscribeFrame {
    /// A segment that stays.
    pub fn of(segment: Segment) -> Self {
        Self { segment: Some(segment), ..Self::default() }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_default(format: &TextFormat) -> bool {
    *format == TextFormat::default()
}
