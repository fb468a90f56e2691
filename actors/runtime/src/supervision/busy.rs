//! Which models compute now, so that the cores are divided among these?

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use megabrain_schemas::{CoreShares, Name};

use super::cores::Cores;

/// A model that has nothing open gives its cores back after this long.
const IDLE: Duration = Duration::from_millis(50);

/// The models that had something open lately.
pub(super) struct Busy {
    cores: Cores,
    last_busy: BTreeMap<Name, Instant>,
}

impl Busy {
    pub(super) fn new(cores: Cores) -> Self {
        Self { cores, last_busy: BTreeMap::new() }
    }

    /// A model has something to do: the new shares, if that changes them.
    pub(super) fn begin(&mut self, model: &Name) -> Option<CoreShares> {
        let is_new = self.cores.includes(model) && self.last_busy.insert(model.clone(), Instant::now()).is_none();
        is_new.then(|| self.shares())
    }

    /// Whoever had nothing to do for a while is no longer busy: the new shares, if that changes them.
    pub(super) fn end(&mut self, is_busy: impl Fn(&Name) -> bool) -> Option<CoreShares> {
        let before = self.last_busy.len();
        for (_, last) in self.last_busy.iter_mut().filter(|(model, _)| is_busy(model)) {
            *last = Instant::now();
        }
        self.last_busy.retain(|_, last| last.elapsed() < IDLE);
        (self.last_busy.len() != before).then(|| self.shares())
    }

    /// How the cores are divided now.
    pub(super) fn shares(&self) -> CoreShares {
        self.cores.divide(&self.last_busy.keys().cloned().collect::<BTreeSet<_>>())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last_busy.is_empty()
    }
}
