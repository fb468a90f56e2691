//! Whose sound is heard next? Many sounds, a few states of the model: it goes piece by piece.
//!
//! A sound of thirty seconds or less is one piece. Those go first, and one state is kept for them where there are two. Of
//! each kind the oldest goes first, and a long sound stands at the end again after each piece. When eight short ones have
//! gone before a long one that waits, it is its turn: however many come, it goes on.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::abort::{IsDue, Stop};

/// While a sound waits, this often it is asked whether somebody still wants it.
const LOOK_UP: Duration = Duration::from_millis(20);

/// So many short sounds go before a long one that waits.
const MOST_PASSED: usize = 8;

/// What the sound is that a piece belongs to. In this order they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Length {
    /// One piece, or live.
    Short,
    /// Several pieces, or one of a film.
    Long,
}

/// The states of one model, or whatever else is taken in turns.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    place: Mutex<Place<T>>,
    changed: Condvar,
    /// As many as long sounds may have at once.
    most_long: usize,
}

#[derive(Debug)]
struct Place<T> {
    free: Vec<T>,
    long: usize,
    /// Short ones that went while a long one waited that may go, since the last long one went.
    passed: usize,
    waiting: BTreeSet<Ticket>,
    next_number: u64,
}

/// A place in the line: the first goes first.
type Ticket = (Length, u64);

impl<T> Pool<T> {
    pub(crate) fn new(states: Vec<T>) -> Self {
        let most_long = states.len().saturating_sub(1).max(1);
        let place = Place { free: states, long: 0, passed: 0, waiting: BTreeSet::new(), next_number: 0 };
        Self { place: Mutex::new(place), changed: Condvar::new(), most_long }
    }

    /// Waits for a state and uses it.
    ///
    /// # Errors
    /// [`Stop::Interrupted`] if `is_due` says so while it waits; what `act` fails with.
    pub(crate) fn with<R>(
        &self,
        length: Length,
        is_due: IsDue<'_>,
        act: impl FnOnce(&mut T) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let mut state = self.take(length, is_due)?;
        let outcome = act(&mut state);
        self.give_back(length, state);
        outcome
    }

    /// True if a short sound waits: whoever computes what can be done later should end.
    pub(crate) fn is_wanted(&self) -> bool {
        self.lock().waiting.first().is_some_and(|(length, _)| *length == Length::Short)
    }

    /// True if a short sound would wait.
    pub(crate) fn is_busy(&self) -> bool {
        self.lock().free.is_empty()
    }

    fn take(&self, length: Length, is_due: IsDue<'_>) -> Result<T, Stop> {
        let ticket = self.stand_in_line(length);
        loop {
            let waited = self.changed.wait_timeout_while(self.lock(), LOOK_UP, |place| !self.is_next(place, ticket));
            let mut place = waited.unwrap_or_else(PoisonError::into_inner).0;
            if self.is_next(&place, ticket)
                && let Some(state) = place.free.pop()
            {
                place.long += usize::from(length == Length::Long);
                place.passed = match length {
                    Length::Short if self.long_ones_turn(&place).is_some() => place.passed + 1,
                    Length::Short => place.passed,
                    Length::Long => 0,
                };
                self.leave_line(place, ticket);
                return Ok(state);
            }
            drop(place);
            // It may look at the pool itself.
            if is_due() {
                self.leave_line(self.lock(), ticket);
                return Err(Stop::Interrupted);
            }
        }
    }

    fn stand_in_line(&self, length: Length) -> Ticket {
        let mut place = self.lock();
        let ticket = (length, place.next_number);
        place.next_number += 1;
        place.waiting.insert(ticket);
        ticket
    }

    /// The next in line may have a free one too.
    fn leave_line(&self, mut place: MutexGuard<'_, Place<T>>, ticket: Ticket) {
        place.waiting.remove(&ticket);
        self.changed.notify_all();
    }

    fn is_next(&self, place: &Place<T>, ticket: Ticket) -> bool {
        let of_long = self.long_ones_turn(place);
        let first = place.waiting.first().copied().filter(|(length, _)| *length == Length::Short);
        let next = if place.passed < MOST_PASSED { first.or(of_long) } else { of_long.or(first) };
        !place.free.is_empty() && next == Some(ticket)
    }

