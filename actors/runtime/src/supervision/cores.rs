//! Who may compute on how many threads now? Cores are a budget, not a partition.
//!
//! Alone, a model has all of the machine's threads. While others are busy, each gets its share: ggml's threads spin while
//! they wait for each other, and collapse when there are more of them than cores.

use std::collections::{BTreeMap, BTreeSet};

use megabrain_schemas::{CoreShares, Name};

/// The models of one machine that compute on its cores, and what each is worth.
#[derive(Clone, Debug, Default)]
pub struct Cores {
    threads: u32,
    shares: BTreeMap<Name, f64>,
}

impl Cores {
    /// `threads` to be shared by models with these weights; a weight of 0 or less takes no part.
    pub fn new(threads: u32, shares: impl IntoIterator<Item = (Name, f64)>) -> Self {
        let shares = shares.into_iter().filter(|(_, share)| *share > 0.0).collect();
        Self { threads: threads.max(1), shares }
    }

    /// True if this model computes on the shared cores.
    pub fn includes(&self, model: &Name) -> bool {
        self.shares.contains_key(model)
    }

    /// Threads of every model while these are busy. A model that is not busy gets what it would have if it began now.
    pub fn divide(&self, busy: &BTreeSet<Name>) -> CoreShares {
        let busy_weight: f64 = busy.iter().filter_map(|model| self.shares.get(model)).sum();
        let threads = self.shares.iter().map(|(model, share)| {
            let total = if busy.contains(model) { busy_weight } else { busy_weight + share };
            let fair = f64::from(self.threads) * share / total;
            (model.clone(), (fair.floor() as u32).clamp(1, self.threads))
        });
        CoreShares { threads: threads.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn alone_a_model_has_all_cores_and_busy_ones_share_by_weight() {
        let cores = Cores::new(12, [(name("a"), 1.0), (name("b"), 2.0), (name("gpu"), 0.0)]);
        assert!(!cores.includes(&name("gpu")));
        let alone = cores.divide(&BTreeSet::from([name("a")])).threads;
        assert_eq!((alone[&name("a")], alone[&name("b")]), (12, 8));
        let both = cores.divide(&BTreeSet::from([name("a"), name("b")])).threads;
        assert_eq!((both[&name("a")], both[&name("b")]), (4, 8));
    }

    #[test]
    fn nobody_is_left_without_a_thread() {
        let cores = Cores::new(2, ["a", "b", "c"].map(|model| (name(model), 1.0)));
        let all = cores.divide(&["a", "b", "c"].map(name).into());
        assert!(all.threads.values().all(|threads| *threads == 1));
    }
}
