//! What does Prometheus read of jobs? Every change of a record, counted by the node that made it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::record::{Record, Status, Told};

/// The counts. Cheap to clone; clones count together.
#[derive(Clone)]
pub(crate) struct Counted {
    accepted: Counter,
    attempts: Counter,
    ended: Family<Ended, Counter>,
    tries: Family<Tried, Counter>,
    waiting: Family<Task, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tried {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Task {
    task: &'static str,
}

impl Counted {
    /// Everything at zero: what has not happened yet is told, too.
    pub(super) fn new() -> Self {
        let (ended, tries) = (Family::<Ended, Counter>::default(), Family::<Tried, Counter>::default());
        for status in [Status::Succeeded, Status::Failed, Status::Cancelled] {
            drop(ended.get_or_create(&Ended { status: status.as_str() }));
        }
        for told in [Told::Delivered, Told::Pending, Told::Failed] {
            drop(tries.get_or_create(&Tried { outcome: outcome(told) }));
        }
        Self { accepted: Counter::default(), attempts: Counter::default(), ended, tries, waiting: Family::default() }
    }

    /// Has the registry write them.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("jobs_accepted", "Jobs taken in by this node", self.accepted.clone());
        registry.register("job_attempts", "How often this node began a job", self.attempts.clone());
        registry.register("jobs_ended", "Jobs ended by this node", self.ended.clone());
        registry.register("job_callbacks", "Calls of this node to callback_url", self.tries.clone());
        registry.register("job_tasks", "Jobs and callbacks of the brain that are not done", self.waiting.clone());
    }

    /// A record was changed.
    pub(super) fn changed(&self, before: &Record, after: &Record) {
        if after.accepted && !before.accepted {
            self.accepted.inc();
        }
        if after.status == Status::Running && after.work != before.work {
            self.attempts.inc();
        }
        if after.status.is_end() && !before.status.is_end() {
            self.ended.get_or_create(&Ended { status: after.status.as_str() }).inc();
        }
        let tries = |record: &Record| record.callback.as_ref().map_or(0, |callback| callback.attempts);
        if let Some(callback) = after.callback.as_ref().filter(|_| tries(after) > tries(before)) {
            self.tries.get_or_create(&Tried { outcome: outcome(callback.status) }).inc();
        }
    }

    /// So many jobs and callbacks are not done; nothing, where the bus does not tell.
    pub(super) fn waiting(&self, tasks: Option<(u64, u64)>) {
        let Some((jobs, callbacks)) = tasks else { return self.waiting.clear() };
        for (task, count) in [("job", jobs), ("callback", callbacks)] {
            self.waiting.get_or_create(&Task { task }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

/// What came of one call.
fn outcome(told: Told) -> &'static str {
    match told {
        Told::Delivered => "delivered",
        Told::Pending => "again",
        Told::Failed => "given_up",
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{Capability, Fault, FaultKind, Name};
    use prometheus_client::encoding::text;

    use super::*;
    use crate::jobs::record::{Callback, End};

    #[test]
    fn every_change_is_counted_as_what_it_is() {
        let mut registry = Registry::default();
        let counted = Counted::new();
        counted.register(&mut registry);
        let step = |before: Record, after: Option<Record>| {
            let after = after.unwrap();
            counted.changed(&before, &after);
            after
        };
        let url = Some("http://127.0.0.1/".to_owned());
        let made = Record::new(None, Capability::new("echo").unwrap(), None, url);
        let accepted = step(made.clone(), Some(Record { accepted: true, ..made }));
        let (first, second) = (Name::sanitized("w1"), Name::sanitized("w2"));
        let lost = Fault::new(FaultKind::WorkerLost, "dead");
        let running = step(accepted.clone(), accepted.begun(&first));
        let back = step(running.clone(), running.put_back(&first, &lost));
        let again = step(back.clone(), back.begun(&second));
        let ended = step(again.clone(), again.ended(&second, &End::Answered(7)));
        let told = |attempts, status| {
            let callback = ended.callback.clone().map(|callback| Callback { attempts, status, ..callback });
            Some(Record { callback, ..ended.clone() })
        };
        let refused = step(ended.clone(), told(1, Told::Pending));
        step(refused, told(2, Told::Delivered));
        counted.waiting(Some((3, 1)));
        let mut page = String::new();
        text::encode(&mut page, &registry).unwrap();
        let lines = [
            "jobs_accepted_total 1",
            "job_attempts_total 2",
            r#"jobs_ended_total{status="succeeded"} 1"#,
            r#"job_callbacks_total{outcome="again"} 1"#,
            r#"job_callbacks_total{outcome="delivered"} 1"#,
            r#"job_callbacks_total{outcome="given_up"} 0"#,
            r#"jobs_ended_total{status="failed"} 0"#,
            r#"job_tasks{task="job"} 3"#,
            r#"job_tasks{task="callback"} 1"#,
        ];
        for line in lines {
            assert!(page.lines().any(|told| told == line), "{line} is not in {page}");
        }
    }
}
