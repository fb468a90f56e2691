//! How does an answer go out as it comes? Line by line, each door in its own words, and never silent for long.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, Stream, StreamExt as _};
use megabrain_schemas::ToolCallDelta;
use serde::Serialize;
use serde_json::Value;

use crate::answer::Answer;
use crate::answering::{Answering, Part};
use crate::error::ApiError;

/// Longer than this, nothing goes unsaid: whatever stands between client and us may take silence for death.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// A word to proxies that like to gather what they pass on.
pub(crate) const UNGATHERED: [(&str, &str); 1] = [("x-accel-buffering", "no")];

/// How one door writes an answer. Each method gives the lines that go out.
pub(crate) trait Script: Send + 'static {
    /// One line, or event.
    type Line: Send + 'static;

    /// Before anything is known of the answer.
    fn begin(&mut self) -> Vec<Self::Line>;
    /// More of what the model thinks before it answers.
    fn thought(&mut self, thought: &str) -> Vec<Self::Line>;
    /// More text.
    fn text(&mut self, text: &str) -> Vec<Self::Line>;
    /// More of the calls that the model asks for.
    fn calls(&mut self, calls: Vec<ToolCallDelta>) -> Vec<Self::Line>;
    /// What the brain found, or a leg that begins or ends.
    fn note(&mut self, note: Value) -> Vec<Self::Line>;
    /// The end, in good order.
    fn end(&mut self, answer: Answer) -> Vec<Self::Line>;
    /// The end, in bad order.
    fn fail(&mut self, error: ApiError) -> Vec<Self::Line>;
}

/// All lines of an answer. Dropping it cancels the work.
fn lines<S: Script>(answering: Answering, mut script: S) -> impl Stream<Item = S::Line> {
    let begun = stream::iter(script.begin());
    let rest = stream::unfold(Some((answering, script)), |open| async move {
        let (mut answering, mut script) = open?;
        let lines = match answering.next().await? {
            Ok(Part::Thought(thought)) => script.thought(&thought),
            Ok(Part::Text(text)) => script.text(&text),
            Ok(Part::Calls(calls)) => script.calls(calls),
            Ok(Part::Note(note)) => script.note(note),
            Ok(Part::End(answer)) => return Some((script.end(answer), None)),
            Err(error) => return Some((script.fail(error), None)),
        };
        Some((lines, Some((answering, script))))
    });
    begun.chain(rest.flat_map(stream::iter))
}

/// An answer as server-sent events.
pub(crate) fn events<S: Script<Line = Event>>(answering: Answering, script: S) -> Response {
    server_sent(lines(answering, script))
}

/// Events as a body that is never silent for long.
pub(crate) fn server_sent(events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let still = KeepAlive::new().interval(SILENCE).text("still at work");
    (UNGATHERED, Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(still)).into_response()
}

/// An answer as lines of JSON. There are no comments in those: in silence, an empty line of the answer goes out.
pub(crate) fn json_lines<S: Script<Line = Value>>(
    answering: Answering,
    script: S,
    empty: impl Fn() -> Value + Send + 'static,
) -> Response {
    let lines = Box::pin(lines(answering, script));
    let lines = stream::unfold((lines, empty), |(mut lines, empty)| async move {
        let line = match tokio::time::timeout(SILENCE, lines.next()).await {
            Ok(line) => line?,
            Err(_) => empty(),
        };
        Some((line, (lines, empty)))
    });
    let lines = lines.map(|line| Ok::<_, Infallible>(Bytes::from(format!("{line}\n"))));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (UNGATHERED, kind, Body::from_stream(lines)).into_response()
}

/// An event of JSON.
pub(crate) fn event<T: Serialize>(data: &T) -> Event {
    // What we make has only keys that are texts: it can be written.
    Event::default().data(serde_json::to_string(data).unwrap_or_default())
}

/// A comment, which clients skip.
pub(crate) fn comment() -> Event {
    Event::default().comment("still at work")
}
