//! Who answers a job that is interrupted while the model computes? Whoever sees it first.
//!
//! A worker's thread looks up between two nodes of ggml's graph: after some 60 ms of its own time, which take longer by the
//! clock where other programs want the cores. So the job lies here meanwhile, and the engine's thread, which computes
//! nothing, takes it away and answers it at once. The worker lets go as soon as it looks up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use megabrain_runtime::Job;

/// The place of the job that a worker computes on.
#[derive(Debug, Default)]
pub(crate) struct Desk(Mutex<Option<Job>>);

impl Desk {
    /// Lays a job down.
    pub(crate) fn put(&self, job: Job) {
        *self.lock() = Some(job);
    }

    /// Does something with the job, if it is still there.
    pub(crate) fn with(&self, act: impl FnOnce(&mut Job)) {
        if let Some(job) = &mut *self.lock() {
            act(job);
        }
    }

    /// Takes the job up again; `None` if it was answered meanwhile.
    pub(crate) fn take(&self) -> Option<Job> {
        self.lock().take()
    }

    /// Answers the job if it is interrupted.
    pub(crate) fn clear_interrupted(&self) {
        let mut place = self.lock();
        if let Some(fault) = place.as_ref().and_then(Job::interruption)
            && let Some(job) = place.take()
        {
            job.fail(fault);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Job>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
