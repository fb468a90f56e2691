//! `POST /v1/audio/transcriptions` and `/translations`: what is said, as it is or in English?

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use megabrain_schemas::{TextFormat, TranscribeRequest};

use crate::doors::Shared;
use crate::error::ApiError;
use crate::media::{Attached, media_type};
use crate::multipart::{Form, Upload};
use crate::room::Room;
use crate::work::Work;

use super::transcript::{self, Written};
use super::transcript_stream;

/// Ids that clients bring along; whichever model hears here is meant.
const HEARERS: &[&str] = &["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"];

/// Writes down what is said.
pub(crate) async fn transcriptions(
    State(doors): State<Shared>,
    work: Work,
    request: Request,
) -> Result<Response, ApiError> {
    let (form, room) = Form::read(&doors, request).await?;
    answer(doors, work, form, room, false).await
}

/// Writes down in English what is said in any language.
pub(crate) async fn translations(
    State(doors): State<Shared>,
    work: Work,
    request: Request,
) -> Result<Response, ApiError> {
    let (form, room) = Form::read(&doors, request).await?;
    answer(doors, work, form, room, true).await
}

/// What is asked for.
struct HearCall {
    model: String,
    sound: Attached,
    written: Written,
    request: TranscribeRequest,
}

impl HearCall {
    /// All but what depends on the door.
    fn read(mut form: Form) -> Result<Self, ApiError> {
        let sound = sound(form.file()?)?;
        let model = form.text("model").ok_or_else(|| ApiError::parameter("model", "`model` is missing"))?;
        let language = form.text("language");
        let written = written(form.text("response_format").as_deref())?;
        let words = granularities(&form.texts("timestamp_granularities"), written)?;
        let stream = flag("stream", form.text("stream").as_deref())?;
        if form.text("temperature").is_some_and(|text| text.parse::<f32>() != Ok(0.0)) {
            return Err(unknown("temperature", "`temperature`: this brain hears with 0 only"));
        }
        if form.text("chunking_strategy").is_some_and(|text| text != "auto") {
            return Err(unknown("chunking_strategy", "`chunking_strategy`: this brain knows auto only"));
        }
        if stream && !matches!(written, Written::Json | Written::Text) {
            let message =
                "`response_format`: a stream gives text as it comes; ask for json or text, or leave out `stream`";
            return Err(ApiError::parameter("response_format", message));
        }
        form.finish()?;
        let format = match written {
            Written::Srt => TextFormat::Srt,
            Written::Vtt => TextFormat::Vtt,
            _ => TextFormat::Text,
        };
        let request = TranscribeRequest { language, words, format, stream, ..TranscribeRequest::default() };
        Ok(Self { model, sound, written, request })
    }
}

async fn answer(doors: Shared, work: Work, form: Form, mut room: Room, translate: bool) -> Result<Response, ApiError> {
    let HearCall { model, sound, written, request } = HearCall::read(form)?;
    let asked = doors.asked(&model, HEARERS)?;
    let audio = doors.media(vec![sound], &mut room, "file").await?.pop().unwrap_or_default();
    let request = TranscribeRequest { audio, translate, ..request };
    if request.stream {
        let frames = doors.bus.stream(&asked.target(), &request, work.call()).await?;
        drop((request, room));
        return transcript_stream::stream(frames, work).await;
    }
    let reply = doors.bus.call(&asked.target(), &request, work.call()).await?;
    Ok(transcript::whole(&reply, written, translate))
}

/// What kind of sound it is, by its bytes: senders often do not know.
fn sound(Upload { said, bytes }: Upload) -> Result<Attached, ApiError> {
    let found = media_type(&bytes);
    let said = said
        .filter(|said| said.starts_with("audio/"))
        .map(|said| said.split(';').next().unwrap_or_default().to_owned());
    let mime = match found.and_then(|found| found.split_once('/')) {
        Some(("audio", _)) => found.map(str::to_owned),
        // Sound alone comes in the same containers as films do.
        Some(("video", kind)) => Some(format!("audio/{kind}")),
        Some(_) => {
            let message = format!("`file` is {}: expected sound", found.unwrap_or_default());
            return Err(ApiError::parameter("file", message));
        }
        None => said,
    };
    let Some(mime) = mime else {
        return Err(ApiError::parameter("file", "`file`: what kind of sound it is cannot be told from its bytes"));
    };
    Ok(Attached { mime: Some(mime), content: crate::media::Content::Bytes(bytes.into()) })
}

fn written(asked: Option<&str>) -> Result<Written, ApiError> {
    Ok(match asked {
        None | Some("json") => Written::Json,
        Some("text") => Written::Text,
        Some("srt") => Written::Srt,
        Some("vtt") => Written::Vtt,
        Some("verbose_json") => Written::Verbose,
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            let message = format!("`response_format` is {other:?}: expected json, text, srt, vtt or verbose_json");
            return Err(ApiError::parameter("response_format", message));
        }
    })
}

/// True if words are asked for; segments there are always.
fn granularities(asked: &[String], written: Written) -> Result<bool, ApiError> {
    let name = "timestamp_granularities";
    for one in asked {
        if !["word", "segment"].contains(&one.as_str()) {
            return Err(ApiError::parameter(name, format!("`{name}` is {one:?}: expected word or segment")));
        }
    }
    let words = asked.iter().any(|one| one == "word");
    if words && written != Written::Verbose {
        return Err(ApiError::parameter(name, format!("`{name}`: words have a place in verbose_json only")));
    }
    Ok(words)
}

fn flag(name: &str, text: Option<&str>) -> Result<bool, ApiError> {
    match text.map(str::to_ascii_lowercase).as_deref() {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(other) => Err(ApiError::parameter(name, format!("`{name}` is {other:?}: expected true or false"))),
    }
}

fn unknown(name: &str, message: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "unsupported_parameter", message).about(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::telling::tells_all_of_a_form;

    fn upload(said: &str, bytes: &[u8]) -> Upload {
        Upload { said: Some(said.into()), bytes: bytes.to_vec().into() }
    }

    #[test]
    fn the_document_tells_its_parameters() {
        for path in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
            let form = || Form::of(upload("audio/wav", b"no such sound"), &[("model", "whisper")]);
            tells_all_of_a_form(path, || HearCall::read(form()));
        }
    }

    #[test]
    fn what_the_sound_is_stands_in_its_bytes() {
        let mime = |said, bytes: &[u8]| sound(upload(said, bytes)).ok().and_then(|sound| sound.mime);
        assert_eq!(mime("application/octet-stream", b"fLaC\0\0\0\x22").as_deref(), Some("audio/x-flac"));
        assert_eq!(
            mime("audio/mpeg", b"\x1aE\xdf\xa3webm").as_deref().map(|mime| mime.starts_with("audio/")),
            Some(true)
        );
        assert_eq!(mime("audio/wav; rate=1", b"no such sound").as_deref(), Some("audio/wav"));
        assert_eq!(mime("application/octet-stream", b"no such sound"), None);
        assert_eq!(mime("audio/wav", b"\x89PNG\r\n\x1a\n"), None);
    }

    #[test]
    fn words_are_told_where_there_is_a_place_for_them() {
        let asked = ["word".to_owned(), "segment".to_owned()];
        assert!(granularities(&asked, Written::Verbose).unwrap());
        assert!(granularities(&asked, Written::Json).is_err());
        assert!(!granularities(&[], Written::Json).unwrap());
        assert!(granularities(&["letter".into()], Written::Verbose).is_err());
    }
}
