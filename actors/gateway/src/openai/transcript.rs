//! How is written down what was said? As JSON, as plain text or as subtitles.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{Segment, TranscribeReply, Word};
use serde_json::{Value, json};

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
pub(super) fn whole(reply: &TranscribeReply, written: Written, translate: bool) -> Response {
    match written {
        Written::Json => Json(json!({ "text": reply.text })).into_response(),
        Written::Verbose => Json(verbose(reply, translate)).into_response(),
        Written::Text => plain("text/plain; charset=utf-8", format!("{}\n", reply.text)),
        Written::Srt => plain("text/plain; charset=utf-8", reply.text.clone()),
        Written::Vtt => plain("text/vtt; charset=utf-8", reply.text.clone()),
    }
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
