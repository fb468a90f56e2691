//! What is told by HTTP when something is full, away, slow or too large? The status that says so, and never silence.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use megabrain_schemas::Codec;
use megabrain_tests::{Doors, conversation, error, megabrain, presence, said};
use reqwest::Response;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(60);
const CHAT: &str = "/v1/chat/completions";
const FAST: &str = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\n[router]\nanswer = [\"fast\"]\n";
const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
/// One work at a time, and none that waits.
const NARROW: &str = "[models.narrow]\nactor = \"echo\"\nslots = 1\nqueue = 0\n";

/// A question to the brain that an echo actor sits on for so long.
fn waiting(delay_ms: u64, stream: bool) -> Value {
    let slow = STANDARD.encode(format!(r#"{{"text":"late","delay_ms":{delay_ms}}}"#));
    let file = json!({ "file_data": format!("data:application/x-megabrain-echo;base64,{slow}") });
    let content = json!([{ "type": "text", "text": "What is it?" }, { "type": "file", "file": file }]);
    json!({ "model": "brain", "stream": stream, "messages": [{ "role": "user", "content": content }] })
}

fn retry_after(response: &Response) -> u64 {
    response.headers()["retry-after"].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_full_model_and_one_that_is_gone_say_when_to_come_again() {
    let doors = Doors::open(&format!("{NARROW}{FAST}"), &["narrow", "fast"], LIMIT).await;
    let bus = doors.brain.client().await;
    let first = doors.to(CHAT, &waiting(60_000, true)).send().await.unwrap();
    let end = Instant::now() + LIMIT;
    while presence(&bus, "narrow").await.is_none_or(|presence| presence.in_flight == 0) {
        assert!(Instant::now() < end, "the work does not begin");
    }
    for stream in [false, true] {
        let full = doors.post(CHAT, &conversation("narrow", &json!({ "stream": stream }))).await;
        assert!(retry_after(&full) >= 1);
        assert!(full.headers().contains_key("retry-after-ms"));
        let (status, code, message) = error(full).await;
        assert_eq!((status, code.as_str()), (429, "rate_limit_exceeded"), "{message}");
    }
    // Whoever sits on the place leaves: the place is free again.
    drop(first);
    while doors.post(CHAT, &conversation("narrow", &json!({}))).await.status() != 200 {
        assert!(Instant::now() < end, "the place stays taken");
    }

    let [process] = doors.brain.children("megabrain-echo")[..] else { panic!("one process serves it") };
    megabrain_tests::signal(process, rustix::process::Signal::KILL);
    let gone = loop {
        let response = doors.post(CHAT, &conversation("narrow", &json!({}))).await;
        if response.status() != 200 {
            break response;
        }
        assert!(Instant::now() < end, "it answers for ever");
    };
    assert!(retry_after(&gone) >= 1);
    let status = gone.status().as_u16();
    assert!([502, 503].contains(&status), "{status}");
}

#[tokio::test]
async fn a_stream_begins_at_once_and_is_never_silent_for_long() {
    let doors = Doors::open(&format!("{ECHO}{FAST}"), &["echo", "fast"], LIMIT).await;
    let began = Instant::now();
    let response = doors.to(CHAT, &waiting(12_000, true)).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    assert!(began.elapsed() < Duration::from_secs(1), "its head came after {:?}", began.elapsed());
    let mut body = response.bytes_stream();
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    let mut text = String::new();
    while let Some(bytes) = body.next().await {
        text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    assert!(began.elapsed() > Duration::from_secs(12));
    assert!(longest < Duration::from_secs(11), "silent for {longest:?}\n{text}");
    assert!(text.lines().any(|line| line.starts_with(':')), "no word while nothing was there to tell\n{text}");
}

#[tokio::test]
async fn deadline_work_and_trace_travel_on_to_the_model() {
    let doors = Doors::open(ECHO, &["echo"], LIMIT).await;
    let observer = doors.brain.connect(megabrain_node::connection::Role::Admin).await;
    let mut requests = observer.subscribe("mb.v1.echo.echo", None).await.unwrap();
    observer.flush().await.unwrap();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = doors.to(CHAT, &conversation("echo", &json!({})));
    let request =
        request.header("traceparent", trace).header("megabrain-deadline-ms", "5000").header("megabrain-work", "w1");
    let response = request.send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["megabrain-work"]), (200, &"w1".parse().unwrap()));
    let seen = requests.next().await.unwrap();
    let header = |name: &str| {
        seen.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    };
    assert_eq!((header("traceparent"), header("megabrain-work")), (Some(trace), Some("w1")));
    let left: u64 = header("megabrain-deadline-ms").unwrap().parse().unwrap();
    assert!((4000..=5000).contains(&left), "{left}");
    let fields: Value = Codec::MessagePack.decode(&seen.payload).unwrap();
    assert_eq!(fields["text"], "Name a colour.");
}

#[tokio::test]
async fn a_key_with_one_place_has_one_request_at_a_time_streams_included() {
    let folder = tempfile::TempDir::new().unwrap();
    let (code, told, _) = said(&mut megabrain(folder.path(), &["key", "one", "--json"]));
    assert_eq!(code, 0);
    let made: Value = serde_json::from_str(&told).unwrap();
    let (key, hash) = (made["key"].as_str().unwrap(), made["hash"].as_str().unwrap());
    let settings = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n[[gateway.keys]]\nname = \"one\"\nhash = \"{hash}\"\nconcurrent = 1\n{ECHO}{FAST}"
    );
    let mut brain = megabrain_tests::Brain::start(&settings).await;
    brain.ready(&["echo", "fast"], LIMIT).await;
    let (url, client) = (brain.http().await, reqwest::Client::new());
    let ask = |body: Value| client.post(format!("{url}{CHAT}")).bearer_auth(key).json(&body).send();
    let end = Instant::now() + LIMIT;
    // The doors hear of the router once a second.
    let mut open = loop {
        let response = ask(waiting(60_000, true)).await.unwrap();
        if response.status() == 200 {
            break response;
        }
        assert!(Instant::now() < end, "{}", response.text().await.unwrap());
    };
    assert!(open.chunk().await.unwrap().is_some());
    let second = ask(conversation("echo", &json!({}))).await.unwrap();
    assert!(retry_after(&second) >= 1);
    let (status, _, message) = error(second).await;
    assert!(status == 429 && message.contains("at the same time"), "{status} {message}");
    drop(open);
    while ask(conversation("echo", &json!({}))).await.unwrap().status() != 200 {
        assert!(Instant::now() < end, "the place stays taken");
    }
}
