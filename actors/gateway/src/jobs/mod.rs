//! How does long work outlive everything? It is kept by the bus as a task; whoever is alive does it.
//!
//! ```text
//! POST ─▶ record ─▶ queue ─▶ worker ─▶ the bus ─▶ model ─▶ journal of its frames ─▶ record ─▶ callback
//!           └────── compare-and-set: one end for each job ──────────────────────────┘
//! ```
//! A job that was accepted is on disk. What its model says goes to a journal and not to us, so that an answer that came
//! while nobody was here is found there. A worker that dies lets its task go to another; then the work is done again.

mod callback;
mod config;
mod crew;
mod doors;
mod events;
mod keep;
mod order;
mod record;
mod run;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use megabrain_bus::{Bus, QueueWorker};
use megabrain_schemas::{Fault, FaultKind};
use tokio::sync::OnceCell;

pub(crate) use config::JobsConfig;
pub(crate) use doors::{cancel, one, submit};
pub(crate) use events::events;

use crate::outbound::Outbound;
use callback::Callbacks;
use keep::Keep;
use run::Runner;

/// A bus that keeps nothing now is asked again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// The jobs of this brain. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs {
    bus: Bus,
    config: JobsConfig,
    keep: Arc<OnceCell<Keep>>,
}

impl Jobs {
    /// `bus` needs a node's rights: what is kept here is nobody else's to read or write.
    pub(crate) fn new(bus: Bus, config: JobsConfig) -> Self {
        Self { bus, config, keep: Arc::default() }
    }

    /// Where jobs are kept.
    ///
    /// # Errors
    /// `unavailable` if jobs are off, or the bus keeps nothing now.
    async fn keep(&self) -> Result<&Keep, Fault> {
        if !self.config.enabled {
            return Err(Fault::new(FaultKind::NotFound, "this brain takes no jobs: [gateway.jobs] enabled is false"));
        }
        self.keep.get_or_try_init(|| Keep::open(&self.bus, &self.config)).await
    }

    /// Does what waits to be done, and calls back whom it was done for, until it is dropped.
    pub(crate) async fn work(self, outbound: Outbound) {
        if !self.config.enabled {
            return;
        }
        let (keep, jobs, callbacks) = loop {
            match self.workers().await {
                Ok(workers) => break workers,
                Err(fault) => tracing::debug!(%fault, "no jobs yet"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        let runner = Runner::new(self.bus.clone(), self.config.clone(), keep.clone());
        tokio::join!(runner.work(jobs), Callbacks::new(self.config.clone(), keep, outbound).work(callbacks));
    }

    /// Where jobs are kept, and who takes jobs and callbacks from there.
    async fn workers(&self) -> Result<(Keep, QueueWorker, QueueWorker), Fault> {
        let keep = self.keep().await?.clone();
        let (jobs, callbacks) = tokio::try_join!(Runner::worker(&keep), Callbacks::worker(&keep))?;
        Ok((keep, jobs, callbacks))
    }
}
