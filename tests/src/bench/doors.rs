//! What do the doors cost over the bus behind them, and over bare axum?

use std::collections::HashMap;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use futures::future::try_join_all;
use megabrain_bus::{Bus, Call, Frame, Target};
use megabrain_node::connection::{Connection, Role};
use megabrain_schemas::{Codec, EchoReply, EchoRequest};
use megabrain_tests::{Doors, conversation, name};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::sync::oneshot;

use crate::bare_doors::BareDoors;
use crate::report::{Bound, Report, median, median_ratio};

const CHAT: &str = "/v1/chat/completions";
const PATIENCE: Duration = Duration::from_secs(60);
/// Streams at the same time, and words of each.
const STREAMS: usize = 500;
const WORDS: usize = 20;

/// When each word was seen.
type Sightings = HashMap<String, Instant>;

/// Measures everything about the doors.
pub(crate) async fn measure(quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let models = format!("[models.echo]\nactor = \"echo\"\nslots = {STREAMS}\nqueue = {STREAMS}\n");
    let doors = Doors::open(&models, &["echo"], PATIENCE).await;
    let bus = doors.brain.client().await;
    first_text(&doors, &bus, if quick { 200 } else { 1000 }, report).await?;
    streams(&doors, report).await?;
    rates(&doors, quick, report).await
}

/// From the question to the first text of a stream, by HTTP and on the bus in turns.
async fn first_text(doors: &Doors, bus: &Bus, rounds: usize, report: &mut Report) -> anyhow::Result<()> {
    let body = conversation("echo", &json!({ "stream": true }));
    let request = EchoRequest { text: Some("Name a colour.".into()), stream: true, ..EchoRequest::default() };
    let (mut by_http, mut by_bus) = (Vec::new(), Vec::new());
    for round in 0..rounds + 50 {
        let began = Instant::now();
        let mut stream = bus.stream(&Target::Model(name("echo")), &request, Call::within(PATIENCE)).await?;
        let first = stream.next::<EchoRequest>().await.context("no frame")??;
        ensure!(matches!(first, Frame::Part(..)), "no text on the bus");
        let on_bus = began.elapsed();
        while stream.next::<EchoRequest>().await.is_some() {}

        let began = Instant::now();
        let answer = doors.to(CHAT, &body).send().await?;
        let mut bytes = answer.bytes_stream();
        let mut text = String::new();
        while !text.contains("\"content\":\"Name") {
            text.push_str(&String::from_utf8_lossy(&bytes.next().await.context("no text by HTTP")??));
        }
        let by_doors = began.elapsed();
        while bytes.next().await.is_some() {}
        // The first ones warm everything up.
        if round >= 50 {
            by_bus.push(on_bus.as_secs_f64() * 1e3);
            by_http.push(by_doors.as_secs_f64() * 1e3);
        }
    }
    let more = median(by_http.iter().zip(&by_bus).map(|(http, bus)| http - bus));
    let from = format!("p50 {:.2} ms by HTTP, {:.2} ms on the bus", median(by_http), median(by_bus));
    report.row("first text by HTTP, more than on the bus", Bound::AtMost(1.0), more, " ms", &from);
    Ok(())
}

/// Many streams at once: what is lost, and how long a frame takes from the bus to the client.
async fn streams(doors: &Doors, report: &mut Report) -> anyhow::Result<()> {
    let (stop, sightings) = watch(doors.brain.connection())?;
    let spoken = |number: usize| -> Vec<String> { (0..WORDS).map(|word| format!("s{number}w{word}.")).collect() };
    let one = async |number: usize| -> anyhow::Result<Vec<(String, Instant)>> {
        let text = spoken(number);
        let messages = json!([{ "role": "user", "content": text.join(" ") }]);
        let answer = doors.to(CHAT, &json!({ "model": "echo", "stream": true, "messages": messages })).send().await?;
        ensure!(answer.status() == 200, "status {}", answer.status());
        let (mut heard, mut rest, mut bytes) = (Vec::new(), String::new(), answer.bytes_stream());
        while let Some(chunk) = bytes.next().await {
            let now = Instant::now();
            rest.push_str(&String::from_utf8_lossy(&chunk?));
            while let Some((line, more)) = rest.split_once('\n') {
                let told = line.strip_prefix("data: ").filter(|data| data.starts_with('{'));
                let told: Option<Value> = told.map(serde_json::from_str).transpose()?;
                let delta = told.as_ref().and_then(|told| told.pointer("/choices/0/delta/content")?.as_str());
                heard.extend(delta.filter(|word| !word.is_empty()).map(|word| (word.trim().to_owned(), now)));
                rest = more.to_owned();
            }
        }
        Ok(heard)
    };
    let began = Instant::now();
    let heard = try_join_all((0..STREAMS).map(one)).await?;
    let took = began.elapsed();
    drop(stop);
    let seen = sightings.recv_timeout(PATIENCE)?;
    // Each word once, and in its place.
    let right = heard.iter().enumerate().map(|(number, heard)| {
        let places = heard.iter().zip(spoken(number)).filter(|((word, _), spoken)| word == spoken).count();
        if heard.len() == WORDS { places } else { 0 }
    });
    let whole = right.sum::<usize>() as f64 / (STREAMS * WORDS) as f64;
    let words: HashMap<String, Instant> = heard.into_iter().flatten().collect();
    let from = format!("{STREAMS} streams of {WORDS} words in {:.2} s", took.as_secs_f64());
    report.row("words of 500 streams at once that came", Bound::AtLeast(1.0), whole, "×", &from);
    let mut delays: Vec<f64> = words
        .iter()
        .filter_map(|(word, heard)| Some(heard.saturating_duration_since(*seen.get(word)?).as_secs_f64() * 1e3))
        .collect();
    ensure!(delays.len() * 100 > STREAMS * WORDS * 99, "{} of the frames were seen on the bus", delays.len());
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    let from = format!("from the bus to the client; p50 {:.1} ms", at(0.5));
    report.row("their frames' delay, p99", Bound::AtMost(50.0), at(0.99), " ms", &from);
    Ok(())
}

