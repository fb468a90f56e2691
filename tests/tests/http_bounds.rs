//! What can one client take from the others? Memory, places and time within bounds, whatever it does.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use megabrain_tests::{Brain, Doors, conversation, error, presence};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);
const CHAT: &str = "/v1/chat/completions";
const HEAR: &str = "/v1/audio/transcriptions";
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

/// A request whose head does not tell how long its body is.
fn untold(doors: &Doors, body: &Value) -> RequestBuilder {
    let chunks = futures::stream::iter([Ok::<_, std::io::Error>(body.to_string())]);
    doors.to(CHAT, &Value::Null).body(reqwest::Body::wrap_stream(chunks))
}

/// Waits until so many requests are open at a door.
async fn until_open(doors: &Doors, path: &str, count: usize) {
    let open = format!("megabrain_http_open_requests{{route=\"{path}\"}} {count}\n");
    let end = Instant::now() + LIMIT;
    loop {
        let page = doors.get("/metrics").send().await.unwrap().text().await.unwrap();
        if page.contains(&open) {
            return;
        }
        assert!(Instant::now() < end, "{open}is not told\n{page}");
        sleep(Duration::from_millis(20)).await;
    }
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

/// Sends most of a body of 700 KiB, and no more. There is room for 1 MiB.
async fn most_of_a_large_body(doors: &Doors) -> TcpStream {
    let end = Instant::now() + LIMIT;
    loop {
        until_there_is_room(doors).await;
        let mut slow = connect(&doors.url).await;
        slow.write_all(head(CHAT, "application/json", 700 << 10).as_bytes()).await.unwrap();
        slow.write_all(&vec![b' '; 650 << 10]).await.unwrap();
        // While it is still on its way, the next may have the room that it lacks then.
        sleep(Duration::from_millis(300)).await;
        if doors.post(CHAT, &large(500 << 10)).await.status() == 503 {
            return slow;
        }
        assert!(Instant::now() < end, "there is room for more than there should be");
    }
}

#[tokio::test]
async fn large_bodies_have_so_much_room_together_and_no_more() {
    let models = with_gateway("max_body = \"1 MiB\"\nmax_bodies = \"1 MiB\"", ECHO);
    let doors = Doors::open(&models, &["echo"], LIMIT).await;
    let slow = most_of_a_large_body(&doors).await;
    is_refused_for_lack_of_room(&doors).await;
    let (status, code, message) = error(untold(&doors, &large(500 << 10)).send().await.unwrap()).await;
    assert_eq!((status, code.as_str()), (503, "overloaded"), "as it comes: {message}");
    assert_eq!(untold(&doors, &large(200 << 10)).send().await.unwrap().status(), 200, "there is room for that");
    drop(slow);
    until_there_is_room(&doors).await;
}

#[tokio::test]
async fn bodies_that_hardly_come_take_no_room_from_others() {
    let models = with_gateway("max_body = \"1 MiB\"\nmax_bodies = \"2 MiB\"", ECHO);
    let doors = Doors::open(&models, &["echo"], LIMIT).await;
    let chunked = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n"
    );
    let told = format!("{}{{", head(CHAT, "application/json", 1 << 20));
    let form = format!("{}-", head(HEAR, "multipart/form-data; boundary=x", 1 << 20));
    let mut slow = Vec::new();
    for begun in [&chunked, &told, &form].repeat(3) {
        let mut one = connect(&doors.url).await;
        one.write_all(begun.as_bytes()).await.unwrap();
        slow.push(one);
    }
    until_open(&doors, CHAT, 6).await;
    until_open(&doors, HEAR, 3).await;
    for _ in 0..2 {
        assert_eq!(doors.post(CHAT, &large(900 << 10)).await.status(), 200);
        assert_eq!(untold(&doors, &large(900 << 10)).send().await.unwrap().status(), 200);
    }
    until_open(&doors, CHAT, 6).await;
    until_open(&doors, HEAR, 3).await;
}

#[tokio::test]
async fn pictures_that_do_not_come_take_no_room_from_others() {
    let place = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = place.local_addr().unwrap();
    let settings = format!("max_body = \"1 MiB\"\nmax_bodies = \"2 MiB\"\nallow = [\"{host}\"]");
    let models = with_gateway(&settings, &format!("{ECHO}{FAST}"));
    let doors = Doors::open(&models, &["echo", "fast"], LIMIT).await;
    let picture = json!({ "type": "image_url", "image_url": { "url": format!("http://{host}/a.png") } });
    let content = json!([{ "type": "text", "text": "What does it show?" }, picture]);
    let body = json!({ "model": "brain", "messages": [{ "role": "user", "content": content }] });
    let open: Vec<_> = (0..5).map(|_| tokio::spawn(doors.to(CHAT, &body).send())).collect();
    let mut silent = Vec::new();
    for _ in &open {
        silent.push(timeout(LIMIT, place.accept()).await.expect("it is not fetched").unwrap());
    }
    assert_eq!(doors.post(CHAT, &large(900 << 10)).await.status(), 200);
    assert!(!open.iter().any(|one| one.is_finished()), "they were answered before");
    for one in open {
        one.abort();
    }
}

#[tokio::test]
async fn a_body_of_more_values_than_are_taken_is_refused() {
    let doors = Doors::open(&with_gateway("", ECHO), &["echo"], LIMIT).await;
    let body = conversation("echo", &json!({ "messages": vec![json!([]); 200_000] }));
    let (status, code, message) = error(doors.post(CHAT, &body).await).await;
    assert_eq!((status, code.as_str()), (413, "too_large"), "{message}");
    assert!(message.contains("at most 262144 are taken"), "{message}");
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
    let body = json!({ "model": "brain", "messages": [{ "role": "user", "content": content }] });
    let open = tokio::spawn(untold(&doors, &body).send());
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
    for (path, kind, begun) in [(CHAT, "application/json", "{"), (HEAR, "multipart/form-data; boundary=x", form)] {
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
