//! What is the least that doors cost? axum, and for a completion one bare round trip on the bus; nothing is checked.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use megabrain_node::connection::{Connection, Role};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::bare::connect;

/// The word by which this program becomes the bare doors.
pub(crate) const DOORS: &str = "doors-responder";

/// Bare doors in a process of their own, which ends with this.
pub(crate) struct BareDoors {
    pub(crate) url: String,
    _process: Child,
}

impl BareDoors {
    /// Starts them on this bus.
    pub(crate) async fn start(connection: &Connection) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg(DOORS)
            .envs(connection.environment(Role::Client))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let said = process.stdout.take().context("no output of the bare doors")?;
        let url = BufReader::new(said).lines().next_line().await?.context("the bare doors did not start")?;
        Ok(Self { url, _process: process })
    }
}

/// The doors' whole life: until their input is closed.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let client = connect(&std::env::vars().collect::<Vec<_>>()).await?;
    let app = Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(complete))
        .with_state(Arc::new(client));
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("http://{}", listener.local_addr()?);
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    tokio::select! {
        outcome = axum::serve(listener, app) => Ok(outcome?),
        _ = input.next_line() => Ok(()),
    }
}

async fn models() -> impl IntoResponse {
    let model =
        |id: &str| json!({ "id": id, "object": "model", "created": 0, "owned_by": "megabrain", "state": "ready" });
    let models = json!({ "object": "list", "data": [model("brain"), model("echo")] });
    ([(header::CONTENT_TYPE, "application/json")], models.to_string())
}

async fn complete(State(client): State<Arc<async_nats::Client>>, body: Bytes) -> impl IntoResponse {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = asked.pointer("/messages/0/content").and_then(Value::as_str).unwrap_or_default();
    let request = json!({ "text": text }).to_string();
    let reply = client.request("mb.v1.echo.echo", request.into()).await;
    let told: Value = reply.ok().and_then(|reply| serde_json::from_slice(&reply.payload).ok()).unwrap_or_default();
    let message = json!({ "role": "assistant", "content": told.get("text") });
    let answer = json!({
        "id": told.get("work"), "object": "chat.completion", "created": 0, "model": "echo",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0 },
    });
    ([(header::CONTENT_TYPE, "application/json")], answer.to_string())
}
