//! How does a process tell its node what it took and finished? In batches: an event per request would halve throughput.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use megabrain_bus::Bus;
use megabrain_schemas::{Name, WorkReport, subject};
use tokio::sync::Notify;

use crate::open::OpenWork;

/// How long a report waits for company.
const BATCH: Duration = Duration::from_millis(4);

/// Collects what is to be reported. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Reporter(Arc<Inner>);

#[derive(Default)]
struct Inner {
    pending: Mutex<Pending>,
    news: Notify,
}

#[derive(Default)]
struct Pending {
    taken: Vec<Arc<OpenWork>>,
    finished: Vec<u64>,
}

impl Reporter {
    pub(crate) fn taken(&self, open: Arc<OpenWork>) {
        self.add(|pending| pending.taken.push(open));
    }

    pub(crate) fn finished(&self, key: u64) {
        self.add(|pending| pending.finished.push(key));
    }

    fn add(&self, push: impl FnOnce(&mut Pending)) {
        let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = pending.taken.is_empty() && pending.finished.is_empty();
        push(&mut pending);
        drop(pending);
        if was_empty {
            self.0.news.notify_one();
        }
    }

    /// Reports until the process ends.
    pub(crate) async fn run(self, bus: Bus, instance: Name, model: Name) {
        loop {
            self.0.news.notified().await;
            tokio::time::sleep(BATCH).await;
            self.flush(&bus, &instance, &model);
        }
    }

    /// Sends what is pending now.
    pub(crate) fn flush(&self, bus: &Bus, instance: &Name, model: &Name) {
        let pending = std::mem::take(&mut *self.0.pending.lock().unwrap_or_else(PoisonError::into_inner));
        // What was taken and finished within one batch is only told as finished.
        let taken = pending.taken.iter().filter(|open| !open.has_ended()).map(|open| open.key).collect();
        let report = WorkReport { model: model.clone(), taken, finished: pending.finished };
        if !(report.taken.is_empty() && report.finished.is_empty()) {
            bus.tell(subject::event::WORK, instance, &report);
        }
    }
}
