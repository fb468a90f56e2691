//! How does nobody take all of what many want? Each has a share of the places.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Who has how many places, so that nobody has all of them. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    largest: usize,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

/// One place of somebody's share; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Shares,
    whose: String,
}

impl Shares {
    /// Nobody has more than `largest` places.
    pub(crate) fn new(largest: usize) -> Self {
        Self { largest, taken: Arc::default() }
    }

    /// A place, unless all of this one's are taken.
    pub(crate) fn take(&self, whose: String) -> Option<Share> {
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
