//! On how many threads does one transcription compute?

use std::sync::atomic::{AtomicUsize, Ordering};

/// The threads that this model may use, shared by the transcriptions that run. ggml's threads spin while they wait for
/// each other, so that two transcriptions on more threads than there are cores are slower than one after the other.
#[derive(Debug)]
pub(crate) struct Cores {
    threads: AtomicUsize,
    busy: AtomicUsize,
}

impl Cores {
    pub(crate) fn new(threads: usize) -> Self {
        Self { threads: AtomicUsize::new(threads), busy: AtomicUsize::new(0) }
    }

    /// Sets the threads for all together.
    pub(crate) fn set(&self, threads: usize) {
        self.threads.store(threads, Ordering::Relaxed);
    }

    /// One more computes, until the guard is dropped.
    pub(crate) fn enter(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self)
    }
}

/// One that computes.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Cores);

impl Busy<'_> {
    /// Its share of the threads now.
    pub(crate) fn threads(&self) -> usize {
        let busy = self.0.busy.load(Ordering::Relaxed).max(1);
        (self.0.threads.load(Ordering::Relaxed) / busy).max(1)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_shared_by_those_who_compute_now() {
        let cores = Cores::new(8);
        let first = cores.enter();
        assert_eq!(first.threads(), 8);
        let second = cores.enter();
        assert_eq!((first.threads(), second.threads()), (4, 4));
        cores.set(1);
        assert_eq!(first.threads(), 1);
        cores.set(6);
        drop(second);
        assert_eq!(first.threads(), 6);
    }
}
