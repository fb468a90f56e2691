//! How are tasks of a queue done side by side? So many at a time, each by whoever is free, and so many for one at most.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use megabrain_bus::{QueueWorker, Task};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Takes tasks and has each done, at most so many at the same time, until it is dropped; what is being done ends with it.
pub(super) async fn work<F: Future<Output = ()> + Send + 'static>(
    worker: QueueWorker,
    at_once: usize,
    take: impl Fn(Task) -> F,
) {
    let places = Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS)));
    let mut working = JoinSet::new();
    // A place comes first: a task that is taken out is begun. Nobody closes this semaphore.
    while let Ok(place) = places.clone().acquire_owned().await {
        let doing = take(worker.next().await);
        while working.try_join_next().is_some() {}
        working.spawn(async move {
            doing.await;
            drop(place);
        });
    }
}

/// Who has how many places, so that nobody has all of them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shares {
    largest: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One place of somebody's share; dropping it gives it back.
pub(super) struct Share {
    shares: Shares,
    whose: String,
}

impl Shares {
    /// Nobody has more than `largest` places.
    pub(super) fn new(largest: usize) -> Self {
        Self { largest, taken: Arc::default() }
    }

    /// A place, unless all of this one's are taken.
    pub(super) fn take(&self, whose: String) -> Option<Share> {
        let mut taken = self.taken();
        let count = taken.get(&whose).copied().unwrap_or_default();
        if count >= self.largest {
            return None;
        }
        taken.insert(whose.clone(), count + 1);
        Some(Share { shares: self.clone(), whose })
    }

    fn give_back(&self, whose: &str) {
        let mut taken = self.taken();
        match taken.get_mut(whose) {
            Some(count) if *count > 1 => *count -= 1,
            // Anybody can name new ones all the time: who has nothing is not remembered.
            _ => {
                taken.remove(whose);
            }
        }
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shares.give_back(&self.whose);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_share_and_who_has_nothing_is_forgotten() {
        let shares = Shares::new(2);
        let take = |whose: &str| shares.take(whose.to_owned());
        let (first, second) = (take("one").unwrap(), take("one").unwrap());
        assert!(take("one").is_none());
        let other = take("other").unwrap();
        drop(first);
        let third = take("one").unwrap();
        assert!(take("one").is_none());
        drop((second, third, other));
        assert!(shares.taken().is_empty());
    }
}
