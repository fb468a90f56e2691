//! How fast is whisper.cpp by itself? The yardstick of `make bench`: no bus, no cutting, no streaming.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use serde::Serialize;
use whisper_rs::WhisperContextParameters;

use crate::abort::Stop;
use crate::collect::{Limits, duration};
use crate::decode::decode;
use crate::engine::load;
use crate::hear::defaults;

/// Whisper called directly on one file.
#[derive(Debug, Parser)]
#[command(name = "megabrain-speech --bare")]
pub(crate) struct Bare {
    #[arg(long, hide = true, required = true)]
    bare: bool,
    /// The sound.
    file: PathBuf,
    /// Weights, a Whisper model in ggml format.
    #[arg(long)]
    weights: PathBuf,
    /// Threads to compute on [default: all cores].
    #[arg(long)]
    threads: Option<usize>,
    /// How often the file is transcribed.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Language of the sound; `auto`: the model finds out.
    #[arg(long, default_value = "en")]
    language: String,
    /// One JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// What was measured, in seconds.
#[derive(Debug, Serialize)]
struct Measured {
    text: String,
    audio_s: f64,
    load_s: f64,
    decode_s: f64,
    transcribe_s: Vec<f64>,
}

impl Bare {
    /// The command line, if it asks for this.
    pub(crate) fn asked() -> Option<Self> {
        std::env::args().any(|argument| argument == "--bare").then(Self::parse)
    }

    /// Measures and prints.
    pub(crate) fn run(&self) -> ExitCode {
        match self.measure().and_then(|measured| self.print(&measured)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("megabrain-speech: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn measure(&self) -> anyhow::Result<Measured> {
        let (samples, decode) = timed(|| read(&self.file));
        let samples = samples?;
        let ((context, state), load) = timed(|| {
            let context = load(&self.weights, WhisperContextParameters::new());
            let state = context.as_ref().ok().map(|context| context.create_state());
            (context, state)
        });
        context?;
        let mut state = state.context("no state")??;
        let threads = self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        let mut transcribe_s = Vec::new();
        for _ in 0..self.repeat.max(1) {
            let mut parameters = defaults(Some(&self.language));
            parameters.set_n_threads(i32::try_from(threads)?);
            let (outcome, took) = timed(|| state.full(parameters, &samples));
            outcome?;
            transcribe_s.push(took.as_secs_f64());
        }
        let text: Vec<_> = state.as_iter().map(|segment| segment.to_str_lossy()).collect::<Result<_, _>>()?;
        Ok(Measured {
            text: text.concat().trim().to_owned(),
            audio_s: duration(samples.len()).as_secs_f64(),
            load_s: load.as_secs_f64(),
            decode_s: decode.as_secs_f64(),
            transcribe_s,
        })
    }

    fn print(&self, measured: &Measured) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(measured)?);
            return Ok(());
        }
        println!("{}", measured.text);
        println!("{:.2} s of sound, decoded in {:.3} s", measured.audio_s, measured.decode_s);
        println!("model loaded in {:.3} s", measured.load_s);
        for took in &measured.transcribe_s {
            println!("transcribed in {took:.3} s, {:.1} times as fast as it is spoken", measured.audio_s / took);
        }
        Ok(())
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<f32>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let limits = Limits { max_audio: Duration::MAX, silence_dbfs: f32::NEG_INFINITY };
    decode(&bytes, &limits, &|| false).map_err(|stop| match stop {
        Stop::Fault(fault) => fault.into(),
        Stop::Interrupted => anyhow::anyhow!("interrupted"),
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed())
}
