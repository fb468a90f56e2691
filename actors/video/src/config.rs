//! What can be set about a video actor?

use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use megabrain_runtime::LoadError;
use serde::Deserialize;

use crate::child;
use crate::cut;

/// Most jobs at once: each runs two processes that decode.
const MAX_SLOTS: usize = 64;
/// Cores that one child is counted on for when its processor time is bounded.
pub(crate) const MAX_THREADS: usize = 4;

/// A video model's table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Path of ffmpeg, 5.1 or later; ffprobe lies beside it. Default: both are looked for in `PATH`.
    pub(crate) ffmpeg: Option<PathBuf>,
    /// Films that are split at the same time. Default 2.
    pub(crate) slots: usize,
    /// Pictures of a film whose request does not say, at most. Default 20.
    pub(crate) frames: u32,
    /// Pictures that a request may ask for, at most. Default 200.
    pub(crate) max_frames: u32,
    /// Pictures a second of a film whose request does not say, at least, as far as `frames` allows. Default 0.5.
    pub(crate) fps: f32,
    /// Pictures a second that a request may ask for, at most. Default 10.
    pub(crate) max_fps: f32,
    /// How much of the picture must change to be another scene, 0 to 1. Default 0.15.
    pub(crate) scene: f32,
    /// Longer edge of the pictures, in pixels; larger ones are scaled down. Default 1280.
    pub(crate) edge: u32,
    /// The largest film, in pixels of a picture; a larger one is refused. Default 35,389,440: 8192×4320.
    pub(crate) max_pixels: u32,
    /// The longest film; of a longer one the beginning is taken. Default `"4h"`.
    #[serde(with = "humantime_serde")]
    pub(crate) max_film: Duration,
    /// Sound longer than this goes out in pieces, cut where nobody speaks. Default `"30s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) piece: Duration,
    /// Address space of a child. Default `"2 GiB"`.
    pub(crate) memory: ByteSize,
    /// Time that one film may take, whatever its deadline. Default `"10m"`.
    #[serde(with = "humantime_serde")]
    pub(crate) max_time: Duration,
    /// A child that gives no sign of life for this long hangs, and is killed. Default `"30s"`.
    #[serde(with = "humantime_serde")]
    pub(crate) patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ffmpeg: None,
            slots: 2,
            frames: 20,
            max_frames: 200,
            fps: 0.5,
            max_fps: 10.0,
            scene: 0.15,
            edge: 1280,
            max_pixels: 8192 * 4320,
            max_film: Duration::from_secs(4 * 3600),
            piece: Duration::from_secs(30),
            memory: ByteSize::gib(2),
            max_time: Duration::from_secs(600),
            patience: Duration::from_secs(30),
        }
    }
}

impl Config {
    /// Checks what the types do not say.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let shortest = cut::SHORTEST_PIECE;
        let rules = [
            ((1..=MAX_SLOTS).contains(&self.slots), format!("slots is {}: 1 to {MAX_SLOTS} can be", self.slots)),
            (self.frames >= 1 && self.max_frames >= self.frames, "frames must be 1 to max_frames".to_owned()),
            (self.fps > 0.0 && self.max_fps >= self.fps, "fps must be more than 0, to max_fps".to_owned()),
            (self.max_fps.is_finite(), "max_fps must be a number".to_owned()),
            ((0.0..=1.0).contains(&self.scene), format!("scene is {}: 0 to 1 can be", self.scene)),
            ((16..=65_500).contains(&self.edge), format!("edge is {}: 16 to 65500 can be", self.edge)),
            (self.max_pixels >= 1, "max_pixels is 0: no film would be taken".to_owned()),
            (self.max_film >= Duration::from_secs(1), "max_film is less than a second".to_owned()),
            (self.piece >= shortest, format!("piece is less than {}", humantime::format_duration(shortest))),
            (self.memory >= ByteSize::mib(512), "memory is less than 512 MiB: ffmpeg does not start".to_owned()),
            (self.max_time >= Duration::from_secs(1), "max_time is less than a second".to_owned()),
            (self.patience >= Duration::from_secs(1), "patience is less than a second".to_owned()),
        ];
        match rules.into_iter().find(|(is_kept, _)| !is_kept) {
            Some((_, message)) => Err(LoadError::Config(message)),
            None => Ok(()),
        }
    }

    /// What a child may take.
    pub(crate) fn limits(&self) -> child::Limits {
        child::Limits { memory: self.memory.as_u64(), cpu: self.max_time.as_secs().saturating_mul(MAX_THREADS as u64) }
    }
}

/// Threads that one child computes on, of those that the model has.
pub(crate) fn threads(available: usize) -> usize {
    available.clamp(1, MAX_THREADS)
}
