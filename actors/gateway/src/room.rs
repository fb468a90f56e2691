//! How much memory do large bodies take together? As much as has come of them, and no more than there is room for.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Bodies up to this size need no room.
pub(crate) const SMALL: usize = 64 * 1024;

/// Room that a large body takes, and what is made of it, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Room(Option<OwnedSemaphorePermit>);

impl Room {
    /// Takes what it lacks for so many bytes, of the room for all bodies, in KiB.
    ///
    /// # Errors
    /// Status 503 if there is not so much now. It keeps what it has.
    pub(crate) fn grow_to(&mut self, all: &Arc<Semaphore>, bytes: usize) -> Result<(), ApiError> {
        let has = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let lacks = needed(bytes).saturating_sub(has);
        if lacks == 0 {
            return Ok(());
        }
        let lacks = u32::try_from(lacks).unwrap_or(u32::MAX);
        let more = all.clone().try_acquire_many_owned(lacks).map_err(|_| no_room())?;
        match &mut self.0 {
            Some(permit) => permit.merge(more),
            None => self.0 = Some(more),
        }
        Ok(())
    }

    /// Gives back what is more than so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            drop(permit.split(permit.num_permits().saturating_sub(bytes.div_ceil(1024))));
        }
    }
}

/// Looks whether there is room for so many bytes, and takes none.
///
/// # Errors
/// Status 503 if there is not so much now.
pub(crate) fn check(all: &Semaphore, bytes: usize) -> Result<(), ApiError> {
    if needed(bytes) <= all.available_permits() { Ok(()) } else { Err(no_room()) }
}

/// A large body finds no room.
pub(crate) fn no_room() -> ApiError {
    let message = "there are too many large bodies at this moment: again in a second";
    ApiError::busy(StatusCode::SERVICE_UNAVAILABLE, "overloaded", message, 1000)
}

/// The same body, which takes room as it comes, and what it has taken.
pub(crate) fn growing(body: Body, all: Arc<Semaphore>) -> (Body, Taken) {
    let taken = Taken(Arc::new(Mutex::new(Ok(Room::default()))));
    (Body::new(Growing { body, bytes: 0, all, taken: taken.clone() }), taken)
}

/// What a body has taken: its room; or, if there was too little, what of it is still to come.
#[derive(Clone)]
pub(crate) struct Taken(Arc<Mutex<Result<Room, Body>>>);

impl Taken {
    /// Takes it out, when nobody reads the body any more.
    pub(crate) fn take(&self) -> Result<Room, Body> {
        std::mem::replace(&mut *self.look(), Ok(Room::default()))
    }

    fn look(&self) -> MutexGuard<'_, Result<Room, Body>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Growing {
    body: Body,
    bytes: usize,
    all: Arc<Semaphore>,
    taken: Taken,
}

impl Growing {
    /// Takes room for so many bytes more. Without it, the body ends here for whoever reads it.
    fn grow(&mut self, more: usize) -> Result<(), axum::Error> {
        self.bytes += more;
        let mut taken = self.taken.look();
        let Ok(room) = &mut *taken else { return Ok(()) };
        room.grow_to(&self.all, self.bytes).map_err(|error| {
            *taken = Err(std::mem::take(&mut self.body));
            axum::Error::new(error.message())
        })
    }
}

impl HttpBody for Growing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else { return Poll::Ready(None) };
        let grown = frame.and_then(|frame| self.grow(frame.data_ref().map_or(0, Bytes::len)).map(|()| frame));
        Poll::Ready(Some(grown))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The KiB of room that so many bytes need.
fn needed(bytes: usize) -> usize {
    if bytes <= SMALL { 0 } else { bytes.div_ceil(1024) }
}

#[cfg(test)]
mod tests {
    use futures::{StreamExt as _, stream};
    use http_body_util::BodyExt as _;

    use super::*;

    /// A body that comes in so many parts of 40 KiB.
    fn parts(count: usize) -> Body {
        let part = Bytes::from_static(&[b'x'; 40 << 10]);
        Body::from_stream(stream::iter(vec![part; count]).map(Ok::<_, axum::Error>))
    }

    #[test]
    fn room_is_taken_as_it_is_needed_and_little_needs_none() {
        let all = Arc::new(Semaphore::new(100));
        let mut room = Room::default();
        room.grow_to(&all, SMALL).unwrap();
        assert_eq!(all.available_permits(), 100);
        room.grow_to(&all, SMALL + 1).unwrap();
        assert_eq!(all.available_permits(), 35);
        room.grow_to(&all, 100 * 1024).unwrap();
        assert_eq!(all.available_permits(), 0);
        assert!(check(&all, SMALL).is_ok() && check(&all, SMALL + 1).is_err());
        assert!(room.grow_to(&all, 100 * 1024 + 1).is_err());
        room.grow_to(&all, 10).unwrap();
        assert_eq!(all.available_permits(), 0, "it keeps what it has");
    }

    #[test]
    fn room_is_given_back_as_it_is_needed_no_more() {
        let all = Arc::new(Semaphore::new(100));
        let mut room = Room::default();
        room.grow_to(&all, 80 * 1024).unwrap();
        room.shrink(200 * 1024);
        assert_eq!(all.available_permits(), 20, "it has less already");
        room.shrink(29 * 1024 + 1);
        assert_eq!(all.available_permits(), 70);
        drop(room);
        assert_eq!(all.available_permits(), 100);
        Room::default().shrink(0);
    }

    #[tokio::test]
    async fn a_body_has_room_for_what_has_come_of_it() {
        let all = Arc::new(Semaphore::new(100));
        let (mut body, taken) = growing(parts(2), all.clone());
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(all.available_permits(), 100, "one part is small");
        assert!(body.frame().await.unwrap().is_ok());
        assert_eq!(all.available_permits(), 20);
        assert!(body.frame().await.is_none());
        let room = taken.take();
        drop((body, taken));
        assert_eq!(all.available_permits(), 20);
        drop(room);
        assert_eq!(all.available_permits(), 100);
    }

    #[tokio::test]
    async fn a_body_that_finds_no_room_gives_back_what_it_has_and_leaves_its_rest() {
        let all = Arc::new(Semaphore::new(100));
        let (mut body, taken) = growing(parts(5), all.clone());
        for _ in 0..2 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(all.available_permits(), 100);
        assert!(body.frame().await.is_none());
        let rest = taken.take().unwrap_err();
        assert_eq!(rest.collect().await.unwrap().to_bytes().len(), 2 * (40 << 10));
    }
}
