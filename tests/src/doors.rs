//! How does a test speak HTTP to a brain? As any client does, through its doors.

use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::Brain;

/// A brain whose models serve, and know that they are asked by HTTP.
pub struct Doors {
    /// The brain.
    pub brain: Brain,
    /// Where its doors are.
    pub url: String,
    client: Client,
}

impl Doors {
    /// Starts a brain, and waits until its doors have heard of each of these models that it serves.
    pub async fn open(models: &str, ready: &[&str], limit: Duration) -> Self {
        Self::of(Brain::start(models).await, ready, limit).await
    }

    /// As [`Doors::open`], of a brain that was started.
    pub async fn of(mut brain: Brain, ready: &[&str], limit: Duration) -> Self {
        let url = brain.http().await;
        let mut doors = Self { brain, url, client: Client::new() };
        doors.hear_of(ready, limit).await;
        doors
    }

    /// Starts the brain again, which was killed, and waits until its models serve.
    pub async fn start_again(&mut self, ready: &[&str], limit: Duration) {
        self.brain.start_again().await;
        self.url = self.brain.http().await;
        self.hear_of(ready, limit).await;
    }

    async fn hear_of(&mut self, ready: &[&str], limit: Duration) {
        self.brain.ready(ready, limit).await;
        let end = Instant::now() + limit;
        for model in ready {
            // They hear of it once a second.
            while self.state(model).await != "ready" {
                assert!(Instant::now() < end, "the doors do not hear of {model}\n{}", self.brain.log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn state(&self, model: &str) -> Value {
        let told = self.get(&format!("/v1/models/{model}")).send().await.expect("an answer");
        told.json::<Value>().await.expect("JSON")["state"].take()
    }

    /// A request to read something.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url))
    }

    /// A request with this body.
    pub fn to(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).json(body)
    }

    /// What is answered.
    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.to(path, body).send().await.expect("an answer")
    }

    /// The body of a good answer.
    pub async fn answer(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body).await;
        let status = response.status();
        let answer = response.json().await.expect("JSON");
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// What stands behind `data: ` in a stream of events; comments are left out.
    pub async fn events(&self, path: &str, body: &Value) -> Vec<String> {
        let response = self.post(path, body).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = response.text().await.expect("text");
        text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    }

    /// The same as JSON; the `[DONE]` that ends it is left out.
    pub async fn chunks(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut events = self.events(path, body).await;
        assert_eq!(events.pop().as_deref(), Some("[DONE]"));
        events.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
    }
}

/// A conversation of one short question, with `more` beside it or instead.
pub fn conversation(model: &str, more: &Value) -> Value {
    let mut body = json!({
        "model": model, "messages": [{ "role": "user", "content": "Name a colour." }],
        "max_tokens": 8, "temperature": 0,
    });
    let fields = body.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    body
}

/// The text of a streamed conversation.
pub fn text_of(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

/// An error in OpenAI's shape: its status, its code, its message. It names its request, as every answer does.
pub async fn error(response: Response) -> (u16, String, String) {
    assert!(response.headers().contains_key("x-request-id"), "{:?}", response.headers());
    let status = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    let text = |name: &str| body["error"][name].as_str().unwrap_or_default().to_owned();
    assert!(!text("type").is_empty(), "{body}");
    (status, text("code"), text("message"))
}
