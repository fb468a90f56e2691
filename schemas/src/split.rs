//! `mb.v1.split`: film in, frames and sound on one clock out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BlobRef, Fault, Media, Request, check};

/// Film to be taken apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SplitRequest {
    /// The film.
    pub video: Media,
    /// How many frames at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<u32>,
    /// Frames a second at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fps: Option<f32>,
    /// False: no frames of a stream, but one answer that lists everything. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<bool>,
}

impl Request for SplitRequest {
    const CAPABILITY: &'static str = "split";
    type Reply = SplitReply;
    type Frame = SplitFrame;
    fn is_stream(&self) -> bool {
        self.stream != Some(false)
    }
    fn check(&self) -> Result<(), Fault> {
        self.video.check("video")?;
        check::at_least_one("frames", self.frames)?;
        match self.fps {
            Some(fps) if !fps.is_finite() || fps <= 0.0 => {
                Err(Fault::invalid(format!("`fps` is {fps}: expected more than 0")))
            }
            _ => Ok(()),
        }
    }
}

/// One frame of the stream: exactly one of the two is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SplitFrame {
    /// A picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<VideoFrame>,
    /// A sound track.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<VideoSound>,
}

/// A picture of the film.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VideoFrame {
    /// The picture, a JPEG.
    pub blob: BlobRef,
    /// When it is first shown, in milliseconds from the film's start: the first instant that is seen or heard.
    pub t_ms: f64,
}

/// A sound track of the film, or a piece of a long one: each is cut where nobody speaks, and leaves out what is silent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VideoSound {
    /// The sound, a WAV with one channel at 16 kHz.
    pub blob: BlobRef,
    /// When it begins, in milliseconds from the film's start, on the same clock as the pictures.
    pub t0_ms: f64,
    /// Its length, in milliseconds.
    pub duration_ms: f64,
}

/// The end of the stream, or the whole answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SplitReply {
    /// Frames sent.
    pub frames: u32,
    /// Length of what could be seen or heard of the film, in milliseconds.
    pub duration_ms: f64,
    /// The kind of file: `mov`, `matroska`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Width of the film as it is shown, in pixels; the pictures may be smaller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How its pictures are written: `h264`. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video_codec: Option<String>,
    /// How its sound is written: `aac`. Absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_codec: Option<String>,
    /// What a person should know: that the film is damaged and from where, that it has no sound, that fewer pictures
    /// were taken than asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Without a stream: the pictures, by time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pictures: Vec<VideoFrame>,
    /// Without a stream: the sound, by time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sounds: Vec<VideoSound>,
    /// Time that the work waited for a slot, in milliseconds.
    #[serde(default)]
    pub queued_ms: f64,
}
