//! What is told of the doors of sound?

use serde_json::{Value, json};

use super::Operation;
use super::schema::{body, event_stream, harmless, model, object, within};
use crate::openai;

/// `POST /v1/audio/transcriptions`
pub(crate) fn transcriptions() -> Operation {
    heard("createTranscription", "Writes down what is said.")
}

/// `POST /v1/audio/translations`
pub(crate) fn translations() -> Operation {
    heard("createTranslation", "Writes down in English what is said in any language.")
}

/// `POST /v1/audio/speech`
pub(crate) fn speech() -> Operation {
    let own = json!({
        "model": model("A model's id; `tts-1` and the like are whoever speaks here."),
        "input": { "type": "string", "minLength": 1, "description": "The text." },
        "voice": { "type": ["string", "null"], "description": "A voice of the model; `alloy` and the like are its own." },
        "speed": within(0.25, 4.0, "1 is the voice's own speed."),
        "response_format": { "enum": ["wav", "flac", "opus", null], "description": "Without it, wav." },
    });
    let example = json!({ "model": "tts-1", "voice": "alloy", "input": "Berth 42 is yours." });
    let file = json!({ "type": "string", "format": "binary" });
    Operation::new("createSpeech", "Speaks a text.")
        .takes_json(&body(&["model", "input"], &[own, harmless(&openai::speech::HARMLESS)]), &example)
        .answers(200, "The speech, in one file.", "audio/wav", &file)
        .or(200, "audio/flac", &file)
        .or(200, "audio/ogg", &file)
        .asks_a_model()
}

fn heard(id: &'static str, summary: &'static str) -> Operation {
    let text = json!({ "type": "string" });
    Operation::new(id, summary)
        .takes_form(&form())
        .answers(200, "What is said, as `response_format` says.", "application/json", &transcript())
        .or(200, "text/plain", &text)
        .or(200, "text/vtt", &text)
        .or(200, "text/event-stream", &event_stream())
        .asks_a_model()
}

fn form() -> Value {
    let granularities = json!({ "type": "array", "items": { "enum": ["word", "segment"] } });
    json!({
        "type": "object",
        "required": ["file", "model"],
        "properties": {
            "file": {
                "type": "string", "format": "binary",
                "description": "The sound, in whichever container: its bytes say which.",
            },
            "model": { "type": "string", "minLength": 1, "description": "A model's id; `whisper-1` is whoever hears here." },
            "language": { "type": "string", "description": "What is spoken, as `en`. Without it, it is heard." },
            "response_format": { "enum": ["json", "text", "srt", "vtt", "verbose_json"] },
            "timestamp_granularities": granularities,
            "timestamp_granularities[]": granularities,
            "stream": { "enum": ["true", "false", "1", "0"], "description": "True: in events, as it is heard." },
            "temperature": { "enum": [0], "description": "This brain hears with 0 only." },
            "chunking_strategy": { "enum": ["auto"] },
        },
        "additionalProperties": { "type": "string", "maxLength": 0, "description": "Another field is refused, unless it is empty." },
    })
}

fn transcript() -> Value {
    let (time, sure) = (json!({ "type": "number", "minimum": 0 }), json!({ "type": ["number", "null"] }));
    let segment = object(
        &["id", "start", "end", "text"],
        &json!({ "id": { "type": "integer" }, "start": time, "end": time, "text": { "type": "string" }, "confidence": sure }),
    );
    let word = object(
        &["word", "start", "end"],
        &json!({ "word": { "type": "string" }, "start": time, "end": time, "confidence": sure }),
    );
    object(
        &["text"],
        &json!({
            "text": { "type": "string" },
            "task": { "enum": ["transcribe", "translate"] },
            "language": { "type": "string" },
            "duration": time,
            "segments": { "type": "array", "items": segment },
            "words": { "type": "array", "items": word },
        }),
    )
}
