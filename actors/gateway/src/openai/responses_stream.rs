//! How is a response streamed? In numbered events: it begins, a message opens, text comes, message and response end.

use axum::response::sse::Event;
use serde_json::{Value, json};

use crate::conversation::Answer;
use crate::error::ApiError;
use crate::stream::{Script, comment};

use super::responses::{Head, part};

/// One streamed response.
pub(super) struct ResponseStream {
    head: Head,
    next: u64,
    text: String,
}

impl ResponseStream {
    pub(super) fn new(head: Head) -> Self {
        Self { head, next: 0, text: String::new() }
    }

    /// The next event: its type, and what it says.
    fn event(&mut self, kind: &str, mut data: Value) -> Event {
        if let Some(fields) = data.as_object_mut() {
            fields.insert("type".into(), kind.into());
            fields.insert("sequence_number".into(), self.next.into());
        }
        self.next += 1;
        Event::default().event(kind).data(data.to_string())
    }

    /// An event about the one part of the one message.
    fn of_part(&mut self, kind: &str, name: &str, value: Value) -> Event {
        let mut data = json!({ "item_id": self.head.item, "output_index": 0, "content_index": 0 });
        if let Some(fields) = data.as_object_mut() {
            fields.insert(name.into(), value);
        }
        self.event(kind, data)
    }
}

impl Script for ResponseStream {
    type Line = Event;

    fn begin(&mut self) -> Vec<Event> {
        let response = self.head.in_progress();
        let message = self.head.message("in_progress", &[]);
        vec![
            self.event("response.created", json!({ "response": response })),
            self.event("response.in_progress", json!({ "response": response })),
            self.event("response.output_item.added", json!({ "output_index": 0, "item": message })),
            self.of_part("response.content_part.added", "part", part("")),
        ]
    }

    fn text(&mut self, text: &str) -> Vec<Event> {
        self.text.push_str(text);
        vec![self.of_part("response.output_text.delta", "delta", text.into())]
    }

    fn note(&mut self, _: Value) -> Vec<Event> {
        // There is no event for it, and clients know theirs by name.
        vec![comment()]
    }

    fn end(&mut self, answer: Answer) -> Vec<Event> {
        let text = std::mem::take(&mut self.text);
        let response = self.head.ended(&text, &answer);
        let status = response.get("status").and_then(Value::as_str).unwrap_or("completed").to_owned();
        let message = self.head.message(&status, &[part(&text)]);
        vec![
            self.of_part("response.output_text.done", "text", text.clone().into()),
            self.of_part("response.content_part.done", "part", part(&text)),
            self.event("response.output_item.done", json!({ "output_index": 0, "item": message })),
            self.event(&format!("response.{status}"), json!({ "response": response })),
        ]
    }

    fn fail(&mut self, error: ApiError) -> Vec<Event> {
        let response = self.head.failed(&error);
        vec![self.event("response.failed", json!({ "response": response }))]
    }

    fn silence(&mut self) -> Vec<Event> {
        vec![comment()]
    }
}
