//! Which process has which request? By the reports that the processes send to their node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use megabrain_bus::{Bus, EventStream};
use megabrain_node::connection::Role;
use megabrain_schemas::{Name, WorkReport, subject};

use crate::Brain;

/// What each instance has taken and not answered yet, as of the reports read so far.
pub struct Works {
    reports: EventStream<WorkReport>,
    open: BTreeMap<Name, BTreeSet<u64>>,
    _bus: Bus,
}

impl Works {
    /// Listens to every process of the brain.
    pub async fn of(brain: &Brain) -> Self {
        let bus = brain.connect(Role::Admin).await;
        let reports = bus.events(subject::event::WORK, None).await.expect("events");
        bus.flush().await.expect("the bus");
        Self { reports, open: BTreeMap::new(), _bus: bus }
    }

    /// The keys ([`megabrain_runtime::work_key`]) of the requests that an instance has.
    pub fn of_instance(&self, instance: &Name) -> BTreeSet<u64> {
        self.open.get(instance).cloned().unwrap_or_default()
    }

    /// How many requests all instances have.
    pub fn count(&self) -> usize {
        self.open.values().map(BTreeSet::len).sum()
    }

    /// Reads reports until it `is_so`.
    pub async fn until(&mut self, limit: Duration, what: &str, is_so: impl Fn(&Self) -> bool) {
        let read = async {
            while !is_so(self) {
                let report = self.reports.next().await.expect("the bus");
                let open = self.open.entry(report.who).or_default();
                open.extend(report.body.taken);
                open.retain(|key| !report.body.finished.contains(key));
            }
        };
        let outcome = tokio::time::timeout(limit, read).await;
        assert!(outcome.is_ok(), "no {what} after {limit:?}: {:?}", self.open);
    }
}
