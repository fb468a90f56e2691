//! Where does live sound wait until the model has time? In a bounded place between the bus' thread and a worker's.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Two minutes of samples, of two bytes each: what runs ahead of the model by more is refused.
pub(crate) const MOST: Duration = Duration::from_secs(120);

/// Messages of one live sound.
#[derive(Debug)]
pub(crate) struct Inbox {
    inner: Mutex<Inner>,
    arrived: Condvar,
    /// Bytes that may wait.
    room: usize,
}

#[derive(Debug)]
struct Inner {
    messages: VecDeque<Bytes>,
    bytes: usize,
    last: Instant,
    is_ended: bool,
    is_overrun: bool,
}

/// What there is to hear.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Samples.
    Sound(Bytes),
    /// Nothing now; the last was so long ago.
    Nothing(Duration),
    /// Its sender has said that it is all.
    End,
    /// Its sender was faster than there is room for: something is missing.
    Overrun,
}

impl Inbox {
    /// For samples of two bytes, so many a second.
    pub(crate) fn new(rate: u32) -> Self {
        let room = rate as usize * 2 * MOST.as_secs() as usize;
        let inner =
            Inner { messages: VecDeque::new(), bytes: 0, last: Instant::now(), is_ended: false, is_overrun: false };
        Self { inner: Mutex::new(inner), arrived: Condvar::new(), room }
    }

    /// Puts a message aside; an empty one is the end.
    pub(crate) fn put(&self, message: Bytes) {
        let mut inner = self.lock();
        if inner.is_ended || inner.is_overrun {
            return;
        }
        inner.last = Instant::now();
        if message.is_empty() {
            inner.is_ended = true;
        } else if inner.bytes + message.len() > self.room {
            inner.is_overrun = true;
        } else {
            inner.bytes += message.len();
            inner.messages.push_back(message);
        }
        self.arrived.notify_all();
    }

    /// What comes next, in order; waits no longer than `patience` for it.
    pub(crate) fn take(&self, patience: Duration) -> Arrival {
        let mut inner = self.lock();
        if inner.is_empty() && !patience.is_zero() {
            let waited = self.arrived.wait_timeout_while(inner, patience, |inner| inner.is_empty());
            inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match inner.messages.pop_front() {
            Some(message) => {
                inner.bytes -= message.len();
                Arrival::Sound(message)
            }
            None if inner.is_overrun => Arrival::Overrun,
            None if inner.is_ended => Arrival::End,
            None => Arrival::Nothing(inner.last.elapsed()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && !self.is_ended && !self.is_overrun
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn what_comes_is_given_in_order_and_then_the_end() {
        let inbox = Inbox::new(16_000);
        assert!(matches!(inbox.take(NOW), Arrival::Nothing(_)));
        for message in ["ab", "cd", "", "too late"] {
            inbox.put(Bytes::from_static(message.as_bytes()));
        }
        assert_eq!(inbox.take(NOW), Arrival::Sound(Bytes::from_static(b"ab")));
        assert_eq!(inbox.take(NOW), Arrival::Sound(Bytes::from_static(b"cd")));
        assert_eq!((inbox.take(NOW), inbox.take(NOW)), (Arrival::End, Arrival::End));
    }

    #[test]
    fn more_than_there_is_room_for_is_told_and_not_kept() {
        let inbox = Inbox::new(1_000);
        let minute = Bytes::from(vec![0; 120_000]);
        for _ in 0..5 {
            inbox.put(minute.clone());
        }
        assert_eq!(inbox.lock().bytes, 240_000);
        assert!(matches!((inbox.take(NOW), inbox.take(NOW)), (Arrival::Sound(_), Arrival::Sound(_))));
        assert_eq!(inbox.take(NOW), Arrival::Overrun);
    }

    #[test]
    fn who_waits_is_woken_by_what_comes() {
        let inbox = Inbox::new(16_000);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| inbox.take(Duration::from_secs(60)));
            inbox.put(Bytes::from_static(b"ab"));
            assert_eq!(waiting.join().unwrap(), Arrival::Sound(Bytes::from_static(b"ab")));
        });
    }
}
