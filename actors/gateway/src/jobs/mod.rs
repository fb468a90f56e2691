//! How does long work outlive everything? It is kept by the bus as a task; whoever is alive does it.
//!
//! ```text
//! POST ─▶ record ─▶ line ─▶ worker ─▶ the bus ─▶ model ─▶ journal of its frames ─▶ record ─▶ callback
//!           └────── compare-and-set: one end for each job ──────────────────────────┘
//! ```
//! A job that was accepted is on disk. What its model says goes to a journal and not to us, so that an answer that came
//! while nobody was here is found there. A worker that dies lets its task go to another; then the work is done again.

mod callback;
mod config;
mod counted;
mod crew;
mod doors;
mod events;
mod keep;
mod line;
mod order;
mod record;
mod run;
mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use megabrain_bus::{Bus, QueueWorker};
use megabrain_schemas::{Fault, FaultKind};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

pub(crate) use config::JobsConfig;
pub(crate) use counted::Counted;
pub(crate) use doors::{cancel, one, submit};
pub(crate) use events::events;

use crate::outbound::Outbound;
use crate::present::Present;
use callback::Callbacks;
use keep::Keep;
use line::Line;
use run::Runner;

/// Whoever reads figures does not wait longer for those that the bus has.
const LOOK: Duration = Duration::from_secs(1);

/// So often a node looks for lines that another has opened.
const LOOK_FOR_LINES: Duration = Duration::from_secs(10);

/// A bus that keeps nothing now is asked again after so long.
const AGAIN: Duration = Duration::from_secs(1);

/// The jobs of this brain. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs {
    bus: Bus,
    config: JobsConfig,
    keep: Arc<OnceCell<Keep>>,
    counted: Counted,
    lines: Arc<watch::Sender<BTreeSet<Line>>>,
}

impl Jobs {
    /// `bus` needs a node's rights: what is kept here is nobody else's to read or write.
    pub(crate) fn new(bus: Bus, config: JobsConfig) -> Self {
        Self { bus, config, keep: Arc::default(), counted: Counted::new(), lines: Arc::default() }
    }

    /// Where jobs are kept.
    ///
    /// # Errors
    /// `unavailable` if jobs are off, or the bus keeps nothing now.
    async fn keep(&self) -> Result<&Keep, Fault> {
        if !self.config.enabled {
            return Err(Fault::new(FaultKind::NotFound, "this brain takes no jobs: [gateway.jobs] enabled is false"));
        }
        self.keep.get_or_try_init(|| Keep::open(&self.bus, &self.config, self.counted.clone())).await
    }

    /// What is counted of them.
    pub(crate) fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Counts what is not done, as of now.
    pub(crate) async fn look(&self) {
        let waiting = async { self.keep.get()?.waiting().await.ok() };
        self.counted.waiting(tokio::time::timeout(LOOK, waiting).await.ok().flatten());
    }

    /// Does what waits to be done, and calls back whom it was done for, until it is dropped.
    pub(crate) async fn work(self, outbound: Outbound, present: Present) {
        if !self.config.enabled {
            return;
        }
        let (keep, callbacks) = persistently(|| self.callbacks()).await;
        let runner = Runner::new(self.bus.clone(), self.config.clone(), keep.clone(), present);
        let callbacks = Callbacks::new(self.config.clone(), keep.clone(), outbound).work(callbacks);
        tokio::join!(self.work_on_lines(runner, keep), callbacks);
    }

    /// Where jobs are kept, and who takes callbacks from there.
    async fn callbacks(&self) -> Result<(Keep, QueueWorker), Fault> {
        let keep = self.keep().await?.clone();
        let callbacks = Callbacks::worker(&keep).await?;
        Ok((keep, callbacks))
    }

    /// Has a line, if nobody works on it yet, worked on: by this node at once, by the others before long.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    async fn open(&self, keep: &Keep, line: &Line) -> Result<(), Fault> {
        if !self.lines.borrow().contains(line) {
            Runner::worker(keep, line).await?;
            self.lines.send_if_modified(|lines| lines.insert(line.clone()));
        }
        Ok(())
    }

    /// Works on every line, those of before and those that others have opened included.
    async fn work_on_lines(&self, runner: Runner, keep: Keep) {
        let mut known = self.lines.subscribe();
        let mut look = tokio::time::interval(LOOK_FOR_LINES);
        let (mut working, mut begun) = (JoinSet::new(), BTreeSet::new());
        loop {
            tokio::select! {
                changed = known.changed() => if changed.is_err() { return },
                _ = look.tick() => match keep.lines().await {
                    Ok(lines) => self.lines.send_modify(|known| known.extend(lines)),
                    Err(fault) => tracing::debug!(%fault, "the lines of jobs cannot be listed"),
                },
            }
            for line in known.borrow_and_update().iter() {
                if begun.insert(line.clone()) {
                    working.spawn(runner.clone().work(line.clone()));
                }
            }
        }
    }
}

/// What comes of this once it succeeds: while the bus keeps nothing, it is tried again.
async fn persistently<T, F: Future<Output = Result<T, Fault>>>(attempt: impl Fn() -> F) -> T {
    loop {
        match attempt().await {
            Ok(outcome) => return outcome,
            Err(fault) => tracing::debug!(%fault, "no jobs yet"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
