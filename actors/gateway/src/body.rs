//! How is a body read without one caller taking all the memory, or all the time of the one thread?

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::OwnedSemaphorePermit;

use crate::doors::Doors;
use crate::error::ApiError;
use crate::parameters::Parameters;

/// Bodies up to this size are read on the runtime's own thread: well under half a millisecond. They need no room either.
const SMALL: u64 = 64 * 1024;

/// Reads a request's parameters and makes what `read` makes of them. Large ones are read on a thread that may take its
/// time.
///
/// # Errors
/// Status 413 past the limit, 503 if too many large bodies are being read, and whatever `read` refuses.
pub(crate) async fn parameters<T: Send + 'static>(
    doors: &Doors,
    request: Request,
    read: impl FnOnce(Parameters) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let _room = room(doors, request.headers())?;
    let body = collect(request.into_body(), doors.config.max_body.as_u64()).await?;
    let is_small = body.len() as u64 <= SMALL;
    let work = move || Parameters::read(&body).and_then(read);
    if is_small {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", format!("the body was not read: {error}")))
    })
}

/// Room for a body, by what its head says of its size; a small one needs none.
///
/// # Errors
/// Status 413 if it is larger than one may be, 503 if there is no room now.
pub(crate) fn room(doors: &Doors, headers: &HeaderMap) -> Result<Option<OwnedSemaphorePermit>, ApiError> {
    let limit = doors.config.max_body.as_u64();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // One that does not say may become as large as one may be.
    let length = length.unwrap_or(limit);
    if length > limit {
        return Err(ApiError::too_large(format!("the body has {length} bytes, at most {limit} are taken")));
    }
    if length <= SMALL {
        return Ok(None);
    }
    let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
    let room = doors.room.clone().try_acquire_many_owned(kib);
    room.map(Some).map_err(|_| {
        let message = "too many large bodies are being read at this moment: again in a second";
        ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message, 1000)
    })
}

async fn collect(body: Body, limit: u64) -> Result<Bytes, ApiError> {
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::too_large(format!("the body has more than the {limit} bytes that are taken")))
        }
        Err(error) => {
            Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_not_sent", format!("the body did not come: {error}")))
        }
    }
}
