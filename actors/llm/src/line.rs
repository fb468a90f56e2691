//! What waits for a thread, and who may still take it away?

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What waits for a thread, first come, first served. Another thread may take out of it what should wait no longer.
#[derive(Debug)]
pub(crate) struct Line<T> {
    place: Mutex<Place<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Place<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

impl<T> Line<T> {
    /// Nothing waits.
    pub(crate) fn new() -> Self {
        Self { place: Mutex::new(Place { waiting: VecDeque::new(), is_closed: false }), changed: Condvar::new() }
    }

    /// Adds one more at the end. If the line is closed, it is dropped.
    pub(crate) fn put(&self, one: T) {
        let mut place = self.lock();
        if !place.is_closed {
            place.waiting.push_back(one);
            self.changed.notify_one();
        }
    }

    /// Waits for the first. `None` once the line is closed.
    pub(crate) fn next(&self) -> Option<T> {
        let is_idle = |place: &mut Place<T>| place.waiting.is_empty() && !place.is_closed;
        let waited = self.changed.wait_while(self.lock(), is_idle);
        waited.unwrap_or_else(PoisonError::into_inner).waiting.pop_front()
    }

    /// Takes out those of which this is true.
    pub(crate) fn take_out(&self, is_due: impl Fn(&T) -> bool) -> Vec<T> {
        let mut place = self.lock();
        let mut taken = Vec::new();
        while let Some(at) = place.waiting.iter().position(&is_due) {
            taken.extend(place.waiting.remove(at));
        }
        taken
    }

    /// Lets nobody wait any more: what waits is dropped.
    pub(crate) fn close(&self) {
        let mut place = self.lock();
        place.is_closed = true;
        let dropped = std::mem::take(&mut place.waiting);
        drop(place);
        drop(dropped);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Place<T>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_out_is_not_given_and_the_others_keep_their_order() {
        let line = Line::new();
        (1..=5).for_each(|number| line.put(number));
        assert_eq!(line.next(), Some(1));
        assert_eq!(line.take_out(|number| number % 2 == 0), [2, 4]);
        assert!(line.take_out(|number| number % 2 == 0).is_empty());
        assert_eq!((line.next(), line.next()), (Some(3), Some(5)));
    }

    #[test]
    fn who_waits_is_woken_by_what_comes_and_by_the_end() {
        let line = Line::new();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (line.next(), line.next()));
            line.put(1);
            while !line.lock().waiting.is_empty() {
                std::thread::yield_now();
            }
            line.close();
            assert_eq!(waiting.join().unwrap(), (Some(1), None));
        });
        line.put(2);
        assert_eq!(line.next(), None);
    }

    #[test]
    fn what_waits_is_dropped_when_the_line_is_closed() {
        let line = Line::new();
        let one = std::sync::Arc::new(());
        line.put(one.clone());
        line.close();
        assert_eq!(std::sync::Arc::strong_count(&one), 1);
    }
}