/// Notes when each word goes by on the bus, on a thread of its own, until the sender that it gives is dropped.
fn watch(connection: Connection) -> anyhow::Result<(oneshot::Sender<()>, mpsc::Receiver<Sightings>)> {
    let (stop, mut stopped) = oneshot::channel();
    let (began, begins) = mpsc::channel();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let seen = runtime.block_on(async {
            let bus = connection.connect(Role::Admin, "bench watch", false).await?;
            let mut inboxes = bus.subscribe("_INBOX.>", None).await?;
            bus.flush().await?;
            began.send(())?;
            let mut seen = Sightings::new();
            loop {
                tokio::select! {
                    _ = &mut stopped => return anyhow::Ok(seen),
                    Some(message) = inboxes.next() => {
                        let now = Instant::now();
                        let read = Codec::detect(None, &message.payload).and_then(|codec| codec.decode::<EchoReply>(&message.payload));
                        if let Ok(EchoReply { text: Some(text), .. }) = read {
                            seen.entry(text.trim().to_owned()).or_insert(now);
                        }
                    }
                }
            }
        })?;
        Ok(sender.send(seen)?)
    });
    begins.recv_timeout(PATIENCE)?;
    Ok((stop, receiver))
}

/// Answers a second, ours and bare axum's in turns, as `wrk` counts them.
async fn rates(doors: &Doors, quick: bool, report: &mut Report) -> anyhow::Result<()> {
    let bare = BareDoors::start(&doors.brain.connection()).await?;
    let script = doors.brain.folder().join("completion.lua");
    let body = json!({ "model": "echo", "max_tokens": 1, "messages": [{ "role": "user", "content": "x" }] });
    std::fs::write(
        &script,
        format!("wrk.method = \"POST\"\nwrk.headers[\"content-type\"] = \"application/json\"\nwrk.body = '{body}'\n"),
    )?;
    let script = script.display().to_string();
    let (rounds, seconds) = if quick { (1, 1) } else { (5, 3) };
    for (what, path, script) in [("/v1/models", "/v1/models", None), ("a completion of an echo", CHAT, Some(script))] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            ours.push(wrk(&format!("{}{path}", doors.url), script.as_deref(), seconds).await?);
            theirs.push(wrk(&format!("{}{path}", bare.url), script.as_deref(), seconds).await?);
        }
        let from = format!("{:.0} and {:.0} a second", median(ours.clone()), median(theirs.clone()));
        report.row(&format!("{what}, over bare axum"), Bound::AtLeast(0.7), median_ratio(&ours, &theirs), "×", &from);
    }
    Ok(())
}

/// Answers a second over 32 connections.
async fn wrk(url: &str, script: Option<&str>, seconds: u32) -> anyhow::Result<f64> {
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c32", &format!("-d{seconds}s")]);
    if let Some(script) = script {
        command.args(["-s", script]);
    }
    let ran = command.arg(url).output().await.context("cannot run wrk: apt-get install wrk")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let is_clean = ["Non-2xx", "Socket errors"].iter().all(|trouble| !said.contains(trouble));
    ensure!(ran.status.success() && is_clean, "wrk on {url}: {said}");
    let rate = said.lines().find_map(|line| line.strip_prefix("Requests/sec:")).context("wrk counts nothing")?;
    Ok(rate.trim().parse()?)
}
