//! What is true of a job? Its record says: changed by compare-and-set only, and at its end but once.

use std::time::{SystemTime, UNIX_EPOCH};

use megabrain_schemas::{Capability, Fault, FaultKind, Name};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl Status {
    pub(super) fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// As it is written.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Who is to be told, and whether that was done.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Callback {
    pub(super) url: String,
    pub(super) status: Told,
    /// Tries so far.
    pub(super) attempts: u32,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    Pending,
    Delivered,
    Failed,
}

/// One job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// The key that it was made with, if keys are asked for: nobody else sees it.
    pub(super) owner: Option<Name>,
    pub(super) capability: Capability,
    pub(super) model: Option<Name>,
    pub(super) status: Status,
    /// True once its task is in the queue.
    pub(super) accepted: bool,
    /// Seconds since 1970, as of all times here.
    pub(super) created_at: u64,
    pub(super) started_at: Option<u64>,
    pub(super) ended_at: Option<u64>,
    /// How often it was begun.
    pub(super) attempts: u32,
    /// How often the process that worked on it died.
    pub(super) losses: u32,
    /// The work that it is now, or was last.
    pub(super) work: Option<Name>,
    /// Number of its answer in the journal.
    pub(super) answer: Option<u64>,
    /// Why it failed.
    pub(super) fault: Option<Fault>,
    pub(super) callback: Option<Callback>,
}

/// Characters of a reason that a record keeps: all records together have a bound.
const LONGEST_REASON: usize = 400;

/// A reason as a record keeps it.
fn kept(fault: &Fault) -> Fault {
    Fault { message: shortened(&fault.message), ..fault.clone() }
}

/// A text that is not longer than a record keeps it.
pub(super) fn shortened(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}

/// How a job ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// With the answer of this number in the journal.
    Answered(u64),
    Failed(Fault),
}

impl Record {
    /// A job that was just handed in.
    pub(super) fn new(
        owner: Option<Name>,
        capability: Capability,
        model: Option<Name>,
        callback_url: Option<String>,
    ) -> Self {
        Self {
            owner,
            capability,
            model,
            status: Status::Queued,
            accepted: false,
            created_at: now(),
            started_at: None,
            ended_at: None,
            attempts: 0,
            losses: 0,
            work: None,
            answer: None,
            fault: None,
            callback: callback_url.map(|url| Callback { url, status: Told::Pending, attempts: 0, error: None }),
        }
    }

    /// A new attempt, as this work; `None` if it has ended.
    pub(super) fn begun(&self, work: &Name) -> Option<Self> {
        (!self.status.is_end()).then(|| Self {
            status: Status::Running,
            accepted: true,
            started_at: Some(now()),
            attempts: self.attempts + 1,
            work: Some(work.clone()),
            ..self.clone()
        })
    }

    /// The end of the attempt that is this work; `None` if it has ended, or another attempt has begun.
    pub(super) fn ended(&self, work: &Name, end: &End) -> Option<Self> {
        let ended = Self { ended_at: Some(now()), ..self.if_running(work)?.clone() };
        Some(match end {
            End::Answered(seq) => Self { status: Status::Succeeded, answer: Some(*seq), ..ended },
            End::Failed(fault) if fault.kind == FaultKind::Cancelled => {
                Self { status: Status::Cancelled, fault: Some(kept(fault)), ..ended }
            }
            End::Failed(fault) => Self { status: Status::Failed, fault: Some(kept(fault)), ..ended },
        })
    }

    /// Back in the queue, since this came instead of an answer.
    pub(super) fn put_back(&self, work: &Name, fault: &Fault) -> Option<Self> {
        let back = Self { status: Status::Queued, work: None, ..self.if_running(work)?.clone() };
        Some(match fault.kind {
            FaultKind::WorkerLost => Self { losses: self.losses + 1, ..back },
            // It promises that nothing was done.
            _ => Self { attempts: self.attempts - 1, ..back },
        })
    }

    /// Failed before anybody could begin it, unless it has ended.
    pub(super) fn refused(&self, fault: &Fault) -> Option<Self> {
        let refused = Self { status: Status::Failed, ended_at: Some(now()), fault: Some(kept(fault)), ..self.clone() };
        (!self.status.is_end()).then_some(refused)
    }

    /// Cancelled, unless it has ended.
    pub(super) fn cancelled(&self) -> Option<Self> {
        let fault = Fault::new(FaultKind::Cancelled, "the job was cancelled");
        (!self.status.is_end()).then(|| Self {
            status: Status::Cancelled,
            ended_at: Some(now()),
            fault: Some(fault),
            ..self.clone()
        })
    }

    fn if_running(&self, work: &Name) -> Option<&Self> {
        (self.status == Status::Running && self.work.as_ref() == Some(work)).then_some(self)
    }

    /// As its owner sees it.
    pub(super) fn public(&self, id: &Name, result: Option<Value>) -> Value {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                fields.insert(name.into(), value);
            }
        };
        put("id", json!(id));
        put("object", json!("job"));
        put("status", json!(self.status));
        put("capability", json!(self.capability));
        put("model", json!(self.model));
        put("created_at", json!(self.created_at));
        put("started_at", json!(self.started_at));
        put("ended_at", json!(self.ended_at));
        put("attempts", json!(self.attempts));
        put("callback", json!(self.callback));
        put("result", result.unwrap_or_default());
        put("error", json!(self.fault));
        Value::Object(fields)
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued() -> Record {
        Record::new(None, Capability::new("echo").unwrap(), None, None)
    }

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn a_job_ends_once_and_only_by_its_last_attempt() {
        let first = queued().begun(&name("w1")).unwrap();
        let second = first.begun(&name("w2")).unwrap();
        assert_eq!((second.attempts, second.status), (2, Status::Running));
        assert!(second.ended(&name("w1"), &End::Answered(7)).is_none(), "an attempt that was given up");
        let done = second.ended(&name("w2"), &End::Answered(9)).unwrap();
        assert_eq!((done.status, done.answer), (Status::Succeeded, Some(9)));
        assert!(done.ended(&name("w2"), &End::Answered(9)).is_none());
        assert!(done.begun(&name("w3")).is_none() && done.cancelled().is_none());
    }

    #[test]
    fn what_never_ran_is_no_attempt_and_a_death_is_a_loss() {
        let running = queued().begun(&name("w")).unwrap();
        let busy = running.put_back(&name("w"), &Fault::new(FaultKind::Overloaded, "full")).unwrap();
        assert_eq!((busy.attempts, busy.losses, busy.status), (0, 0, Status::Queued));
        let lost = running.put_back(&name("w"), &Fault::new(FaultKind::WorkerLost, "dead")).unwrap();
        assert_eq!((lost.attempts, lost.losses), (1, 1));
        assert!(lost.put_back(&name("w"), &Fault::new(FaultKind::WorkerLost, "dead")).is_none());
    }

    #[test]
    fn an_owner_sees_neither_keys_nor_works() {
        let shown =
            queued().begun(&name("secret")).unwrap().public(&name("j"), Some(json!({ "text": "x" }))).to_string();
        assert!(shown.contains(r#""status":"running""#) && shown.contains(r#""result":{"text":"x"}"#), "{shown}");
        assert!(!shown.contains("secret") && !shown.contains("owner"), "{shown}");
    }
}
