//! What can be set about a Whisper model?

use std::path::PathBuf;
use std::time::Duration;

use megabrain_runtime::LoadError;
use serde::Deserialize;
use whisper_rs::WhisperContextParameters;

use crate::collect::Limits;

/// Most sounds at once, and most states: each takes memory of its own.
const MAX_SLOTS: usize = 64;

/// A speech model's table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Path of the weights, a Whisper model in ggml format (`ggml-tiny.en.bin`).
    pub(crate) weights: PathBuf,
    /// Sounds that are worked on at the same time: files, clips and live ones. They share the states. Default 8.
    #[serde(default = "default_slots")]
    pub(crate) slots: usize,
    /// Pieces of them, of up to thirty seconds, that are heard at the same time, on the same weights. They share the
    /// threads. With two or more, one is kept for sounds of one piece. Default 2.
    #[serde(default = "default_states")]
    pub(crate) states: usize,
    /// Language of sounds whose request names none, ISO 639-1. Default: the model finds out.
    #[serde(default)]
    pub(crate) language: Option<String>,
    /// The longest sound that is taken. One hour takes 230 MB while it is worked on, in each slot.
    /// Default `"1h"`.
    #[serde(default = "default_max_audio", with = "humantime_serde")]
    pub(crate) max_audio: Duration,
    /// Sound whose peak is below this, in dB below full scale, is silence. Default -60.
    #[serde(default = "default_silence_dbfs")]
    pub(crate) silence_dbfs: f32,
    /// Leaves out silences of more than a second, in which nobody speaks; times stay those of the whole. Default true.
    #[serde(default = "default_skip_silence")]
    pub(crate) skip_silence: bool,
    /// Where the weights live: `"ram"`, `"auto"`, and in a build for cards the name of one (`"cuda0"`). Default `"auto"`.
    #[serde(default = "default_device")]
    pub(crate) device: String,
}

fn default_slots() -> usize {
    8
}

fn default_states() -> usize {
    2
}

fn default_skip_silence() -> bool {
    true
}

fn default_max_audio() -> Duration {
    Duration::from_secs(3600)
}

fn default_silence_dbfs() -> f32 {
    -60.0
}

fn default_device() -> String {
    "auto".to_owned()
}

/// Kinds of card, the cargo feature for each, and whether this build has it.
const CARDS: [(&str, &str, bool); 3] = [
    ("cuda", "cuda", cfg!(feature = "cuda")),
    ("rocm", "hipblas", cfg!(feature = "hipblas")),
    ("vulkan", "vulkan", cfg!(feature = "vulkan")),
];

impl Config {
    /// Checks what the types do not say.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        for (name, count) in [("slots", self.slots), ("states", self.states)] {
            if !(1..=MAX_SLOTS).contains(&count) {
                return Err(LoadError::Config(format!("{name} is {count}: 1 to {MAX_SLOTS} can be")));
            }
        }
        if self.max_audio.is_zero() {
            return Err(LoadError::Config("max_audio is zero: no sound would be taken".to_owned()));
        }
        if self.silence_dbfs.is_nan() || self.silence_dbfs > 0.0 {
            return Err(LoadError::Config(format!("silence_dbfs is {}: full scale is 0", self.silence_dbfs)));
        }
        Ok(())
    }

    /// What sound may be.
    pub(crate) fn limits(&self) -> Limits {
        Limits { max_audio: self.max_audio, silence_dbfs: self.silence_dbfs }
    }

    /// The device's name, and how whisper.cpp is told of it.
    pub(crate) fn device(&self) -> Result<(String, WhisperContextParameters<'static>), LoadError> {
        let mut parameters = WhisperContextParameters::new();
        let built = CARDS.iter().find(|(_, _, is_built)| *is_built);
        let asked = match (self.device.as_str(), built) {
            ("auto", Some((card, ..))) => format!("{card}0"),
            ("auto", None) => "ram".to_owned(),
            (asked, _) => asked.to_owned(),
        };
        if asked == "ram" {
            parameters.use_gpu(false);
            return Ok((asked, parameters));
        }
        let name = asked.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let number = asked.get(name.len()..).and_then(|digits| digits.parse().ok());
        match (CARDS.iter().find(|(card, ..)| *card == name), number) {
            (Some((.., true)), Some(number)) => {
                parameters.use_gpu(true).gpu_device(number);
                Ok((asked, parameters))
            }
            (Some((_, feature, false)), _) => Err(LoadError::Config(format!(
                "device is `{asked}`, and this build of Whisper computes on the CPU: set `ram` or `auto`, or build \
                 megabrain-speech with `--features {feature}`"
            ))),
            _ => Err(LoadError::Config(format!(
                "device is `{asked}`: `ram`, `auto`, `cuda0`, `rocm0` or `vulkan0` can be"
            ))),
        }
    }
}
