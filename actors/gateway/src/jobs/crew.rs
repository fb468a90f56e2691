//! How are tasks of a queue done side by side? So many at a time, each by whoever is free.

use std::sync::Arc;

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
