//! What has this process taken and not answered yet? Admission, cancel and the books.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use megabrain_schemas::{Fault, FaultKind, Name};
use tokio::sync::Notify;

use crate::host::Waker;
use crate::report::Reporter;

/// A frame is sent with a probe this often, so that the server tells when the caller's inbox is gone.
const PROBE_EVERY: Duration = Duration::from_millis(250);

/// Why a work should end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stop {
    No = 0,
    Cancelled = 1,
    CallerGone = 2,
    BusAway = 3,
}

/// One accepted request, until it is answered.
#[derive(Debug)]
pub(crate) struct OpenWork {
    pub(crate) id: u64,
    pub(crate) work: Name,
    pub(crate) leg: Option<String>,
    pub(crate) key: u64,
    pub(crate) arrived: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) priority: i32,
    pub(crate) is_running: AtomicBool,
    pub(crate) is_finished: AtomicBool,
    stop: AtomicU8,
    probed_ms: AtomicU64,
}

impl OpenWork {
    /// True once it was answered.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_finished.load(Ordering::Acquire)
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed) != Stop::No as u8
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// True if others go first: its priority is below what works have that name none.
    pub(crate) fn is_patient(&self) -> bool {
        self.priority < 0
    }

    pub(crate) fn interruption(&self) -> Option<Fault> {
        let stop = self.stop.load(Ordering::Relaxed);
        if stop == Stop::Cancelled as u8 {
            return Some(Fault::new(FaultKind::Cancelled, "cancelled by the caller"));
        }
        if stop == Stop::CallerGone as u8 {
            return Some(Fault::new(FaultKind::Cancelled, "the caller is gone"));
        }
        if stop == Stop::BusAway as u8 {
            return Some(Fault::unavailable("the bus went away while this was running", 1000));
        }
        let deadline = self.deadline?;
        (Instant::now() >= deadline).then(|| {
            let when =
                if self.is_running.load(Ordering::Relaxed) { "while running" } else { "in the queue: never started" };
            Fault::new(FaultKind::DeadlineExceeded, format!("the deadline passed {when}"))
        })
    }
}

/// Everything open in this process. Shared by the intake, the engine's thread and its workers.
pub(crate) struct Open {
    limit: usize,
    slots: usize,
    admitted: AtomicUsize,
    running: AtomicUsize,
    finished: AtomicU64,
    faults: AtomicU64,
    last_fault: Mutex<Option<FaultKind>>,
    took_nanos: AtomicU64,
    next_id: AtomicU64,
    mean_nanos: AtomicU64,
    started: Instant,
    works: Mutex<HashMap<Name, Vec<Arc<OpenWork>>>>,
    reporter: Reporter,
    probe_prefix: String,
    waker: Waker,
    emptied: Notify,
}

impl Open {
    pub(crate) fn new(slots: usize, queue: usize, reporter: Reporter, probe_prefix: String, waker: Waker) -> Self {
        Self {
            limit: slots.saturating_add(queue),
            slots,
            admitted: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
            finished: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            last_fault: Mutex::default(),
            took_nanos: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
            mean_nanos: AtomicU64::new(0),
            started: Instant::now(),
            works: Mutex::new(HashMap::new()),
            reporter,
            probe_prefix,
            waker,
            emptied: Notify::new(),
        }
    }

    /// Takes a work in, or says why not.
    ///
    /// # Errors
    /// `overloaded` at once when slots and queue are full, for works of a priority below 0 when half of the queue is;
    /// `invalid_request` if the same leg of the same work is open.
    pub(crate) fn admit(
        &self,
        work: &Name,
        leg: Option<&str>,
        key: u64,
        deadline: Option<Instant>,
        priority: i32,
    ) -> Result<Arc<OpenWork>, Fault> {
        let mut works = self.lock();
        let admitted = self.admitted.load(Ordering::Relaxed);
        // Those that let others go first leave half of the queue to them.
        let limit = if priority < 0 { self.slots + self.queue_limit() / 2 } else { self.limit };
        if admitted >= limit {
            return Err(Fault::new(
                FaultKind::Overloaded,
                format!("{admitted} works are open, and more than {limit} do not wait"),
            )
            .retry_after(self.retry_after()));
        }
        let of_work = works.entry(work.clone()).or_default();
        if of_work.iter().any(|open| open.leg.as_deref() == leg) {
            return Err(Fault::invalid(format!("work {work} is open already: choose another id")));
        }
        let open = Arc::new(OpenWork {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            work: work.clone(),
            leg: leg.map(str::to_owned),
            key,
            arrived: Instant::now(),
            deadline,
            priority,
            is_running: AtomicBool::new(false),
            is_finished: AtomicBool::new(false),
            stop: AtomicU8::new(Stop::No as u8),
            probed_ms: AtomicU64::new(0),
        });
        of_work.push(open.clone());
        drop(works);
        self.admitted.fetch_add(1, Ordering::Relaxed);
        self.reporter.taken(open.clone());
        Ok(open)
    }

    /// Notes that a request was answered without being taken in: nobody need answer it again.
    pub(crate) fn refused(&self, key: u64) {
        self.reporter.finished(key);
    }

