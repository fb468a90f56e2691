//! How does a sentence end while the model speaks it? Each text that is being spoken has a brake, kept here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use megabrain_onnx::Stop as Brake;
use megabrain_runtime::Interrupt;

/// The texts that are being spoken, by slot: what tells whether one should end, and what ends it.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<BTreeMap<usize, (Interrupt, Brake)>>);

/// A text that is being spoken.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    running: &'a Running,
    slot: usize,
}

impl Running {
    /// One more, until the guard is dropped. What is interrupted from now on is seen by
    /// [`Running::brake_interrupted`]; what was interrupted before, the text must see for itself.
    pub(crate) fn enter(&self, slot: usize, interrupt: Interrupt, brake: Brake) -> Guard<'_> {
        self.lock().insert(slot, (interrupt, brake));
        Guard { running: self, slot }
    }

    /// Pulls the brake of those that should end.
    pub(crate) fn brake_interrupted(&self) {
        for (_, brake) in self.lock().values().filter(|(interrupt, _)| interrupt.is_due()) {
            brake.pull();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, (Interrupt, Brake)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.running.lock().remove(&self.slot);
    }
}
