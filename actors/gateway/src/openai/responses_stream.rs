//! How is a response streamed? In numbered events: it begins, items open, grow and close, the response ends.

use axum::response::sse::Event;
use megabrain_schemas::{FunctionCallDelta, ToolCallDelta};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::error::ApiError;
use crate::stream::{Script, comment};

use super::responses_head::{Head, status};
use super::responses_items::Item;

/// One streamed response.
pub(super) struct ResponseStream {
    head: Head,
    next: u64,
    /// Items that have closed.
    output: Vec<Value>,
    open: Option<Open>,
}

/// The item that grows.
struct Open {
    item: Item,
    id: String,
    /// Which of the calls it is, if it is one.
    call: Option<u32>,
}

impl ResponseStream {
    pub(super) fn new(head: Head) -> Self {
        Self { head, next: 0, output: Vec::new(), open: None }
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

    /// An event about the text of the item with this id.
    fn of_text(&mut self, kind: &str, id: &str, item: &Item, name: &str, value: Value) -> Event {
        let mut data = Map::new();
        data.insert("item_id".into(), id.into());
        data.insert("output_index".into(), self.output.len().into());
        if item.part().is_some() {
            data.insert("content_index".into(), 0.into());
        }
        if matches!(item, Item::Message(_)) && kind.starts_with("response.output_text") {
            data.insert("logprobs".into(), json!([]));
        }
        data.insert(name.into(), value);
        self.event(kind, data.into())
    }

    /// Opens an item, when the one before has closed.
    fn open(&mut self, item: Item, call: Option<u32>) -> Vec<Event> {
        let mut events = self.close("completed");
        let index = self.output.len();
        let id = self.head.item_id(&item, index);
        let added = json!({ "output_index": index, "item": item.begun(&id) });
        events.push(self.event("response.output_item.added", added));
        if let Some(part) = item.part() {
            events.push(self.of_text("response.content_part.added", &id, &item, "part", part));
        }
        self.open = Some(Open { item, id, call });
        events
    }

    /// Lets the open item grow.
    fn grow(&mut self, more: &str) -> Option<Event> {
        let mut open = self.open.take()?;
        open.item.push(more);
        let kind = format!("response.{}.delta", open.item.events().0);
        let event = self.of_text(&kind, &open.id, &open.item, "delta", more.into());
        self.open = Some(open);
        Some(event)
    }

    /// Closes the open item, if there is one.
    fn close(&mut self, status: &str) -> Vec<Event> {
        let Some(Open { item, id, .. }) = self.open.take() else { return Vec::new() };
        let (events, name) = item.events();
        let mut closing = vec![self.of_text(&format!("response.{events}.done"), &id, &item, name, item.text().into())];
        if let Some(part) = item.part() {
            closing.push(self.of_text("response.content_part.done", &id, &item, "part", part));
        }
        let ended = item.ended(&id, status);
        closing
            .push(self.event("response.output_item.done", json!({ "output_index": self.output.len(), "item": ended })));
        self.output.push(ended);
        closing
    }

    fn call(&mut self, ToolCallDelta { index, id, function, .. }: ToolCallDelta) -> Vec<Event> {
        let FunctionCallDelta { name, arguments } = function.unwrap_or_default();
        let mut events = Vec::new();
        if self.open.as_ref().and_then(|open| open.call) != Some(index) {
            let item = Item::call(id.unwrap_or_default(), name.unwrap_or_default());
            events = self.open(item, Some(index));
        }
        events.extend(arguments.and_then(|more| self.grow(&more)));
        events
    }
}

impl Script for ResponseStream {
    type Line = Event;

    fn begin(&mut self) -> Vec<Event> {
        let response = self.head.in_progress();
        vec![
            self.event("response.created", json!({ "response": response })),
            self.event("response.in_progress", json!({ "response": response })),
        ]
    }

    fn thought(&mut self, thought: &str) -> Vec<Event> {
        let is_open = self.open.as_ref().is_some_and(|open| matches!(open.item, Item::Reasoning(_)));
        let mut events = if is_open { Vec::new() } else { self.open(Item::Reasoning(String::new()), None) };
        events.extend(self.grow(thought));
        events
    }

    fn text(&mut self, text: &str) -> Vec<Event> {
        let is_open = self.open.as_ref().is_some_and(|open| matches!(open.item, Item::Message(_)));
        let mut events = if is_open { Vec::new() } else { self.open(Item::Message(String::new()), None) };
        events.extend(self.grow(text));
        events
    }

    fn calls(&mut self, calls: Vec<ToolCallDelta>) -> Vec<Event> {
        calls.into_iter().flat_map(|call| self.call(call)).collect()
    }

    fn note(&mut self, _: Value) -> Vec<Event> {
        // There is no event for it, and clients know theirs by name.
        vec![comment()]
    }

    fn end(&mut self, answer: Answer) -> Vec<Event> {
        // What says nothing says that in a message.
        let says_nothing = self.open.is_none() && self.output.is_empty();
        let mut events = if says_nothing { self.open(Item::Message(String::new()), None) } else { Vec::new() };
        let status = status(&answer);
        events.extend(self.close(status));
        let output = std::mem::take(&mut self.output);
        let response = self.head.ended(output, &answer);
        events.push(self.event(&format!("response.{status}"), json!({ "response": response })));
        events
    }

    fn fail(&mut self, error: ApiError) -> Vec<Event> {
        let response = self.head.failed(&error);
        vec![self.event("response.failed", json!({ "response": response }))]
    }
}
