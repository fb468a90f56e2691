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
mod doors;
mod events;
mod keep;
mod order;
mod record;
mod run;

use std::sync::Arc;
use std::time::Duration;

use megabrain_bus::Bus;
use megabrain_schemas::{Fault, FaultKind};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

pub(crate) use config::JobsConfig;
pub(crate) use doors::{cancel, one, submit};
pub(crate) use events::events;

use crate::outbound::Outbound;
use callback::Callbacks;
use keep::Keep;
use run::Runner;

/// JetStream is asked again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// The jobs of this brain. Cheap to clone; the tasks of the first end with it.
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
        let keep = loop {
            match self.keep().await {
                Ok(keep) => break keep.clone(),
                Err(fault) => tracing::debug!(%fault, "no jobs yet"),
            }
            tokio::time::sleep(AGAIN).await;
        };
        let mut workers = JoinSet::new();
        workers.spawn(Runner::new(self.bus.clone(), self.config.clone(), keep.clone()).work());
        workers.spawn(Callbacks::new(self.config.clone(), keep, outbound).work());
        workers.join_all().await;
    }
}
