//! What can be set about a vision model?

use std::path::PathBuf;

use megabrain_runtime::LoadError;
use megabrain_schemas::SeeTask;
use serde::Deserialize;

/// Most jobs at once: each has the models to itself, and they take memory.
const MAX_SLOTS: usize = 64;

/// A vision model's table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The models that it consists of.
    pub(crate) weights: Weights,
    /// Requests that are worked on at the same time. Default 2.
    #[serde(default = "default_slots")]
    pub(crate) slots: usize,
    /// The largest picture that is taken, width times height. A pixel takes 3 bytes while it is looked at, up to 16
    /// while it is decoded. Default 50 million.
    #[serde(default = "default_max_pixels")]
    pub(crate) max_pixels: u64,
    /// Lines of text that the model is less sure of are left out, 0 to 1. Default 0.5.
    #[serde(default = "default_min_text_score")]
    pub(crate) min_text_score: f32,
    /// What `classify` takes from each colour of a pixel, red, green and blue, 0 to 255, and what it divides the rest
    /// by. Default 127 and 128, which is what EfficientNet-Lite was trained with.
    #[serde(default = "default_mean")]
    pub(crate) mean: [f32; 3],
    /// See `mean`.
    #[serde(default = "default_deviation")]
    pub(crate) deviation: [f32; 3],
    /// Where the models live: `"ram"`, `"auto"`, which is the same, or a card (`"cuda0"`, `"rocm0"`) if the ONNX Runtime
    /// here was built for one. Default `"auto"`.
    #[serde(default = "default_device")]
    pub(crate) device: String,
}

/// Files in ONNX format, by what they are for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weights {
    /// Names what a picture shows. Its metadata has the names of its classes under `labels`, one a line; or a file
    /// beside it has, with the ending `.txt` in place of `.onnx`.
    pub(crate) classify: Option<PathBuf>,
    /// Finds lines of text: PP-OCR's detection, or any other by differentiable binarisation. Goes with `read`.
    pub(crate) detect: Option<PathBuf>,
    /// Reads a line of text: PP-OCR's recognition. Its metadata has its alphabet under `character`.
    pub(crate) read: Option<PathBuf>,
    /// Tells whether a line stands on its head: PP-OCR's classifier. Without it, such lines are not read.
    pub(crate) angle: Option<PathBuf>,
}

fn default_slots() -> usize {
    2
}

fn default_max_pixels() -> u64 {
    50_000_000
}

fn default_min_text_score() -> f32 {
    0.5
}

fn default_mean() -> [f32; 3] {
    [127.0; 3]
}

fn default_deviation() -> [f32; 3] {
    [128.0; 3]
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
        if !(0.0..=1.0).contains(&self.min_text_score) {
            return refused(format!("min_text_score is {}: 0 to 1 can be", self.min_text_score));
        }
        if self.deviation.iter().any(|deviation| *deviation == 0.0 || !deviation.is_finite()) {
            return refused("deviation has a zero or is no number: colours are divided by it".to_owned());
        }
        match &self.weights {
            Weights { detect: Some(_), read: None, .. } | Weights { detect: None, read: Some(_), .. } => refused(
                "weights has one of `detect` and `read`: text is found with the one, read with the other".into(),
            ),
            Weights { classify: None, read: None, .. } => {
                refused("weights has neither `classify` nor `detect` and `read`: there is nothing to see with".into())
            }
            _ => Ok(()),
        }
    }

    /// What it does by itself, by the weights it has.
    pub(crate) fn tasks(&self) -> Vec<SeeTask> {
        let Weights { classify, read, .. } = &self.weights;
        let known = [classify.as_ref().map(|_| SeeTask::Classify), read.as_ref().map(|_| SeeTask::Read)];
        known.into_iter().flatten().collect()
    }

    /// Some path of the weights: ONNX Runtime may lie beside it.
    pub(crate) fn any_weights(&self) -> PathBuf {
        let Weights { classify, detect, .. } = &self.weights;
        classify.as_ref().or(detect.as_ref()).cloned().unwrap_or_default()
    }
}
