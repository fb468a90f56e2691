//! Which open work runs out of time next?

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use crate::open::OpenWork;

/// When the works that are open run out of time. Those that have ended stay in it for a while.
#[derive(Default)]
pub(crate) struct Deadlines(BinaryHeap<Reverse<Due>>);

/// One work, ordered by its deadline.
struct Due(Instant, Arc<OpenWork>);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0).then_with(|| self.1.id.cmp(&other.1.id))
    }
}

impl Deadlines {
    /// Adds a work, and throws out those that have ended once they are most of `open_now`.
    pub(crate) fn push(&mut self, work: &Arc<OpenWork>, open_now: usize) {
        let Some(deadline) = work.deadline else { return };
        self.0.push(Reverse(Due(deadline, work.clone())));
        if self.0.len() > 64 + 2 * open_now {
            self.0.retain(|Reverse(Due(_, work))| !work.has_ended());
        }
    }

    /// The next deadline of a work that is open.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        while self.0.peek().is_some_and(|Reverse(Due(_, work))| work.has_ended()) {
            self.0.pop();
        }
        self.0.peek().map(|Reverse(Due(deadline, _))| *deadline)
    }

    /// Takes out what is overdue; true if that is anything.
    pub(crate) fn pass(&mut self, now: Instant) -> bool {
        let mut any = false;
        while self.next().is_some_and(|deadline| deadline <= now) {
            self.0.pop();
            any = true;
        }
        any
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use megabrain_schemas::Name;

    use super::*;
    use crate::driver::Event;
    use crate::host::Waker;
    use crate::open::Open;
    use crate::report::Reporter;

    #[test]
    fn works_that_have_ended_are_forgotten_long_before_their_deadline() {
        let (events, _inbound) = std::sync::mpsc::channel::<Event>();
        let open = Open::new(8, 8, Reporter::default(), "p".into(), Waker::new(events));
        let mut deadlines = Deadlines::default();
        let start = Instant::now();
        let in_an_hour = start + Duration::from_secs(3600);
        for number in 0..10_000 {
            let work = open.admit(&Name::sanitized(&format!("w{number}")), None, number, Some(in_an_hour), 0).unwrap();
            deadlines.push(&work, open.admitted_now());
            open.finished(&work, None);
        }
        assert!(deadlines.0.len() < 100, "{} are kept", deadlines.0.len());
        assert_eq!(deadlines.next(), None);
        let soon = open.admit(&Name::sanitized("soon"), None, 1, Some(start), 0).unwrap();
        deadlines.push(&soon, open.admitted_now());
        assert!(deadlines.pass(Instant::now()));
        assert!(!deadlines.pass(Instant::now()));
    }
}
