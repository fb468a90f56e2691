//! How are large bodies read and written without one caller taking all the memory, or all the time of the one thread?

use std::time::Duration;

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

/// Of a body that has no room, so much is read past, for so long.
const READ_PAST: usize = 1 << 20;
const READ_PAST_TIME: Duration = Duration::from_millis(500);

/// Room that a large body takes, and what is made of it, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Gives back what is more than so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            drop(permit.split(permit.num_permits().saturating_sub(bytes.div_ceil(1024))));
        }
    }
}

/// Reads a request's parameters and makes what `read` makes of them. Large ones are read on a thread that may take its
/// time. The room is to be kept for as long as what was read.
///
/// # Errors
/// Status 413 past the limit, 503 if there are too many large bodies, 408 if it does not come in time, and whatever
/// `read` refuses.
pub(crate) async fn parameters<T: Send + 'static>(
    doors: &Doors,
    request: Request,
    read: impl FnOnce(Parameters) -> Result<T, ApiError> + Send + 'static,
) -> Result<(T, Room), ApiError> {
    let (mut room, request) = room_for(doors, request).await?;
    let limit = doors.config.max_body.as_u64();
    let body = in_time(doors, collect(request.into_body(), limit)).await?;
    // One that did not say how large it is had room for the largest.
    room.shrink(body.len());
    let is_small = body.len() as u64 <= SMALL;
    let read = aside(is_small, move || Parameters::read(&body).and_then(read)).await?;
    Ok((read, room))
}

/// Room for a request's body.
///
/// # Errors
/// As [`room`]. What is coming is read past for a moment first: a client that is cut off while it sends sees no status.
pub(crate) async fn room_for(doors: &Doors, request: Request) -> Result<(Room, Request), ApiError> {
    match room(doors, request.headers()) {
        Ok(room) => Ok((room, request)),
        Err(error) => {
            let mut coming = Limited::new(request.into_body(), READ_PAST);
            let past = async { while coming.frame().await.is_some_and(|frame| frame.is_ok()) {} };
            let _ = tokio::time::timeout(READ_PAST_TIME, past).await;
            Err(error)
        }
    }
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

/// Room for a body, by what its head says of its size; a small one needs none.
///
/// # Errors
/// Status 413 if it is larger than one may be, 503 if there is no room now.
fn room(doors: &Doors, headers: &HeaderMap) -> Result<Room, ApiError> {
    let limit = doors.config.max_body.as_u64();
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    // One that does not say may become as large as one may be.
    let length = length.unwrap_or(limit);
    if length > limit {
        return Err(ApiError::too_large(format!("the body has {length} bytes, at most {limit} are taken")));
    }
    if length <= SMALL {
        return Ok(Room::default());
    }
    room_of(doors, length)
}

/// Room for so many bytes.
///
/// # Errors
/// Status 503 if there is none now.
pub(crate) fn room_of(doors: &Doors, bytes: u64) -> Result<Room, ApiError> {
    let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    let room = doors.room.clone().try_acquire_many_owned(kib);
    room.map(|permit| Room(Some(permit))).map_err(|_| {
        let message = "there are too many large bodies at this moment: again in a second";
        ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message, 1000)
    })
}

/// Waits for a body, as long as one may take: it has room all the while.
///
/// # Errors
/// Status 408 after that, and those of the reading.
pub(crate) async fn in_time<T>(
    doors: &Doors,
    reading: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    let limit = doors.config.body_timeout;
    tokio::time::timeout(limit, reading)
        .await
        .unwrap_or_else(|_| Err(not_sent(&format!("it was not there within {}", humantime::format_duration(limit)))))
}

/// A body that did not come.
pub(crate) fn not_sent(why: &dyn std::fmt::Display) -> ApiError {
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_not_sent", format!("the body did not come: {why}"))
}

async fn collect(body: Body, limit: u64) -> Result<Bytes, ApiError> {
    let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(ApiError::too_large(format!("the body has more than the {limit} bytes that are taken")))
        }
        Err(error) => Err(not_sent(&error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn room_is_given_back_as_it_is_needed_no_more() {
        let all = Arc::new(Semaphore::new(100));
        let mut room = Room(all.clone().try_acquire_many_owned(80).ok());
        room.shrink(200 * 1024);
        assert_eq!(all.available_permits(), 20, "it has less already");
        room.shrink(29 * 1024 + 1);
        assert_eq!(all.available_permits(), 70);
        drop(room);
        assert_eq!(all.available_permits(), 100);
        Room::default().shrink(0);
    }
}
