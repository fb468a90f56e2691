//! How does a test see what is called back? It listens, as whoever asked for the callback does.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// One call that came.
#[derive(Clone, Debug)]
pub struct Called {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body as it came.
    pub bytes: Bytes,
}

impl Called {
    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Its body.
    pub fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).expect("JSON")
    }
}

/// Listens for calls on a port of this machine.
pub struct Receiver {
    address: SocketAddr,
    heard: Arc<Heard>,
    task: AbortHandle,
}

#[derive(Default)]
struct Heard {
    calls: Mutex<Vec<Called>>,
    answers: Mutex<VecDeque<u16>>,
}

impl Receiver {
    /// Listens; the first calls are answered with these statuses, all others with 200.
    pub async fn start(answers: &[u16]) -> Self {
        let heard = Arc::new(Heard { answers: Mutex::new(answers.iter().copied().collect()), ..Heard::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().route("/hook", post(take)).route("/media/{file}", get(give)).with_state(heard.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.expect("serving") }).abort_handle();
        Self { address, heard, task }
    }

    /// Where it listens: `127.0.0.1:…`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// What to call.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What came so far.
    pub fn calls(&self) -> Vec<Called> {
        self.heard.calls.lock().expect("calls").clone()
    }

    /// What came, as soon as it is so many.
    pub async fn until(&self, count: usize, limit: Duration) -> Vec<Called> {
        let end = Instant::now() + limit;
        loop {
            let calls = self.calls();
            if calls.len() >= count {
                return calls;
            }
            assert!(Instant::now() < end, "{} of {count} calls came in {limit:?}", calls.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A file of the tests' media; `away` is elsewhere.
async fn give(Path(file): Path<String>) -> Response {
    match file.as_str() {
        "away" => (StatusCode::FOUND, [("location", "/media/cat.jpg")]).into_response(),
        file => crate::media(file).into_response(),
    }
}

async fn take(State(heard): State<Arc<Heard>>, headers: HeaderMap, bytes: Bytes) -> StatusCode {
    heard.calls.lock().expect("calls").push(Called { headers, bytes });
    let status = heard.answers.lock().expect("answers").pop_front().unwrap_or(200);
    StatusCode::from_u16(status).expect("a status")
}
