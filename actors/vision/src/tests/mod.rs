//! Promises of the eyes, on the real models. Those of the actor (bus, queue, cancel) are in the workspace's `tests/`.

mod faults;
mod formats;
mod hostile;
mod reference;
mod stopping;
mod weights;

use std::path::PathBuf;

use image::RgbImage;
use megabrain_onnx::{Device, Runtime, Stop};
use megabrain_schemas::{Fault, SeeTask, Seen};

use crate::config::Config;
use crate::end::End;
use crate::eyes::{Eyes, Sight};

pub(crate) const MAX_PIXELS: u64 = 50_000_000;

/// Bytes of a file of `tests/media`.
pub(crate) fn media(name: &str) -> Vec<u8> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/media")).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where `megabrain pull` puts what it fetches.
pub(crate) fn cache() -> PathBuf {
    let cache = std::env::var_os("MEGABRAIN_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
        std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from).join("megabrain")
    });
    cache.join("models")
}

/// The starter brain's settings.
pub(crate) fn config() -> Config {
    let path = |file: &str| {
        let path = cache().join(file);
        assert!(path.exists(), "{} is not there: `make pull` fetches it", path.display());
        path.display().to_string()
    };
    let weights = serde_json::json!({
        "classify": path("efficientnet-lite0.onnx"),
        "detect": path("ch_PP-OCRv4_det_infer.onnx"),
        "angle": path("ch_ppocr_mobile_v2.0_cls_infer.onnx"),
        "read": path("ch_PP-OCRv4_rec_infer.onnx"),
    });
    serde_json::from_value(serde_json::json!({ "weights": weights })).unwrap()
}

pub(crate) fn runtime() -> Runtime {
    Runtime::load(&cache().join("any.onnx")).unwrap()
}

pub(crate) fn eyes() -> Eyes {
    eyes_with(&config())
}

pub(crate) fn eyes_with(config: &Config) -> Eyes {
    let runtime = runtime();
    Eyes::open(&runtime, config, &Device::named("ram", &runtime).unwrap(), 2).unwrap()
}

/// Looks at pictures with nobody who interrupts.
pub(crate) fn see(eyes: &mut Eyes, pictures: &[Vec<u8>], tasks: &[SeeTask]) -> Result<Vec<Seen>, Fault> {
    let stop = Stop::new(&runtime()).unwrap();
    let mut sight = Sight::new(eyes.tasks(Some(tasks))?, None);
    let fault = |end| match end {
        End::Fault(fault) => fault,
        End::Interrupted => unreachable!("nobody interrupts"),
    };
    for (index, picture) in pictures.iter().enumerate() {
        eyes.look(picture, &format!("images[{index}]"), &mut sight, &stop).map_err(fault)?;
    }
    eyes.finish(sight, &stop).map_err(fault)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, Fault> {
    megabrain_picture::decode(bytes, MAX_PIXELS, "images[0]")
}
