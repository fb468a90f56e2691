//! What if a client means harm? It is refused with a status that says why, or let go, and everybody else is answered.

use std::time::{Duration, Instant};

use megabrain_tests::{Doors, conversation};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(60);
const CHAT: &str = "/v1/chat/completions";
const HEARING: &str = "/v1/audio/transcriptions";
const GIGABYTE: usize = 1 << 30;
const BRAIN: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\nmax_body = \"1 MiB\"\n[models.echo]\nactor = \"echo\"\n";

/// A brain that takes bodies of 1 MiB, and what is needed to see that it is still well.
struct Besieged {
    doors: Doors,
    processes: (u32, Vec<u32>),
}

impl Besieged {
    async fn start() -> Self {
        let doors = Doors::open(BRAIN, &["echo"], LIMIT).await;
        let processes = (doors.brain.node(), doors.brain.children("megabrain-echo"));
        Self { doors, processes }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.doors.url.strip_prefix("http://").unwrap()).await.unwrap()
    }

    /// What is answered to exactly these bytes: its status, and its body where it is JSON.
    async fn answer(&self, bytes: &[u8]) -> (u16, Value) {
        let (mut reading, mut writing) = self.connect().await.into_split();
        let bytes = bytes.to_vec();
        // Whoever has heard enough stops reading.
        let written = tokio::spawn(async move {
            let _ = writing.write_all(&bytes).await;
            writing
        });
        let answer = read(&mut reading).await;
        written.abort();
        answer
    }

    /// Everybody else is answered, by the same processes as before.
    async fn check_well(self) {
        let answer = self.doors.answer(CHAT, &conversation("echo", &json!({}))).await;
        assert_eq!(answer["choices"][0]["message"]["content"], "Name a colour.");
        let Self { mut doors, processes } = self;
        assert_eq!((doors.brain.node(), doors.brain.children("megabrain-echo")), processes);
        assert!(!doors.brain.log().contains("panicked"), "{}", doors.brain.log());
        assert!(doors.brain.stop().success());
    }
}

