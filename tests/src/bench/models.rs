//! What do bus and engine cost a model, against the plainest loop over the same library in the same executable?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_node::pull::{Options, Puller, Reporter, Source};
use megabrain_schemas::{ChatRequest, Media, Message, TranscribeRequest};
use megabrain_tests::{Brain, STARTER, media, name, programs};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::process::Command;

use crate::report::{Bound, Report, median, median_ratio};

/// Something that takes more than `TOKENS` to answer.
pub(crate) const PROMPT: &str = "Tell a long story about a lighthouse keeper, with every detail of one day.";
const TOKENS: u32 = 128;
const CLIP: &str = "question.wav";
/// The longest that one request to a model may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Files of the starter models, fetched if they are missing.
struct Weights {
    fast: PathBuf,
    deep: PathBuf,
    whisper: PathBuf,
}

/// What `megabrain-llm --bare --json` says, as far as it matters here.
#[derive(Deserialize)]
struct BareLlm {
    load_ms: f64,
    tokens_per_second: f64,
}

/// What `megabrain-speech --bare --json` says, likewise.
#[derive(Deserialize)]
struct BareSpeech {
    load_s: f64,
    decode_s: f64,
    transcribe_s: Vec<f64>,
}

/// Measures coming up, both language models, and Whisper.
pub(crate) async fn measure(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    // Rates differ by a tenth from one second to the next on machines that are shared: many short rounds in turns.
    let (ups, rounds) = if quick { (1, 1) } else { (5, 15) };
    let puller = Puller::new(Options::from_env(), Reporter::auto())?;
    let weights = Weights {
        fast: puller.fetch(&Source::Artefact("smollm2-135m".into())).await?,
        deep: puller.fetch(&Source::Artefact("qwen2.5-coder-0.5b".into())).await?,
        whisper: puller.fetch(&Source::Artefact("whisper-tiny.en".into())).await?,
    };
    coming_up(&weights, ups, report).await?;
    let mut brain = Brain::start(STARTER).await;
    all_ready(&mut brain).await;
    let bus = brain.client().await;
    for (model, path, device) in [("fast", &weights.fast, "auto"), ("deep", &weights.deep, "ram")] {
        tokens_per_second(&bus, model, path, device, rounds, report).await?;
    }
    transcription(&bus, &weights.whisper, rounds, report).await?;
    brain.stop();
    Ok(())
}

/// Waits for the line by which `megabrain up` tells that every model serves.
pub(crate) async fn all_ready(brain: &mut Brain) {
    brain.until(Duration::from_secs(300), "all models ready", |brain| brain.log().contains(" models in ")).await;
}

/// From the start of `megabrain up` until all is ready, in turns with the bare loads. All files are read once before.
async fn coming_up(weights: &Weights, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let (mut up, mut bare, mut over) = (Vec::new(), Vec::new(), Vec::new());
    bare_loads(weights).await?;
    for _ in 0..rounds {
        let loads = bare_loads(weights).await?;
        let began = Instant::now();
        let mut brain = Brain::start(STARTER).await;
        all_ready(&mut brain).await;
        let took = began.elapsed().as_secs_f64();
        brain.stop();
        up.push(took);
        bare.push(loads);
        over.push((took - 1.0) / loads);
    }
    let from = format!("(up − 1 s) / bare loads; up {:.2} s, bare loads {:.2} s", median(up), median(bare));
    report.row("up to all ready, less 1 s, against bare loads", Bound::AtMost(1.5), median(over), "×", &from);
    Ok(())
}

/// The sum of what each model takes to load by itself, in seconds.
async fn bare_loads(weights: &Weights) -> anyhow::Result<f64> {
    let fast = bare_llm(&weights.fast, "auto", 1).await?;
    let deep = bare_llm(&weights.deep, "ram", 1).await?;
    let whisper = bare_speech(&weights.whisper, 1).await?;
    Ok((fast.load_ms + deep.load_ms) / 1e3 + whisper.load_s)
}

