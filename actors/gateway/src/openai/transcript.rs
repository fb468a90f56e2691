//! How is written down what was said? As JSON, as plain text or subtitles, at once or as it is heard.

use std::convert::Infallible;

use axum::http::header;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::stream::{self, StreamExt as _};
use megabrain_bus::{Frame, FrameStream};
use megabrain_schemas::{Segment, TranscribeReply, TranscribeRequest, Word};
use serde_json::{Value, json};

use crate::answering::FIRST;
use crate::error::ApiError;
use crate::models::json_answer;
use crate::stream::{SILENCE, UNGATHERED, comment, event};
use crate::work::Work;

/// How a transcript is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Json,
    Text,
    Srt,
    Vtt,
    Verbose,
}

/// A whole transcript.
pub(super) fn whole(reply: &TranscribeReply, written: Written, translate: bool, work: &Work) -> Response {
    let answer = match written {
        Written::Json => json_answer(&json!({ "text": reply.text })),
        Written::Verbose => json_answer(&verbose(reply, translate)),
        Written::Text => plain("text/plain; charset=utf-8", format!("{}\n", reply.text)),
        Written::Srt => plain("text/plain; charset=utf-8", reply.text.clone()),
        Written::Vtt => plain("text/vtt; charset=utf-8", reply.text.clone()),
    };
    (work.headers(), answer).into_response()
}

fn plain(kind: &'static str, text: String) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

fn verbose(reply: &TranscribeReply, translate: bool) -> Value {
    let segments: Vec<Value> = reply.segments.iter().enumerate().map(|(id, one)| segment(id, one)).collect();
    let words: Vec<Value> = reply.segments.iter().flat_map(|segment| &segment.words).map(word).collect();
    let mut transcript = json!({
        "task": if translate { "translate" } else { "transcribe" },
        "language": reply.language,
        "duration": reply.duration_ms / 1000.0,
        "text": reply.text,
        "segments": segments,
    });
    if let (false, Some(fields)) = (words.is_empty(), transcript.as_object_mut()) {
        fields.insert("words".into(), words.into());
    }
    transcript
}

fn segment(id: usize, Segment { t0_ms, t1_ms, text, confidence, .. }: &Segment) -> Value {
    json!({ "id": id, "start": t0_ms / 1000.0, "end": t1_ms / 1000.0, "text": text, "confidence": confidence })
}

fn word(Word { t0_ms, t1_ms, text, confidence }: &Word) -> Value {
    json!({ "word": text, "start": t0_ms / 1000.0, "end": t1_ms / 1000.0, "confidence": confidence })
}

/// A transcript segment by segment, as it is heard. Dropping it cancels the work.
///
/// # Errors
/// What is refused at once.
pub(super) async fn stream(mut frames: FrameStream, work: Work) -> Result<Response, ApiError> {
    let first = match tokio::time::timeout(FIRST, frames.next::<TranscribeRequest>()).await {
        Ok(Some(first)) => Some(first?),
        _ => None,
    };
    let headers = work.headers();
    let begun = stream::iter([comment()]);
    let events = stream::unfold((frames, first.map(Ok), work), |(mut frames, first, work)| async move {
        let next = match first {
            Some(first) => Some(first),
            None => match tokio::time::timeout(SILENCE, frames.next::<TranscribeRequest>()).await {
                Ok(next) => next,
                Err(_) => return Some((comment(), (frames, None, work))),
            },
        };
        let event = match next? {
            Ok(Frame::Part(_, frame)) => heard(frame.segment.as_ref()),
            Ok(Frame::End(_, reply)) => event(&json!({ "type": "transcript.text.done", "text": reply.text })),
            Err(fault) => event(&ApiError::from(fault).body()),
        };
        Some((event, (frames, None, work)))
    });
    let events = begun.chain(events).map(Ok::<_, Infallible>);
    Ok((headers, UNGATHERED, Sse::new(events)).into_response())
}

fn heard(segment: Option<&Segment>) -> Event {
    segment.map_or_else(comment, |segment| {
        event(&json!({ "type": "transcript.text.delta", "delta": format!("{} ", segment.text.trim()) }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_words_stand_where_openai_has_them() {
        let said = Word { t0_ms: 0.0, t1_ms: 500.0, text: "Hello".into(), confidence: 0.5 };
        let reply = TranscribeReply {
            text: "Hello".into(),
            language: "en".into(),
            duration_ms: 1500.0,
            segments: vec![Segment {
                t0_ms: 0.0,
                t1_ms: 1250.0,
                text: "Hello".into(),
                words: vec![said],
                ..Segment::default()
            }],
            queued_ms: 0.0,
        };
        let written = verbose(&reply, true);
        assert_eq!((&written["duration"], &written["task"]), (&json!(1.5), &json!("translate")));
        assert_eq!((&written["segments"][0]["end"], &written["words"][0]["word"]), (&json!(1.25), &json!("Hello")));
    }
}
