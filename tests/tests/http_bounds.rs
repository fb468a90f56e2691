//! What can one client take from the others? Memory, places and time within bounds, whatever it does.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use megabrain_tests::{Brain, Doors, conversation, error, presence};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);
const CHAT: &str = "/v1/chat/completions";
const ECHO: &str = "[models.echo]\nactor = \"echo\"\n";
const FAST: &str = "[models.fast]\nactor = \"llm\"\nweights = \"smollm2-135m\"\n[router]\nanswer = [\"fast\"]\n";

fn with_gateway(settings: &str, models: &str) -> String {
    format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{settings}\n{models}")
}

async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap()
}

/// The head of a request with a body of so many bytes.
fn head(path: &str, kind: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n")
}

/// A conversation with the echo of so many bytes and a few more.
fn large(bytes: usize) -> Value {
    conversation("echo", &json!({ "messages": [{ "role": "user", "content": "x".repeat(bytes) }] }))
}

/// Asks until what is large is taken.
async fn until_there_is_room(doors: &Doors) {
    let end = Instant::now() + LIMIT;
    while doors.post(CHAT, &large(500 << 10)).await.status() != 200 {
        assert!(Instant::now() < end, "the room stays taken");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn is_refused_for_lack_of_room(doors: &Doors) {
    let refused = doors.post(CHAT, &large(500 << 10)).await;
    assert!(refused.headers().contains_key("retry-after"));
    let (status, code, message) = error(refused).await;
    assert_eq!((status, code.as_str()), (503, "overloaded"), "{message}");
    assert_eq!(doors.post(CHAT, &large(1 << 10)).await.status(), 200, "a small one needs no room");
}

#[tokio::test]
async fn large_bodies_have_so_much_room_together_and_no_more() {
    let models = with_gateway("max_body = \"1 MiB\"\nmax_bodies = \"1 MiB\"", ECHO);
    let doors = Doors::open(&models, &["echo"], LIMIT).await;
    until_there_is_room(&doors).await;
    let mut slow = connect(&doors.url).await;
    slow.write_all(head(CHAT, "application/json", 700 << 10).as_bytes()).await.unwrap();
    slow.write_all(b"{").await.unwrap();
    let end = Instant::now() + LIMIT;
    while doors.post(CHAT, &large(500 << 10)).await.status() != 503 {
        assert!(Instant::now() < end, "there is room for more than there should be");
    }
    is_refused_for_lack_of_room(&doors).await;
    drop(slow);
    until_there_is_room(&doors).await;
}

#[tokio::test]
async fn a_body_has_its_room_until_what_is_in_it_is_answered() {
    let models = with_gateway("max_body = \"1 MiB\"\nmax_bodies = \"1 MiB\"", &format!("{ECHO}{FAST}"));
    let doors = Doors::open(&models, &["echo", "fast"], LIMIT).await;
    let slow = STANDARD.encode(r#"{"text":"late","delay_ms":60000}"#);
    let file = json!({ "file_data": format!("data:application/x-megabrain-echo;base64,{slow}") });
    let content = json!([{ "type": "text", "text": "x".repeat(700 << 10) }, { "type": "file", "file": file }]);
    let body = json!({ "model": "brain", "messages": [{ "role": "user", "content": content }] });
    let open = tokio::spawn(doors.to(CHAT, &body).send());
    let bus = doors.brain.client().await;
    let end = Instant::now() + LIMIT;
    while presence(&bus, "echo").await.is_none_or(|presence| presence.in_flight == 0) {
        assert!(Instant::now() < end && !open.is_finished(), "the work does not begin");
    }
    is_refused_for_lack_of_room(&doors).await;
    open.abort();
    until_there_is_room(&doors).await;
}

#[tokio::test]
async fn a_small_body_that_does_not_tell_its_length_leaves_room_for_others() {
    let models = with_gateway("max_body = \"1 MiB\"\nmax_bodies = \"1 MiB\"", &format!("{ECHO}{FAST}"));
    let doors = Doors::open(&models, &["echo", "fast"], LIMIT).await;
    let slow = STANDARD.encode(r#"{"text":"late","delay_ms":60000}"#);
    let file = json!({ "file_data": format!("data:application/x-megabrain-echo;base64,{slow}") });
    let content = json!([{ "type": "file", "file": file }]);
    let body = json!({ "model": "brain", "messages": [{ "role": "user", "content": content }] }).to_string();
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(body)]);
    let open = tokio::spawn(doors.to(CHAT, &Value::Null).body(reqwest::Body::wrap_stream(chunks)).send());
    let bus = doors.brain.client().await;
    let end = Instant::now() + LIMIT;
    while presence(&bus, "echo").await.is_none_or(|presence| presence.in_flight == 0) {
        assert!(Instant::now() < end && !open.is_finished(), "the work does not begin");
    }
    until_there_is_room(&doors).await;
    assert!(!open.is_finished(), "it was answered before there was room");
    open.abort();
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_whatever_is_in_it() {
    let mut brain = Brain::start(&with_gateway("body_timeout = \"1s\"", ECHO)).await;
    let url = brain.http().await;
    let form = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
    for (path, kind, begun) in
        [(CHAT, "application/json", "{"), ("/v1/audio/transcriptions", "multipart/form-data; boundary=x", form)]
    {
        let began = Instant::now();
        let (mut reading, mut writing) = connect(&url).await.into_split();
        writing.write_all(head(path, kind, 10_000).as_bytes()).await.unwrap();
        writing.write_all(begun.as_bytes()).await.unwrap();
        // Never silent for long, and never done.
        let trickle = tokio::spawn(async move {
            while writing.write_all(b" ").await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        });
        let mut answer = String::new();
        let read = timeout(LIMIT, reading.read_to_string(&mut answer)).await;
        trickle.abort();
        assert!(read.is_ok() && began.elapsed() >= Duration::from_secs(1), "{path}: {answer}");
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let told: Value = serde_json::from_str(body).unwrap();
        assert_eq!(told["error"]["code"], "body_not_sent", "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_let_go() {
    let models = with_gateway("write_timeout = \"1s\"", ECHO);
    let doors = Doors::open(&models, &["echo"], LIMIT).await;
    let address = doors.url.strip_prefix("http://").unwrap().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut deaf = socket.connect(address).await.unwrap();
    // One event for each word: far more than waits on the way.
    let mut body = conversation("echo", &json!({ "stream": true }));
    body["messages"][0]["content"] = "x ".repeat(100_000).into();
    let body = body.to_string();
    deaf.write_all(head(CHAT, "application/json", body.len()).as_bytes()).await.unwrap();
    deaf.write_all(body.as_bytes()).await.unwrap();
    let open =
        |page: &str, count: u32| page.contains(&format!("megabrain_http_open_requests{{route=\"{CHAT}\"}} {count}"));
    let mut begun = None;
    let end = Instant::now() + LIMIT;
    loop {
        let page = doors.get("/metrics").send().await.unwrap().text().await.unwrap();
        if open(&page, 1) {
            begun.get_or_insert_with(Instant::now);
        } else if open(&page, 0) && begun.is_some() {
            break;
        }
        assert!(Instant::now() < end, "it holds its place for ever\n{page}");
        sleep(Duration::from_millis(20)).await;
    }
    let mut rest = Vec::new();
    // What was on the way comes still; the end of the stream does not.
    let _ = timeout(LIMIT, deaf.read_to_end(&mut rest)).await.unwrap();
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.starts_with("HTTP/1.1 200") && !rest.contains("[DONE]"), "{}", rest.len());
    println!("it was let go {:?} after it came, with {} bytes", begun.unwrap().elapsed(), rest.len());
}

#[tokio::test]
async fn one_connection_more_than_there_may_be_waits_for_another_to_go() {
    let mut brain = Brain::start(&with_gateway("max_connections = 2", ECHO)).await;
    let url = brain.http().await;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut one = connect(&url).await;
        one.write_all(request).await.unwrap();
        assert!(one.read(&mut [0; 1024]).await.unwrap() > 0);
        held.push(one);
    }
    let mut third = connect(&url).await;
    third.write_all(request).await.unwrap();
    let mut answer = [0; 1024];
    assert!(timeout(Duration::from_millis(500), third.read(&mut answer)).await.is_err(), "it was taken");
    held.pop();
    let read = timeout(LIMIT, third.read(&mut answer)).await.expect("it waits for ever").unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
}
