//! What can be said about a language model in a brain file?

use std::path::PathBuf;

use serde::Deserialize;

/// A language model's own table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The GGUF file, or that and the model's eyes.
    pub(crate) weights: Weights,

    /// For a model with eyes: the most pixels that the pictures of a conversation have together, or one to be described,
    /// width times height. A pixel takes some 15 bytes while it is decoded and looked at. Default: 50,000,000.
    #[serde(default = "default_max_pixels")]
    pub(crate) max_pixels: u64,

    /// Where the model lives: `auto`, `ram`, `cuda0`, `vulkan0`, `rocm0` … (`megabrain devices` lists them). `auto`
    /// takes the first graphics card with enough free memory, else RAM. Default: `auto`.
    #[serde(default = "default_device")]
    pub(crate) device: String,

    /// Where the experts of a mixture-of-experts model live: `device`, or `ram` to keep on the card only what every
    /// token needs. Default: `device`.
    #[serde(default)]
    pub(crate) experts: Experts,

    /// What the model is for: true to make vectors of texts (`embed`), false to go on with conversations (`chat`).
    /// Default: what its file says it was made for, ranking texts (`rerank`) included.
    #[serde(default)]
    pub(crate) embedding: Option<bool>,

    /// How many layers live on the card, the rest in RAM. Default: all.
    #[serde(default)]
    pub(crate) gpu_layers: Option<u32>,

    /// The longest conversation, in tokens, prompt and answer together; for vectors, the longest text. Default: what the
    /// model was trained for, but no more than 4096.
    #[serde(default)]
    pub(crate) context: Option<u32>,

    /// Conversations computed at the same time, 1 to 256; each has a `context` of its own. For vectors, requests.
    /// Default: 4.
    #[serde(default = "default_slots")]
    pub(crate) slots: u32,

    /// The most prompt tokens computed in one step, 16 to 8192. Fewer are taken where a step would last longer than
    /// 100 ms; a text for vectors is read whole, however long. Default: 512.
    #[serde(default = "default_batch")]
    pub(crate) batch: u32,

    /// The longest answer, in tokens, where a request does not say. Default: 512.
    #[serde(default = "default_max_tokens")]
    pub(crate) max_tokens: u32,

    /// Randomness where a request does not say, 0 to 2; 0 always takes the likeliest token. Default: 0.8.
    #[serde(default = "default_temperature")]
    pub(crate) temperature: f32,

    /// Where a request does not say: keep only the likeliest tokens whose chances add up to this, 0 to 1. Default: 0.95.
    #[serde(default = "default_top_p")]
    pub(crate) top_p: f32,

    /// Seed of the randomness where a request does not say. Default: another one for every request.
    #[serde(default)]
    pub(crate) seed: Option<u32>,

    /// Map the file into memory instead of reading it: starts faster, and shares pages with other processes.
    /// Default: true.
    #[serde(default = "default_mmap")]
    pub(crate) mmap: bool,

    /// Path of a Jinja chat template to use instead of the one in the GGUF file. Default: none.
    #[serde(default)]
    pub(crate) chat_template: Option<PathBuf>,

    /// Use this build of the processor backend (`haswell`, `x64` …) and not the best one, for machines that promise
    /// instructions which they do not have. `MEGABRAIN_CPU_VARIANT` says the same for all models. Default: the best.
    #[serde(default)]
    pub(crate) cpu_variant: Option<String>,
}

/// A model's files.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WeightsTable")]
pub(crate) struct Weights {
    /// Path of the GGUF file; of several parts, the first one.
    pub(crate) model: PathBuf,
    /// Path of its projector, also a GGUF file: with it, the model takes pictures. Default: none.
    pub(crate) mmproj: Option<PathBuf>,
}

/// `weights` as it is written: a path, or a table of paths.
#[derive(Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "`weights` is the path of a model, or a table of `model` and `mmproj`"
)]
enum WeightsTable {
    One(PathBuf),
    Several { model: PathBuf, mmproj: PathBuf },
}