async fn tokens_per_second(
    bus: &Bus,
    model: &str,
    weights: &Path,
    device: &str,
    rounds: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    stream_rate(bus, model).await?;
    for _ in 0..rounds {
        bare.push(bare_llm(weights, device, TOKENS).await?.tokens_per_second);
        ours.push(stream_rate(bus, model).await?);
    }
    let from = format!("{:.1} against {:.1} tokens a second", median(ours.clone()), median(bare.clone()));
    let what = format!("{model}: one stream, 128 tokens, against bare");
    report.row(&what, Bound::AtLeast(0.95), median_ratio(&ours, &bare), "×", &from);
    Ok(())
}

/// Tokens a second from the first frame to the last, by the caller's clock: as in the bare loop, the prompt is not in it.
async fn stream_rate(bus: &Bus, model: &str) -> anyhow::Result<f64> {
    let request = ChatRequest { stream: true, ..chat(TOKENS) };
    let mut frames = bus.stream(&Target::Model(name(model)), &request, Call::within(PATIENCE)).await?;
    let mut first = None;
    while let Some(frame) = frames.next::<ChatRequest>().await {
        match frame? {
            Frame::Part(..) => first = first.or_else(|| Some(Instant::now())),
            Frame::End(_, reply) => {
                let first = first.with_context(|| format!("{model} says nothing"))?;
                return Ok(f64::from(reply.usage.completion_tokens.saturating_sub(1)) / first.elapsed().as_secs_f64());
            }
        }
    }
    bail!("the stream of {model} has no end")
}

/// A request that is answered the same every time.
pub(crate) fn chat(tokens: u32) -> ChatRequest {
    ChatRequest {
        messages: vec![Message::user(PROMPT)],
        max_tokens: Some(tokens),
        temperature: Some(0.0),
        ..ChatRequest::default()
    }
}

async fn transcription(bus: &Bus, weights: &Path, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let (target, request) = (Target::Model(name("whisper")), transcribe());
    bus.call(&target, &request, Call::within(PATIENCE)).await?;
    for _ in 0..rounds {
        // The second time: by then its buffers are there, as ours are.
        let alone = bare_speech(weights, 2).await?;
        bare.push(alone.decode_s + alone.transcribe_s.last().copied().unwrap_or(f64::NAN));
        let began = Instant::now();
        bus.call(&target, &request, Call::within(PATIENCE)).await?;
        ours.push(began.elapsed().as_secs_f64());
    }
    let from = format!("{:.3} against {:.3} s", median(ours.clone()), median(bare.clone()));
    // Speeds: the inverse of times.
    report.row(
        "whisper: speed against whisper-rs, same file",
        Bound::AtLeast(0.97),
        median_ratio(&bare, &ours),
        "×",
        &from,
    );
    Ok(())
}

/// The committed clip, to be written down.
pub(crate) fn transcribe() -> TranscribeRequest {
    TranscribeRequest {
        model: None,
        audio: Media::inline("audio/wav", media(CLIP)),
        language: Some("en".into()),
        stream: false,
        deadline_ms: None,
        work: None,
    }
}

async fn bare_llm(weights: &Path, device: &str, tokens: u32) -> anyhow::Result<BareLlm> {
    let mut command = Command::new(programs().join("megabrain-llm"));
    command.arg("--bare").arg("--weights").arg(weights).args(["--device", device]);
    command.args(["--prompt", PROMPT, "--tokens", &tokens.to_string()]);
    said(command).await
}

async fn bare_speech(weights: &Path, times: usize) -> anyhow::Result<BareSpeech> {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("media").join(CLIP);
    let mut command = Command::new(programs().join("megabrain-speech"));
    command.arg("--bare").arg(clip).arg("--weights").arg(weights).args(["--repeat", &times.to_string()]);
    said(command).await
}

/// What a program says in JSON.
async fn said<T: DeserializeOwned>(mut command: Command) -> anyhow::Result<T> {
    let output = command.arg("--json").kill_on_drop(true).output().await?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