async fn read(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> (u16, Value) {
    let mut answer = Vec::new();
    // What came before the connection was reset has come.
    let _ = timeout(LIMIT, from.read_to_end(&mut answer)).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status =
        answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or_else(|| panic!("{answer:?}"));
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")
}

fn get(path: &[u8]) -> Vec<u8> {
    [b"GET ", path, b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"].concat()
}

/// A form of these bytes.
fn form(boundary: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let kind = format!("content-type: multipart/form-data; boundary={boundary}\r\ncontent-length: {length}\r\n");
    (post(HEARING, &kind) + body).into_bytes()
}

#[tokio::test]
async fn a_gigabyte_is_refused_long_before_it_is_there() {
    let besieged = Besieged::start().await;
    for (path, kind) in [(CHAT, "application/json"), (HEARING, "multipart/form-data; boundary=x")] {
        // One that says how large it is need not send a byte.
        let head = post(path, &format!("content-type: {kind}\r\ncontent-length: {GIGABYTE}\r\n"));
        let (status, told) = besieged.answer(head.as_bytes()).await;
        assert_eq!((status, &told["error"]["code"]), (413, &json!("too_large")), "{path}: {told}");

        // One that does not is read as far as one may go.
        let (mut reading, mut writing) = besieged.connect().await.into_split();
        let head = post(path, &format!("content-type: {kind}\r\ntransfer-encoding: chunked\r\n"));
        writing.write_all(head.as_bytes()).await.unwrap();
        let begin = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\n";
        writing.write_all(format!("{:x}\r\n{begin}\r\n", begin.len()).as_bytes()).await.unwrap();
        let sent = tokio::spawn(async move {
            let chunk = [b"10000\r\n".as_slice(), &[b'x'; 1 << 16], b"\r\n"].concat();
            let mut sent = 0;
            while sent < GIGABYTE && writing.write_all(&chunk).await.is_ok() {
                sent += 1 << 16;
            }
            sent
        });
        let (status, told) = read(&mut reading).await;
        drop(reading);
        let sent = timeout(LIMIT, sent).await.expect("it is not read for ever").unwrap();
        assert_eq!(status, 413, "{path}: {told}");
        assert!(sent < 64 << 20, "{path}: {sent} bytes were taken");
    }
    besieged.check_well().await;
}

#[tokio::test]
async fn heads_that_are_too_long_are_told_so() {
    let besieged = Besieged::start().await;
    let lines = |count: usize| (0..count).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    for (what, request) in [
        ("150 lines", post(CHAT, &lines(150))),
        ("10,000 lines", post(CHAT, &lines(10_000))),
        ("one long line", post(CHAT, &format!("x: {}\r\n", "y".repeat(1 << 20)))),
    ] {
        assert_eq!(besieged.answer(request.as_bytes()).await.0, 431, "{what}");
    }
    let (status, _) = besieged.answer(&get("/v1/".repeat(20_000).as_bytes())).await;
    assert_eq!(status, 414, "a path that is too long");
    let (status, told) = besieged.answer(&get("/v1/".repeat(5_000).as_bytes())).await;
    assert_eq!((status, &told["error"]["code"]), (404, &json!("unknown_url")), "one that is long");
    assert!(told["error"]["message"].as_str().unwrap().len() < 200, "{told}");
    besieged.check_well().await;
}

#[tokio::test]
async fn paths_that_try_to_lead_elsewhere_lead_nowhere() {
    let besieged = Besieged::start().await;
    let nowhere = [
        "//",
        "//v1/models",
        "/v1//models",
        "/v1/models/",
        "/v1/./models",
        "/healthz/../v1/models",
        "/../../etc/passwd",
        "/v1/models/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/%00",
        "/%68ealthz",
        "/v1/models;a=b",
        "/V1/MODELS",
        "/v1%2fmodels",
    ];
    for path in nowhere {
        let (status, told) = besieged.answer(&get(path.as_bytes())).await;
        assert_eq!(status, 404, "{path}: {told}");
        assert_eq!(told["error"]["type"], "invalid_request_error", "{path}: {told}");
    }
    // No path at all, or no text.
    for path in [b"/v1/mod\0els".as_slice(), b"/\xff\xfe", b"http://[", b"no-path", b"/a b"] {
        let (status, _) = besieged.answer(&get(path)).await;
        assert!([400, 404].contains(&status), "{}: {status}", String::from_utf8_lossy(path));
    }
    for path in [
        "/v1/models/%ff",
        "/v1/jobs/%ff",
        "/v1/jobs/%ff/events",
        "/v1/jobs/x/events?from=soon",
        "/v1/jobs/x/events?to=1",
    ] {
        let (status, told) = besieged.answer(&get(path.as_bytes())).await;
        assert_eq!((status, &told["error"]["code"]), (400, &json!("invalid_request")), "{path}: {told}");
    }
    besieged.check_well().await;
}

#[tokio::test]
async fn forms_that_are_none_are_told_so() {
    let besieged = Besieged::start().await;
    let part =
        |name: &str, body: &str| format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{body}\r\n");
    let many: String = (0..100).map(|number| part(&format!("f{number}"), "y")).collect();
    for (what, request) in [
        (
            "no boundary",
            (post(HEARING, "content-type: multipart/form-data\r\ncontent-length: 2\r\n") + "{}").into_bytes(),
        ),
        ("JSON", (post(HEARING, "content-type: application/json\r\ncontent-length: 2\r\n") + "{}").into_bytes()),
        ("an empty one", form("x", "")),
        ("another boundary", form("x", "--y\r\n\r\n--y--\r\n")),
        ("no end", form("x", &part("model", "echo"))),
        ("no head", form("x", "--x\r\nno head\r\n--x--\r\n")),
        ("a part without a name", form("x", "--x\r\ncontent-disposition: form-data\r\n\r\ny\r\n--x--\r\n")),
        ("many fields", form("x", &format!("{many}--x--\r\n"))),
        ("a long head", form("x", &format!("--x\r\nx: {}\r\n\r\ny\r\n--x--\r\n", "y".repeat(100_000)))),
        ("two files", form("x", &format!("{}{}--x--\r\n", part("file", "a"), part("file", "b")))),
        ("a long boundary", form(&"x".repeat(5000), "--x--\r\n")),
    ] {
        let (status, told) = besieged.answer(&request).await;
        assert_eq!((status, &told["error"]["code"]), (400, &json!("invalid_request")), "{what}: {told}");
    }
    besieged.check_well().await;
}

#[tokio::test]
async fn requests_that_mean_two_things_are_refused() {
    let besieged = Besieged::start().await;
    for headers in [
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: -1\r\n",
        "content-length: 2\r\ntransfer-encoding: gzip\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "x y: z\r\n",
        ": nameless\r\n",
    ] {
        let (status, _) = besieged.answer((post(CHAT, headers) + "{}").as_bytes()).await;
        assert_eq!(status, 400, "{headers}");
    }
    besieged.check_well().await;
}

#[tokio::test]
async fn whoever_sends_a_head_word_by_word_is_let_go() {
    let besieged = Besieged::start().await;
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let (mut reading, mut writing) = besieged.connect().await.into_split();
        writing.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
        slow.push(tokio::spawn(async move {
            // Never silent for long, and never done.
            let trickle = async {
                while writing.write_all(b"x-more: y\r\n").await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            };
            let mut answer = Vec::new();
            tokio::select! { () = trickle => {} _ = reading.read_to_end(&mut answer) => {} }
        }));
    }
    // Meanwhile others are answered.
    let answer = besieged.doors.answer(CHAT, &conversation("echo", &json!({}))).await;
    assert_eq!(answer["object"], "chat.completion");
    for one in slow {
        timeout(LIMIT, one).await.expect("it holds its place for ever").unwrap();
    }
    assert!(began.elapsed() > Duration::from_secs(25), "they had no time: {:?}", began.elapsed());
    besieged.check_well().await;
}

#[tokio::test]
async fn pages_of_strangers_are_refused_at_every_door() {
    let besieged = Besieged::start().await;
    let document = besieged.doors.get("/openapi.json").send().await.unwrap().json::<Value>().await.unwrap();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            for stranger in ["origin: https://evil.example\r\n", "origin: null\r\n"] {
                let (method, path) = (method.to_uppercase(), path.replace("{id}", "x"));
                let request =
                    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{stranger}\r\n");
                let (status, told) = besieged.answer(request.as_bytes()).await;
                assert_eq!(status, 403, "{method} {path}: {told}");
            }
        }
    }
    // Names that a page can have lead here, and a preflight for one.
    for request in [
        "GET /v1/models HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        "OPTIONS /v1/models HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\n\
         access-control-request-method: GET\r\nconnection: close\r\n\r\n",
    ] {
        assert_eq!(besieged.answer(request.as_bytes()).await.0, 403, "{request}");
    }
    besieged.check_well().await;
}
