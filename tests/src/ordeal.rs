//! Are durable jobs durable? Many are handed in while node, models and bus are killed, and each is looked after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use futures::stream;
use reqwest::Client;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{Doors, Receiver, signal};

/// Jobs at the same time; so many run when something is killed, at most.
pub const AT_ONCE: usize = 16;
/// Between two kills.
const PAUSE: Duration = Duration::from_millis(1500);
/// For everything after the last kill.
const LIMIT: Duration = Duration::from_secs(300);

/// What became of the jobs.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Jobs that were accepted, each under a key of its own.
    pub accepted: usize,
    /// Those that have their answer, and the right one.
    pub right: usize,
    /// Attempts beyond the first of each.
    pub ran_again: usize,
    /// Those that could be running when something was killed, of all kills together: as many as were open, and at most
    /// [`AT_ONCE`].
    pub could_run: usize,
    /// Kills at which no job was open: they showed nothing.
    pub idle_kills: usize,
    /// Jobs of which more than one result was told, in callbacks or when asked.
    pub ambiguous: usize,
    /// Jobs whose callback came, and all callbacks that came.
    pub called: (usize, usize),
    /// From the first job to the last end.
    pub took: Duration,
}

/// Hands in so many jobs, and kills so many times meanwhile: by turns the node with all it started, the bus, the models.
pub async fn ordeal(jobs: usize, kills: usize) -> Outcome {
    let receiver = Receiver::start(&[]).await;
    let settings = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nallow = [\"{}\"]\n[gateway.jobs]\nconcurrent = {AT_ONCE}\n\
         [models.echo]\nactor = \"echo\"\nslots = {AT_ONCE}\n",
        receiver.host()
    );
    let mut doors = Doors::open(&settings, &["echo"], Duration::from_secs(30)).await;
    let began = Instant::now();
    let (url, urls) = watch::channel(doors.url.clone());
    let pace = PAUSE * u32::try_from(kills).unwrap_or(u32::MAX) / u32::try_from(jobs.max(1)).unwrap_or(u32::MAX);
    let handing_in = tokio::spawn(hand_in(jobs, pace, receiver.url(), urls.clone()));
    let mut killed_at = Vec::new();
    for kill in 0..kills {
        tokio::time::sleep(PAUSE).await;
        killed_at.push(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        let doomed = match kill % 3 {
            0 => vec![doors.brain.node()],
            1 => doors.brain.children("nats-server"),
            _ => doors.brain.children("megabrain-echo"),
        };
        doomed.iter().for_each(|pid| signal(*pid, Signal::KILL));
        if kill % 3 == 0 {
            doors.start_again(&["echo"], LIMIT).await;
            url.send_replace(doors.url.clone());
        }
    }
    let ids = handing_in.await.expect("handing in");
    let ended = ended(&ids, &urls).await;
    let took = began.elapsed();
    let calls = called(&receiver, &ids).await;

    let mut outcome = Outcome { accepted: ids.len(), took, ..Outcome::default() };
    for (id, text) in &ids {
        let job = &ended[id];
        outcome.right += usize::from(job["status"] == "succeeded" && job["result"]["text"] == text.as_str());
        outcome.ran_again += usize::try_from(job["attempts"].as_u64().unwrap_or(0)).unwrap_or(0).saturating_sub(1);
        let told: BTreeSet<String> = calls[id].iter().chain([job]).map(result_of).collect();
        outcome.ambiguous += usize::from(told.len() != 1);
    }
    for at in killed_at {
        let open =
            ended.values().filter(|job| job["created_at"].as_u64() <= Some(at) && job["ended_at"].as_u64() >= Some(at));
        let open = open.count();
        outcome.could_run += open.min(AT_ONCE);
        outcome.idle_kills += usize::from(open == 0);
    }
    outcome.called = (calls.values().filter(|calls| !calls.is_empty()).count(), calls.values().map(Vec::len).sum());
    outcome
}

/// Hands in a job each `pace`, again until it is accepted; gives ids and what is to be answered.
async fn hand_in(
    jobs: usize,
    pace: Duration,
    callback: String,
    urls: watch::Receiver<String>,
) -> BTreeMap<String, String> {
    let (client, began) = (Client::new(), tokio::time::Instant::now());
    let one = async |number: usize| {
        let text = format!("answer {number}");
        let delay_ms = 200 + number % 7 * 100;
        let body = json!({
            "capability": "echo", "model": "echo", "body": { "text": text, "delay_ms": delay_ms },
            "callback_url": callback,
        });
        tokio::time::sleep_until(began + pace * u32::try_from(number).unwrap_or(u32::MAX)).await;
        loop {
            let url = format!("{}/v1/jobs", *urls.borrow());
            let request = client.post(url).header("idempotency-key", format!("ordeal {number}")).json(&body);
            if let Ok(answer) = request.timeout(Duration::from_secs(10)).send().await
                && answer.status() == 202
                && let Ok(told) = answer.json::<Value>().await
            {
                return (told["id"].as_str().expect("an id").to_owned(), text);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    stream::iter(0..jobs).map(one).buffer_unordered(8).collect().await
}

/// Each job, once it has ended; as it then is, if it does not.
async fn ended(ids: &BTreeMap<String, String>, urls: &watch::Receiver<String>) -> BTreeMap<String, Value> {
    let client = Client::new();
    let end = Instant::now() + LIMIT;
    let one = async |id: &String| {
        loop {
            let url = format!("{}/v1/jobs/{id}", *urls.borrow());
            let told = match client.get(url).send().await {
                Ok(answer) => answer.json::<Value>().await.unwrap_or_default(),
                Err(_) => Value::Null,
            };
            let has_ended = ["succeeded", "failed", "cancelled"].iter().any(|status| told["status"] == *status);
            if has_ended || Instant::now() > end {
                return (id.clone(), told);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    stream::iter(ids.keys()).map(one).buffer_unordered(8).collect().await
}

/// The callbacks for each job, once each has had one.
async fn called(receiver: &Receiver, ids: &BTreeMap<String, String>) -> BTreeMap<String, Vec<Value>> {
    let end = Instant::now() + LIMIT;
    loop {
        let mut calls: BTreeMap<String, Vec<Value>> = ids.keys().map(|id| (id.clone(), Vec::new())).collect();
        for call in receiver.calls() {
            calls.get_mut(call.header("webhook-id")).expect("a job that was handed in").push(call.body());
        }
        if calls.values().all(|calls| !calls.is_empty()) || Instant::now() > end {
            return calls;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn result_of(job: &Value) -> String {
    format!("{} {} {} {}", job["status"], job["ended_at"], job["attempts"], job["result"])
}
