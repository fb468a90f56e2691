//! Promises of the engine, on the real model. Those of the actor (bus, queue, frames) are in the workspace's `tests/`.

mod cancel;
mod faults;
mod formats;
mod hostile;
mod live;
mod long;
mod times;
mod weights;

use std::path::PathBuf;
use std::time::Duration;

use megabrain_schemas::Fault;
use whisper_rs::{WhisperContext, WhisperContextParameters};

use crate::abort::{IsDue, Stop};
use crate::collect::Limits;
use crate::condense::Condensed;
use crate::cores::Cores;
use crate::hear::{Transcriber, Wish};
use crate::pool::Pool;
use crate::transcribe::{Task, Transcript};

pub(crate) const LIMITS: Limits = Limits { max_audio: Duration::from_secs(3600), silence_dbfs: -60.0 };

/// What is said in `tests/media/question.*`.
pub(crate) const QUESTION: &str =
    "i have a question about europe what is the capital of france and what is it famous for";

/// Bytes of a file of `tests/media`.
pub(crate) fn media(name: &str) -> Vec<u8> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/media")).join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The starter brain's weights.
pub(crate) fn weights() -> PathBuf {
    let cache = std::env::var_os("MEGABRAIN_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
        std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from).join("megabrain")
    });
    let path = cache.join("models/ggml-tiny.en.bin");
    assert!(path.exists(), "{} is not there: `make setup` fetches it", path.display());
    path
}

pub(crate) fn model() -> WhisperContext {
    crate::engine::load(&weights(), WhisperContextParameters::new()).unwrap()
}

/// One state of the model.
pub(crate) fn pool() -> Pool<Transcriber> {
    Pool::new(vec![Transcriber::new(&model()).unwrap()])
}

/// Transcribes until somebody interrupts.
pub(crate) fn transcribe_until(
    pool: &Pool<Transcriber>,
    sound: &Condensed,
    wish: Wish,
    is_due: IsDue<'_>,
) -> Result<Transcript, Stop> {
    // One thread: with more, ggml's spin while other tests and builds want the cores.
    let (cores, mut segments) = (Cores::new(1), Vec::new());
    let task = Task { sound, wish, limits: &LIMITS, pool, cores: &cores, is_due, is_patient: false };
    let transcript = crate::transcribe::transcribe(&task, &mut |segment| segments.push(segment.clone()))?;
    assert_eq!(transcript.segments, segments, "every segment is emitted once, in order");
    Ok(transcript)
}

/// Transcribes all of some samples, with nobody who interrupts.
pub(crate) fn transcribe(pool: &Pool<Transcriber>, samples: &[f32]) -> Transcript {
    let wish = Wish { language: Some("en"), ..Wish::default() };
    transcribe_until(pool, &Condensed::whole(samples.to_vec()), wish, &|| false).unwrap()
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<f32>, Fault> {
    decode_within(bytes, &LIMITS)
}

pub(crate) fn decode_within(bytes: &[u8], limits: &Limits) -> Result<Vec<f32>, Fault> {
    crate::decode::decode(bytes, limits, &|| false).map_err(|stop| match stop {
        Stop::Fault(fault) => fault,
        Stop::Interrupted => unreachable!("nobody interrupts"),
    })
}

/// Words without case and punctuation.
pub(crate) fn plain(text: &str) -> String {
    let letters: String = text.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A WAV file of 16-bit samples, interleaved.
pub(crate) fn wav(rate: u32, channels: u16, samples: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| ((sample * 32767.0) as i16).to_le_bytes()).collect();
    let length = data.len() as u32;
    let align = channels.wrapping_mul(2);
    [
        &b"RIFF"[..],
        &length.saturating_add(36).to_le_bytes(),
        b"WAVEfmt \x10\0\0\0\x01\0",
        &channels.to_le_bytes(),
        &rate.to_le_bytes(),
        &rate.wrapping_mul(u32::from(align)).to_le_bytes(),
        &align.to_le_bytes(),
        &16_u16.to_le_bytes(),
        b"data",
        &length.to_le_bytes(),
        &data,
    ]
    .concat()
}

/// `seconds` of a tone at half of full scale, the same on each channel.
pub(crate) fn tone(rate: u32, channels: u16, seconds: f64) -> Vec<f32> {
    (0..(f64::from(rate) * seconds) as u32)
        .map(|n| (f64::from(n) / f64::from(rate) * 440.0 * std::f64::consts::TAU).sin() as f32 * 0.5)
        .flat_map(|sample| std::iter::repeat_n(sample, usize::from(channels)))
        .collect()
}