    /// The long sound that waits longest, if it may go.
    fn long_ones_turn(&self, place: &Place<T>) -> Option<Ticket> {
        let longest = place.waiting.range((Length::Long, 0)..).next().copied();
        longest.filter(|_| place.long < self.most_long)
    }

    fn give_back(&self, length: Length, state: T) {
        let mut place = self.lock();
        place.free.push(state);
        place.long -= usize::from(length == Length::Long);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Place<T>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    use super::*;

    /// Takes a state on a thread of its own and keeps it until `release` is told; says when it has it.
    fn hold(pool: &Arc<Pool<u32>>, length: Length, release: &Arc<AtomicBool>) -> Receiver<u32> {
        let (sender, receiver) = channel();
        let number = pool.lock().next_number;
        let (theirs, release) = (pool.clone(), release.clone());
        thread::spawn(move || {
            let _ = theirs.with(length, &|| false, |state| {
                let _ = sender.send(*state);
                while !release.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            });
        });
        while pool.lock().next_number == number {
            thread::sleep(Duration::from_millis(1));
        }
        receiver
    }

    const SOON: Duration = Duration::from_secs(5);
    const NEVER: Duration = Duration::from_millis(100);

    #[test]
    fn long_sounds_leave_a_state_to_short_ones() {
        let (pool, release) = (Arc::new(Pool::new(vec![1, 2])), Arc::new(AtomicBool::new(false)));
        let first = hold(&pool, Length::Long, &release);
        first.recv_timeout(SOON).unwrap();
        let second = hold(&pool, Length::Long, &release);
        assert!(second.recv_timeout(NEVER).is_err(), "it would take the last one");
        let short = hold(&pool, Length::Short, &release);
        short.recv_timeout(SOON).unwrap();
        assert!(pool.is_busy());
        release.store(true, Ordering::Relaxed);
        second.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn with_one_state_a_short_sound_goes_before_the_next_piece_of_a_long_one() {
        let pool = Arc::new(Pool::new(vec![1]));
        let (now, later) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        hold(&pool, Length::Long, &now).recv_timeout(SOON).unwrap();
        let long = hold(&pool, Length::Long, &later);
        assert!(!pool.is_wanted());
        let short = hold(&pool, Length::Short, &later);
        assert!(pool.is_wanted());
        now.store(true, Ordering::Relaxed);
        short.recv_timeout(SOON).unwrap();
        assert!(long.recv_timeout(NEVER).is_err());
        later.store(true, Ordering::Relaxed);
        long.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn a_long_sound_goes_on_however_many_short_ones_come() {
        let pool = Arc::new(Pool::new(vec![1]));
        let now = Arc::new(AtomicBool::new(false));
        hold(&pool, Length::Short, &now).recv_timeout(SOON).unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut line = Vec::new();
        for number in 0..=20 {
            let length = if number == 0 { Length::Long } else { Length::Short };
            let (theirs, order) = (pool.clone(), order.clone());
            line.push(thread::spawn(move || {
                theirs.with(length, &|| false, |_| {
                    order.lock().unwrap().push(length);
                    Ok(())
                })
            }));
            while pool.lock().waiting.len() < line.len() {
                thread::sleep(Duration::from_millis(1));
            }
        }
        now.store(true, Ordering::Relaxed);
        line.into_iter().for_each(|one| one.join().unwrap().unwrap());
        let order = order.lock().unwrap();
        assert_eq!(order.iter().position(|length| *length == Length::Long), Some(MOST_PASSED), "{order:?}");
    }

    #[test]
    fn one_that_nobody_wants_any_more_waits_no_longer() {
        let (pool, release) = (Arc::new(Pool::new(vec![1])), Arc::new(AtomicBool::new(false)));
        hold(&pool, Length::Short, &release).recv_timeout(SOON).unwrap();
        let outcome = pool.with(Length::Short, &|| true, |_| Ok(()));
        assert!(matches!(outcome, Err(Stop::Interrupted)));
        assert!(!pool.is_wanted());
        release.store(true, Ordering::Relaxed);
        pool.with(Length::Long, &|| false, |_| Ok(())).unwrap();
    }
}
