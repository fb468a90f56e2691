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
}

impl Request for SplitRequest {
    const CAPABILITY: &'static str = "split";
    type Reply = SplitReply;
    type Frame = SplitFrame;
    fn is_stream(&self) -> bool {
        true
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
    /// The picture.
    pub blob: BlobRef,
    /// When it is shown, in milliseconds from the film's start.
    pub t_ms: f64,
}

/// A sound track of the film.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VideoSound {
    /// The sound.
    pub blob: BlobRef,
    /// When it begins, in milliseconds from the film's start.
    pub t0_ms: f64,
    /// Its length, in milliseconds.
    pub duration_ms: f64,
}

/// The end of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SplitReply {
    /// Frames sent.
    pub frames: u32,
    /// Length of the film, in milliseconds.
    pub duration_ms: f64,
}
