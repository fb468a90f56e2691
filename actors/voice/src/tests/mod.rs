//! Promises of the engine, on the real voice and the real espeak-ng. Those of the actor (bus, queue, frames, and that
//! Whisper understands it) are in the workspace's `tests/`.

mod description;
mod formats;
mod hostile;
mod programs;
mod speaking;

use std::path::PathBuf;

use megabrain_onnx::{Device, Runtime, Stop as Brake};

use crate::config::{Config, Weights};
use crate::engine;
use crate::phonemes::Reader;
use crate::stop::Stop;
use crate::synthesis::{Manner, Synthesizer};
use crate::voice::Inference;

/// The folder in which `megabrain pull` puts models.
fn models() -> PathBuf {
    let cache = std::env::var_os("MEGABRAIN_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
        std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from).join("megabrain")
    });
    cache.join("models")
}

/// Settings with the starter brain's voice, which says the same in the same way every time.
fn config(more: &str) -> Config {
    let weights = models().join("en_US-joe-medium.onnx");
    assert!(weights.exists(), "{} is not there: `make pull` fetches it", weights.display());
    let text = format!(r#"{{"weights":{:?},"noise_scale":0,"noise_w":0{more}}}"#, weights.display().to_string());
    serde_json::from_str(&text).unwrap()
}

/// A voice that is ready to speak.
struct Speaker {
    reader: Reader,
    synthesizer: Synthesizer,
    runtime: Runtime,
    manner: Manner,
}

impl Speaker {
    fn new() -> Self {
        let config = config("");
        let reader = engine::read(&config).unwrap();
        let runtime = Runtime::load(config.weights.model()).unwrap_or_else(|error| panic!("{error}"));
        let device = Device::named("ram", &runtime).unwrap();
        let manner = Manner { speaker: 0, inference: config.inference(reader.voice.inference) };
        let synthesizer = engine::open(&config, &reader, &manner, &runtime, &device, 1).unwrap();
        Self { reader, synthesizer, runtime, manner }
    }

    /// The samples of a sentence; none if there is nothing to say.
    fn say(&mut self, sentence: &str, speed: f32) -> Option<Vec<i16>> {
        let phonemes = self.reader.read(sentence, &|| false).unwrap()?;
        let own = self.manner.inference;
        let manner = Manner { inference: Inference { length_scale: own.length_scale / speed, ..own }, ..self.manner };
        Some(self.synthesizer.speak(&phonemes, &manner, &Brake::new(&self.runtime).unwrap()).unwrap())
    }
}
