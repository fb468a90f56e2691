//! What can be set about a voice?

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use megabrain_runtime::LoadError;
use serde::Deserialize;

use crate::voice::Inference;

/// Most texts at once: each slot has the weights for itself.
const MAX_SLOTS: usize = 16;
/// Speeds that a request can ask for, by the contract.
const SPEEDS: RangeInclusive<f32> = 0.25..=4.0;
/// The longest pause.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// A voice's table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The two files of a Piper voice.
    pub(crate) weights: Weights,
    /// Texts that are spoken at the same time. Each slot has a copy of the weights; they share the threads. Default 2.
    #[serde(default = "default_slots")]
    pub(crate) slots: usize,
    /// Who speaks where a request does not say, of those that a voice with several speakers has. Default: the voice's own.
    #[serde(default)]
    pub(crate) voice: Option<String>,
    /// How fast, where a request does not say. Default 1, the voice's own speed.
    #[serde(default = "default_speed")]
    pub(crate) speed: f32,
    /// How much the sound varies from one time to the next; with 0 here and in `noise_w` it is always the same.
    /// Default: the voice's own.
    #[serde(default)]
    pub(crate) noise_scale: Option<f32>,
    /// How much the length of sounds varies. Default: the voice's own.
    #[serde(default)]
    pub(crate) noise_w: Option<f32>,
    /// Silence between two sentences. Default `"200ms"`.
    #[serde(default = "default_pause", with = "humantime_serde")]
    pub(crate) pause: Duration,
    /// The longest text, in characters. A thousand take about a minute to be said. Default 10,000.
    #[serde(default = "default_max_text")]
    pub(crate) max_text: usize,
    /// The program that makes phonemes. Default: `espeak-ng`, wherever the system has it.
    #[serde(default = "default_espeak")]
    pub(crate) espeak: PathBuf,
    /// Where the weights live: `"ram"`, `"auto"`, or a card that this ONNX Runtime was built for (`"cuda0"`). Default
    /// `"auto"`.
    #[serde(default = "default_device")]
    pub(crate) device: String,
}

/// Where the two files of a Piper voice lie.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "`weights` is the path of a model, or a table of `model` and `config`")]
pub(crate) enum Weights {
    /// The model; its config lies beside it, under the same name with `.json` behind.
    Model(PathBuf),
    /// Both.
    Both(Files),
}

/// The two files, each by its path.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Files {
    /// The model in ONNX (`en_US-joe-medium.onnx`).
    model: PathBuf,
    /// What its maker says of it (`en_US-joe-medium.onnx.json`).
    config: PathBuf,
}

impl Weights {
    /// The model's path.
    pub(crate) fn model(&self) -> &Path {
        match self {
            Self::Model(model) | Self::Both(Files { model, .. }) => model,
        }
    }

    /// The path of its config.
    pub(crate) fn config(&self) -> PathBuf {
        match self {
            Self::Model(model) => {
                let mut config = model.as_os_str().to_owned();
                config.push(".json");
                config.into()
            }
            Self::Both(files) => files.config.clone(),
        }
    }
}

fn default_slots() -> usize {
    2
}

fn default_speed() -> f32 {
    1.0
}

fn default_pause() -> Duration {
    Duration::from_millis(200)
}

fn default_max_text() -> usize {
    10_000
}

fn default_espeak() -> PathBuf {
    "espeak-ng".into()
}

fn default_device() -> String {
    "auto".to_owned()
}

impl Config {
    /// Checks what the types do not say.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let refused = |message: String| Err(LoadError::Config(message));
        if !(1..=MAX_SLOTS).contains(&self.slots) {
            return refused(format!("slots is {}: 1 to {MAX_SLOTS} can be", self.slots));
        }
        if !SPEEDS.contains(&self.speed) {
            return refused(format!("speed is {}: {} to {} can be", self.speed, SPEEDS.start(), SPEEDS.end()));
        }
        for (name, noise) in [("noise_scale", self.noise_scale), ("noise_w", self.noise_w)] {
            if let Some(noise) = noise.filter(|noise| !(0.0..=2.0).contains(noise)) {
                return refused(format!("{name} is {noise}: 0 to 2 can be"));
            }
        }
        if self.pause > MAX_PAUSE {
            return refused(format!("pause is {:?}: at most {MAX_PAUSE:?} can be", self.pause));
        }
        if self.max_text == 0 {
            return refused("max_text is 0: no text would be spoken".to_owned());
        }
        Ok(())
    }

    /// How the voice speaks where a request does not say.
    pub(crate) fn inference(&self, own: Inference) -> Inference {
        Inference {
            noise_scale: self.noise_scale.unwrap_or(own.noise_scale),
            length_scale: own.length_scale / self.speed,
            noise_w: self.noise_w.unwrap_or(own.noise_w),
        }
    }
}