impl From<WeightsTable> for Weights {
    fn from(table: WeightsTable) -> Self {
        match table {
            WeightsTable::One(model) => Self { model, mmproj: None },
            WeightsTable::Several { model, mmproj } => Self { model, mmproj: Some(mmproj) },
        }
    }
}

/// Where the experts of a mixture-of-experts model live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Experts {
    /// With the rest of the model.
    #[default]
    Device,
    /// In RAM, computed by the processor.
    Ram,
}

impl Config {
    /// Everything by default, but for the weights.
    pub(crate) fn of_weights(weights: PathBuf) -> Self {
        Self {
            weights: Weights { model: weights, mmproj: None },
            max_pixels: default_max_pixels(),
            device: default_device(),
            experts: Experts::default(),
            embedding: None,
            gpu_layers: None,
            context: None,
            slots: default_slots(),
            batch: default_batch(),
            max_tokens: default_max_tokens(),
            temperature: default_temperature(),
            top_p: default_top_p(),
            seed: None,
            mmap: default_mmap(),
            chat_template: None,
            cpu_variant: None,
        }
    }

    /// Checks the ranges that the types cannot express; the text names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(1..=256).contains(&self.slots) {
            return Err(format!("slots is {}: give 1 to 256", self.slots));
        }
        if !(16..=8192).contains(&self.batch) {
            return Err(format!("batch is {}: give 16 to 8192 tokens", self.batch));
        }
        if self.context == Some(0) {
            return Err("context is 0: give at least 1 token, or leave it out".to_owned());
        }
        if self.max_pixels == 0 {
            return Err("max_pixels is 0: give at least 1".to_owned());
        }
        if self.max_tokens == 0 {
            return Err("max_tokens is 0: give at least 1".to_owned());
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            return Err(format!("temperature is {}: give 0 to 2", self.temperature));
        }
        if !(0.0..=1.0).contains(&self.top_p) {
            return Err(format!("top_p is {}: give 0 to 1", self.top_p));
        }
        Ok(())
    }
}

fn default_max_pixels() -> u64 {
    50_000_000
}
fn default_device() -> String {
    "auto".to_owned()
}
fn default_slots() -> u32 {
    4
}
fn default_batch() -> u32 {
    512
}
fn default_max_tokens() -> u32 {
    512
}
fn default_temperature() -> f32 {
    0.8
}
fn default_top_p() -> f32 {
    0.95
}
fn default_mmap() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_alone_are_enough() {
        let config: Config = toml::from_str(r#"weights = "model.gguf""#).unwrap();
        assert_eq!(config.device, "auto");
        assert_eq!(config.experts, Experts::Device);
        assert_eq!((config.slots, config.batch, config.max_tokens), (4, 512, 512));
        assert!(config.mmap && config.context.is_none() && config.seed.is_none());
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn eyes_are_a_second_file() {
        let config: Config = toml::from_str(r#"weights = { model = "m.gguf", mmproj = "p.gguf" }"#).unwrap();
        assert_eq!((config.weights.model, config.weights.mmproj), ("m.gguf".into(), Some("p.gguf".into())));
        let error = toml::from_str::<Config>(r#"weights = { mmproj = "p.gguf" }"#).unwrap_err();
        assert!(error.to_string().contains("`model` and `mmproj`"), "{error}");
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = toml::from_str::<Config>("weights = \"m\"\nslot = 4").unwrap_err();
        assert!(error.to_string().contains("slot"), "{error}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_by_name() {
        let mut config = Config::of_weights("m".into());
        config.temperature = f32::NAN;
        assert!(config.check().unwrap_err().starts_with("temperature"));
        config = Config::of_weights("m".into());
        config.slots = 0;
        assert!(config.check().unwrap_err().starts_with("slots"));
    }
}
