//! `POST /v1/audio/speech`: how does a text sound?

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use megabrain_schemas::{AudioFormat, Media, Request as _, SpeakRequest};

use crate::body;
use crate::doors::{Doors, Shared};
use crate::error::ApiError;
use crate::parameters::{Harmless, Parameters};
use crate::work::Work;

/// Ids that clients bring along; whichever model speaks here is meant.
const SPEAKERS: &[&str] = &["tts-1", "tts-1-hd", "gpt-4o-mini-tts"];

/// Voices that clients bring along; the model's own is meant.
const VOICES: &[&str] =
    &["alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"];

pub(crate) const HARMLESS: Harmless =
    Harmless { any: &[], only: &[("instructions", &["\"\""]), ("stream_format", &["\"audio\""])] };

struct SpeechCall {
    model: String,
    request: SpeakRequest,
}

impl SpeechCall {
    fn read(mut parameters: Parameters) -> Result<Self, ApiError> {
        let model = parameters.need("model")?;
        let text: String = parameters.need("input")?;
        if text.is_empty() {
            return Err(ApiError::parameter("input", "`input` is empty"));
        }
        let voice = parameters.take::<String>("voice")?.filter(|voice| !VOICES.contains(&voice.as_str()));
        let speed = parameters.take("speed")?;
        let format = parameters.take::<String>("response_format")?;
        parameters.finish(&HARMLESS)?;
        let request = SpeakRequest { text, voice, speed, format: format_of(format.as_deref())?, stream: false };
        request.check()?;
        Ok(Self { model, request })
    }
}

/// OpenAI's own default is MP3, which nobody here writes: who names none gets WAV, and is told so by its type.
fn format_of(asked: Option<&str>) -> Result<AudioFormat, ApiError> {
    match asked {
        None | Some("wav") => Ok(AudioFormat::Wav),
        Some("flac") => Ok(AudioFormat::Flac),
        Some("opus") => Ok(AudioFormat::Opus),
        Some(other) => {
            let message = format!("`response_format` is {other:?}: this brain writes wav, flac and opus");
            Err(ApiError::parameter("response_format", message))
        }
    }
}

/// Speaks a text.
pub(crate) async fn speech(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let (SpeechCall { model, request }, _room) = body::parameters(&doors, request, SpeechCall::read).await?;
    let asked = doors.asked(&model, SPEAKERS)?;
    let reply = doors.bus.call(&asked.target(), &request, work.call()).await?;
    let (kind, sound) = doors.bytes_of(reply.audio).await?;
    Ok(([(header::CONTENT_TYPE, kind)], Body::from(sound)).into_response())
}

impl Doors {
    /// The bytes of media that a model answered with, and their type.
    async fn bytes_of(&self, media: Media) -> Result<(String, Bytes), ApiError> {
        let kind = media.mime.unwrap_or_else(|| "application/octet-stream".into());
        let bytes = match (media.data, media.blob) {
            (Some(data), _) => data.0.into(),
            (None, Some(blob)) => self.get_blob(blob).await?,
            (None, None) => Bytes::new(),
        };
        Ok((kind, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all;
    use crate::parameters::read_text;

    fn read(body: &str) -> Result<SpeakRequest, String> {
        read_text(body, SpeechCall::read).map(|call| call.request)
    }

    #[test]
    fn the_document_tells_its_parameters() {
        tells_all("/v1/audio/speech", r#"{"model":"voice","input":"Hi"}"#, SpeechCall::read, &[]);
    }

    #[test]
    fn a_voice_that_every_client_knows_is_the_models_own() {
        let spoken =
            read(r#"{"model":"tts-1","input":"Hi","voice":"alloy","response_format":"opus","speed":1.5}"#).unwrap();
        assert_eq!((spoken.voice, spoken.format, spoken.speed), (None, AudioFormat::Opus, Some(1.5)));
        assert_eq!(read(r#"{"model":"voice","input":"Hi","voice":"joe"}"#).unwrap().voice.as_deref(), Some("joe"));
    }

    #[test]
    fn what_nobody_here_can_do_is_refused() {
        for (more, told) in [
            (r#""input":"Hi","response_format":"mp3""#, "wav, flac and opus"),
            (r#""input":"Hi","instructions":"Whisper.""#, "`instructions`"),
            (r#""input":"Hi","stream_format":"sse""#, "`stream_format`"),
            (r#""input":" ""#, "`text` is empty"),
            (r#""input":"Hi","speed":9"#, "`speed`"),
        ] {
            let error = read(&format!(r#"{{"model":"voice",{more}}}"#)).unwrap_err();
            assert!(error.contains(told), "{more}: {error}");
        }
    }
}