    /// Notes that a work has a slot now.
    pub(crate) fn running(&self, open: &OpenWork) {
        open.is_running.store(true, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a work was answered, perhaps with a fault, and frees its place.
    pub(crate) fn finished(&self, open: &OpenWork, fault: Option<FaultKind>) {
        open.is_finished.store(true, Ordering::Release);
        let mut works = self.lock();
        if let Some(of_work) = works.get_mut(&open.work) {
            of_work.retain(|other| other.id != open.id);
            if of_work.is_empty() {
                works.remove(&open.work);
            }
        }
        drop(works);
        let took = open.arrived.elapsed();
        self.took_nanos.fetch_add(nanos(took), Ordering::Relaxed);
        self.finished.fetch_add(1, Ordering::Relaxed);
        if fault.is_some() {
            self.faults.fetch_add(1, Ordering::Relaxed);
            *self.last_fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        }
        self.reporter.finished(open.key);
        let admitted = self.admitted.fetch_sub(1, Ordering::AcqRel);
        if admitted == 1 {
            self.emptied.notify_waiters();
        }
        if open.is_running.load(Ordering::Relaxed) {
            let running = self.running.fetch_sub(1, Ordering::AcqRel);
            self.note_duration(took);
            // Somebody may be waiting for this slot.
            if admitted > running {
                self.waker.wake();
            }
        }
    }

    /// Stops every leg of a work. Gives how many.
    pub(crate) fn stop_work(&self, work: &Name, why: Stop) -> usize {
        let works = self.lock();
        let Some(of_work) = works.get(work) else { return 0 };
        for open in of_work {
            open.stop.store(why as u8, Ordering::Relaxed);
        }
        let count = of_work.len();
        drop(works);
        self.waker.wake();
        count
    }

    /// Stops the work with this number.
    pub(crate) fn stop_id(&self, id: u64, why: Stop) {
        let works = self.lock();
        if let Some(open) = works.values().flatten().find(|open| open.id == id) {
            open.stop.store(why as u8, Ordering::Relaxed);
        }
        drop(works);
        self.waker.wake();
    }

    /// Stops everything.
    pub(crate) fn stop_all(&self, why: Stop) {
        for open in self.lock().values().flatten() {
            open.stop.store(why as u8, Ordering::Relaxed);
        }
        self.waker.wake();
    }

    /// The subject to probe the caller's inbox with, now and then; `None` in between, and for the first frame.
    pub(crate) fn probe_subject(&self, open: &OpenWork) -> Option<String> {
        let now = self.started.elapsed().as_millis() as u64;
        let last = open.probed_ms.load(Ordering::Relaxed);
        let due = last != 0 && now.saturating_sub(last) >= PROBE_EVERY.as_millis() as u64;
        if last == 0 || due {
            open.probed_ms.store(now.max(1), Ordering::Relaxed);
        }
        due.then(|| format!("{}.{}", self.probe_prefix, open.id))
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    pub(crate) fn queue_limit(&self) -> usize {
        self.limit - self.slots
    }

    pub(crate) fn running_now(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    pub(crate) fn queued_now(&self) -> usize {
        self.admitted.load(Ordering::Acquire).saturating_sub(self.running_now())
    }

    pub(crate) fn admitted_now(&self) -> usize {
        self.admitted.load(Ordering::Acquire)
    }

    /// Waits until nothing is open.
    pub(crate) async fn until_empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.admitted_now() == 0 {
                return;
            }
            emptied.await;
        }
    }

    pub(crate) fn finished_so_far(&self) -> (u64, u64) {
        (self.finished.load(Ordering::Relaxed), self.faults.load(Ordering::Relaxed))
    }

    /// Of what kind the last fault was.
    pub(crate) fn last_fault(&self) -> Option<FaultKind> {
        *self.last_fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the answered works took, all together.
    pub(crate) fn took_so_far(&self) -> Duration {
        Duration::from_nanos(self.took_nanos.load(Ordering::Relaxed))
    }

    /// When a place is likely free: the mean time of a work times what stands before a newcomer.
    pub(crate) fn retry_after(&self) -> u64 {
        let mean = Duration::from_nanos(self.mean_nanos.load(Ordering::Relaxed));
        let rounds = self.limit / self.slots.max(1);
        let wait = mean.saturating_mul(u32::try_from(rounds.max(1)).unwrap_or(u32::MAX)) / 2;
        u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).clamp(10, 30_000)
    }

    fn note_duration(&self, took: Duration) {
        // Exponential mean over the last eight or so works; a lost update between two threads does not matter.
        let old = self.mean_nanos.load(Ordering::Relaxed);
        let new = nanos(took);
        let mean = if old == 0 { new } else { old - old / 8 + new / 8 };
        self.mean_nanos.store(mean, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Vec<Arc<OpenWork>>>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_the_last_work_is_awaited() {
        let (events, _inbound) = std::sync::mpsc::channel();
        let open = Arc::new(Open::new(1, 1, Reporter::default(), String::new(), Waker::new(events)));
        open.until_empty().await;
        let admit = |work: &str| open.admit(&Name::new(work).unwrap(), None, 0, None, 0).unwrap();
        let (first, last) = (admit("first"), admit("last"));
        let waiting = tokio::spawn({
            let open = open.clone();
            async move { open.until_empty().await }
        });
        tokio::task::yield_now().await;
        open.finished(&first, None);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "one is still open");
        open.finished(&last, None);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }
}
