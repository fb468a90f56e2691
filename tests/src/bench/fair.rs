//! How do three busy models share the cores, and does the bus stay quick meanwhile?

use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use megabrain_bus::{Bus, Call, Target};
use megabrain_schemas::EchoRequest;
use megabrain_tests::{Brain, STARTER, name};

use crate::bare::Bare;
use crate::models::{all_ready, chat, transcribe};
use crate::report::{Bound, Report, median};

/// The models that compute; by default each has the same share.
const MODELS: [&str; 3] = ["fast", "deep", "whisper"];
/// Tokens of one answer: short, so that a window ends soon after one.
const TOKENS: u32 = 32;
/// Time between two echoes.
const PAUSE: Duration = Duration::from_millis(10);
/// The longest that one request to a busy model may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures each model alone and then all together, in turns.
pub(crate) async fn measure(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, window) = if quick { (1, Duration::from_secs(10)) } else { (3, Duration::from_secs(20)) };
    let mut brain = Brain::start(STARTER).await;
    all_ready(&mut brain).await;
    let bus = brain.client().await;
    // The first answer of each is not measured.
    for model in MODELS {
        work(&bus, model).await?;
    }
    let [mut alone, mut busy]: [[Vec<f64>; 3]; 2] = Default::default();
    let [mut kept, mut sums] = [Vec::new(), Vec::new()];
    let bare = Bare::start(&brain.connection()).await?;
    let [mut echoes, mut bare_echoes] = [Histogram::new(3)?, Histogram::new(3)?];
    for _ in 0..rounds {
        let mut own = [0.0; 3];
        for (own, model) in own.iter_mut().zip(MODELS) {
            *own = rate(&bus, model, window).await?;
        }
        let [fast, deep, whisper] = MODELS.map(|model| rate(&bus, model, window));
        let (fast, deep, whisper, ()) =
            tokio::try_join!(fast, deep, whisper, echo(&bus, &bare, window, [&mut echoes, &mut bare_echoes]))?;
        let together = [fast, deep, whisper];
        kept.push(fast / own[0]);
        sums.push(together.iter().zip(&own).map(|(busy, alone)| busy / alone).sum());
        for (rates, rate) in alone.iter_mut().chain(&mut busy).zip(own.into_iter().chain(together)) {
            rates.push(rate);
        }
    }
    let rates = MODELS.iter().zip(busy.map(median)).zip(alone.map(median));
    let rates: Vec<String> = rates.map(|((model, busy), alone)| format!("{model} {busy:.2} of {alone:.2}")).collect();
    let third = 1.0 / MODELS.len() as f64;
    let from = "its rate among others, over a third of its rate alone";
    report.row("all busy: fast, against a third of its own rate", Bound::AtLeast(0.8), median(kept) / third, "×", from);
    let from = format!("tokens or sounds a second: {}", rates.join(", "));
    report.row("all busy: the sum, against one after the other", Bound::AtLeast(0.9), median(sums), "×", &from);
    bare.stop().await?;
    // Beside it the limit: on a kernel that looks only at its tick whether a thread that was just woken may run, every
    // hop waits for that at times.
    let [p50, bare_p50] = [&echoes, &bare_echoes].map(|times| milliseconds(times, 0.5));
    let bare_p99 = milliseconds(&bare_echoes, 0.99);
    let count = echoes.len();
    let from =
        format!("{count} echoes, p50 {p50:.2} ms; bare round trips in turns: p50 {bare_p50:.2}, p99 {bare_p99:.2}");
    report.row("all busy: echo by the router, p99", Bound::AtMost(5.0), milliseconds(&echoes, 0.99), " ms", &from);
    brain.stop();
    Ok(())
}

/// Units of work a second of a model that is kept busy, one request after the other. The last one, which the window cuts
/// off, is cancelled and not counted, nor is its time.
async fn rate(bus: &Bus, model: &str, window: Duration) -> anyhow::Result<f64> {
    let began = Instant::now();
    let (mut done, mut took) = (0.0, Duration::ZERO);
    while let Ok(units) = tokio::time::timeout_at((began + window).into(), work(bus, model)).await {
        done += units?;
        took = began.elapsed();
    }
    Ok(done / took.as_secs_f64())
}

/// One request, and how much it was: tokens, or sounds.
async fn work(bus: &Bus, model: &str) -> anyhow::Result<f64> {
    let target = Target::Model(name(model));
    if model == "whisper" {
        bus.call(&target, &transcribe(), Call::within(PATIENCE)).await?;
        return Ok(1.0);
    }
    let reply = bus.call(&target, &chat(TOKENS), Call::within(PATIENCE)).await?;
    Ok(f64::from(reply.usage.completion_tokens))
}

/// Notes how long an echo by the router and a bare round trip take, in microseconds, in turns.
async fn echo(bus: &Bus, bare: &Bare, window: Duration, times: [&mut Histogram<u64>; 2]) -> anyhow::Result<()> {
    let end = Instant::now() + window;
    let text = "x".repeat(512);
    let payload = Bytes::from(text.clone());
    let request = EchoRequest { text: Some(text), ..EchoRequest::default() };
    let [routed, bare_times] = times;
    let passed = |began: Instant| u64::try_from(began.elapsed().as_micros());
    while Instant::now() < end {
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        bus.call(&Target::Router, &request, Call::within(PATIENCE)).await?;
        routed.record(passed(began)?)?;
        tokio::time::sleep(PAUSE).await;
        let began = Instant::now();
        bare.ask(&payload).await?;
        bare_times.record(passed(began)?)?;
    }
    Ok(())
}

fn milliseconds(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1e3
}
