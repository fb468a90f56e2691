//! Does the console's page come with its rules, and does its feed tell what happens to a brain, until there is none?

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use megabrain_tests::{Brain, Doors, error, megabrain, said, signal};
use rustix::process::Signal;
use serde_json::Value;

const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
const LIMIT: Duration = Duration::from_secs(30);

/// The lines of a feed.
struct Feed {
    pieces: BoxStream<'static, reqwest::Result<Bytes>>,
    rest: BytesMut,
}

impl Feed {
    async fn of(doors: &Doors) -> Self {
        let response = doors.get("/console/events").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Self { pieces: response.bytes_stream().boxed(), rest: BytesMut::new() }
    }

    /// The next line that says something; `None` after the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.rest.split_to(end + 1);
                if end > 0 {
                    return Some(serde_json::from_slice(&line).unwrap());
                }
                continue;
            }
            self.rest.extend_from_slice(&self.pieces.next().await?.ok()?);
        }
    }

    /// What happens to a model next.
    async fn happened(&mut self) -> Value {
        let waiting = async {
            loop {
                let mut line = self.next().await.expect("the feed goes on");
                if line["happened"]["instance"].is_string() {
                    return line["happened"].take();
                }
            }
        };
        tokio::time::timeout(LIMIT, waiting).await.expect("something happens")
    }
}

#[tokio::test]
async fn a_feed_begins_with_everything_tells_what_happens_and_ends_with_the_brain() {
    let mut doors = Doors::open(ECHO, &["echo"], LIMIT).await;
    let mut feed = Feed::of(&doors).await;
    let first = feed.next().await.unwrap();
    let echo = &first["state"]["models"][0];
    assert_eq!((&echo["model"], &echo["state"]), (&"echo".into(), &"ready".into()), "{first}");
    assert_eq!(first["state"]["on_bus"], true);

    let pid = u32::try_from(echo["pid"].as_u64().unwrap()).unwrap();
    signal(pid, Signal::KILL);
    for what in ["down", "restarting", "ready"] {
        let happened = feed.happened().await;
        assert_eq!((&happened["what"], &happened["who"]), (&what.into(), &"echo".into()), "{happened}");
        if what == "down" {
            assert!(happened["reason"].as_str().unwrap().contains("signal: 9"), "{happened}");
        }
    }
    // Whoever comes later hears of it, too.
    let later = Feed::of(&doors).await.next().await.unwrap();
    let told = later["state"]["happened"].as_array().unwrap();
    assert!(told.iter().any(|one| one["what"] == "down" && one["who"] == "echo"), "{later}");

    assert!(doors.brain.stop().success());
    let end = tokio::time::timeout(LIMIT, async { while feed.next().await.is_some() {} });
    end.await.expect("the feed ends");
}

#[tokio::test]
async fn a_page_that_leaves_makes_room_for_another_and_too_many_are_refused() {
    let doors = Doors::open(ECHO, &["echo"], LIMIT).await;
    let mut feeds = Vec::new();
    for _ in 0..64 {
        feeds.push(Feed::of(&doors).await);
    }
    let (status, code, message) = error(doors.get("/console/events").send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (503, "overloaded"), "{message}");
    feeds.pop();
    let until = std::time::Instant::now() + LIMIT;
    // Whoever left is noticed with the next line.
    while doors.get("/console/events").send().await.unwrap().status() != 200 {
        assert!(std::time::Instant::now() < until, "no place is given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn one_key_has_a_share_of_the_feeds_and_leaves_the_others_theirs() {
    let folder = tempfile::TempDir::new().unwrap();
    let key = |name: &str| {
        let (_, told, _) = said(&mut megabrain(folder.path(), &["key", name, "--json"]));
        let told: Value = serde_json::from_str(&told).unwrap();
        let (key, hash) = (told["key"].as_str().unwrap(), told["hash"].as_str().unwrap());
        (format!("Bearer {key}"), format!("[[gateway.keys]]\nname = \"{name}\"\nhash = \"{hash}\"\n"))
    };
    let ((greedy, first), (other, second)) = (key("greedy"), key("other"));
    let mut brain = Brain::start(&format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{first}{second}{ECHO}")).await;
    let url = format!("{}/console/events", brain.http().await);
    let client = reqwest::Client::new();
    let feed = async |key: &str| client.get(&url).header("authorization", key).send().await.unwrap();
    let mut feeds = Vec::new();
    for _ in 0..16 {
        let response = feed(&greedy).await;
        assert_eq!(response.status(), 200);
        feeds.push(response);
    }
    let (status, code, message) = error(feed(&greedy).await).await;
    assert!(status == 503 && code == "overloaded" && message.contains("greedy"), "{message}");
    assert_eq!(feed(&other).await.status(), 200);
}

#[tokio::test]
async fn the_page_is_there_and_lets_nothing_run_but_itself() {
    let doors = Doors::open(ECHO, &["echo"], LIMIT).await;
    let page = doors.get("/").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let text = page.text().await.unwrap();
    for file in text.split('"').filter(|word| word.starts_with("console/")) {
        let response = doors.get(&format!("/{file}")).send().await.unwrap();
        assert_eq!(response.status(), 200, "{file}");
    }
    for nothing in ["/console/nothing.js", "/console/..%2fmod.rs", "/console/"] {
        let (status, code, _) = error(doors.get(nothing).send().await.unwrap()).await;
        assert_eq!((status, code.as_str()), (404, "unknown_url"), "{nothing}");
    }
}
