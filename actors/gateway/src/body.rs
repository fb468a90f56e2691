//! How are large bodies read and written without one caller taking all the memory, or all the time of the one thread?

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::doors::Doors;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::room::{self, Room, SMALL};
use crate::values;

/// Of a body that has no room, so much is read past, for so long.
const READ_PAST: usize = 1 << 20;
const READ_PAST_TIME: Duration = Duration::from_millis(500);

/// Reads a request's parameters and makes what `read` makes of them. Those of at most [`SMALL`] bytes are read on the
/// runtime's own thread: that is well under half a millisecond. Large ones are read on a thread that may take its time.
/// The room is to be kept for as long as what was read.
///
/// # Errors
/// As [`received`], and whatever `read` refuses.
pub(crate) async fn parameters<T: Send + 'static>(
    doors: &Doors,
    request: Request,
    read: impl FnOnce(Parameters) -> Result<T, ApiError> + Send + 'static,
) -> Result<(T, Room), ApiError> {
    let limit = doors.config.max_body.as_u64();
    let (body, mut room) = received(doors, request, |request| collect(request.into_body(), limit)).await?;
    let (is_small, all) = (body.len() <= SMALL, doors.room.clone());
    aside(is_small, move || {
        room.grow_to(&all, values::check(&body)?)?;
        let read = Parameters::read(&body).and_then(read)?;
        room.shrink(body.len());
        Ok((read, room))
    })
    .await
}

/// Has a body received, which takes room as it comes: one that is slow keeps no other out by what it may become. The
/// room is to be kept for as long as what was received.
///
/// # Errors
/// Status 413 past the limit, 503 if there are too many large bodies, 408 if it does not come in time, and whatever
/// `receive` refuses.
pub(crate) async fn received<T, R: Future<Output = Result<T, ApiError>>>(
    doors: &Doors,
    request: Request,
    receive: impl FnOnce(Request) -> R,
) -> Result<(T, Room), ApiError> {
    if let Err(error) = check(doors, request.headers()) {
        read_past(request.into_body()).await;
        return Err(error);
    }
    let (parts, body) = request.into_parts();
    let (body, taken) = room::growing(body, doors.room.clone());
    let received = in_time(doors, receive(Request::from_parts(parts, body))).await;
    match taken.take() {
        Ok(room) => Ok((received?, room)),
        Err(rest) => {
            // What had come of it is gone by now, and so is its room.
            read_past(rest).await;
            Err(room::no_room())
        }
    }
}

/// Reads past what is still coming, for a moment: a client that is cut off while it sends sees no status.
async fn read_past(body: Body) {
    let mut coming = Limited::new(body, READ_PAST);
    let past = async { while coming.frame().await.is_some_and(|frame| frame.is_ok()) {} };
    let _ = tokio::time::timeout(READ_PAST_TIME, past).await;
}

/// Does work here if it is small, else on a thread that may take its time.
///
/// # Errors
/// Those of the work.
pub(crate) async fn aside<T: Send + 'static>(
    is_small: bool,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if is_small {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("a large body was not done: {error}")))
    })
}

/// Looks at what a body's head says of its size. It takes no room by that, yet need not be sent in vain either.
///
/// # Errors
/// Status 413 if it is larger than one may be, 503 if there is no room for it now.
fn check(doors: &Doors, headers: &HeaderMap) -> Result<(), ApiError> {
    let limit = doors.config.max_body.as_u64();
    let said = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let length = said.unwrap_or_default();
    if length > limit {
        return Err(ApiError::too_large(format!("the body has {length} bytes, at most {limit} are taken")));
    }
    room::check(&doors.room, usize::try_from(length).unwrap_or(usize::MAX))
}

/// Waits for a body, as long as one may take.
///
/// # Errors
/// Status 408 after that, and those of the reading.
async fn in_time<T>(doors: &Doors, reading: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let limit = doors.config.body_timeout;
    tokio::time::timeout(limit, reading)
        .await
        .unwrap_or_else(|_| Err(not_sent(&format!("it was not there within {}", humantime::format_duration(limit)))))
}

/// A body that did not come.
pub(crate) fn not_sent(why: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_not_sent", format!("the body did not come: {why}"))
}

async fn collect(body: Body, limit: u64) -> Result<Vec<u8>, ApiError> {
    let mut coming = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    let mut bytes = Vec::new();
    while let Some(frame) = coming.frame().await {
        let frame = frame.map_err(|error| match error.is::<LengthLimitError>() {
            true => ApiError::too_large(format!("the body has more than the {limit} bytes that are taken")),
            false => not_sent(&error),
        })?;
        // Copied: kept as they came, many little parts would take far more than their bytes.
        bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
    }
    Ok(bytes)
}
