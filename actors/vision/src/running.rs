//! Who tells a worker that is inside a model to stop? The engine's thread, which hears of cancels and deadlines.

use std::sync::{Mutex, PoisonError};

use megabrain_onnx::Stop;
use megabrain_runtime::Interrupt;

/// What each worker is at.
#[derive(Debug)]
pub(crate) struct Running(Vec<Mutex<Option<(Interrupt, Stop)>>>);

impl Running {
    pub(crate) fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| Mutex::new(None)).collect())
    }

    /// A worker begins a job, which its `stop` ends. It looks at the job's interruption itself afterwards, since that
    /// may have come before.
    pub(crate) fn begin(&self, slot: usize, interrupt: Interrupt, stop: Stop) {
        self.set(slot, Some((interrupt, stop)));
    }

    /// A worker has done with its job.
    pub(crate) fn end(&self, slot: usize) {
        self.set(slot, None);
    }

    /// Stops every job that should end.
    pub(crate) fn interrupt(&self) {
        for slot in &self.0 {
            let running = slot.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, stop)) = running.as_ref().filter(|(interrupt, _)| interrupt.is_due()) {
                stop.pull();
            }
        }
    }

    fn set(&self, slot: usize, to: Option<(Interrupt, Stop)>) {
        if let Some(slot) = self.0.get(slot) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = to;
        }
    }
}
