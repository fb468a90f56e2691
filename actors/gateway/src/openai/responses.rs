//! `POST /v1/responses`: how does OpenAI's newer door answer?

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};

use crate::body;
use crate::conversation::answering;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::stream::events;
use crate::work::Work;

use super::responses_head::Head;
use super::responses_input::ResponseCall;
use super::responses_stream::ResponseStream;

/// Answers an input, at once or as it goes.
pub(crate) async fn responses(State(doors): State<Shared>, work: Work, request: Request) -> Result<Response, ApiError> {
    let (call, room) = body::parameters(&doors, request, ResponseCall::read).await?;
    let asked = doors.speaker(&call.model)?;
    let head = Head::new(&call, &work);
    if call.stream {
        let answering = answering(&doors, asked, call.conversation, room, work).await?;
        return Ok(events(answering, ResponseStream::new(head)));
    }
    let answer = doors.answer(asked, call.conversation, room, &work).await?;
    Ok(Json(head.whole(&answer)).into_response())
}
