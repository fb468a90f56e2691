//! Where is a job kept? Its task in a queue, what is true of it in a record, what its models said in a journal.

use megabrain_bus::{Bus, Journal, Keeping, Queue, Records};
use megabrain_schemas::{Codec, Fault, FaultKind, Name, subject};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::JobsConfig;
use super::counted::Counted;
use super::line::Line;
use super::record::{Record, Told};
use super::whole::whole;

/// Jobs to be done.
const QUEUE: &str = "mb_job_queue";
/// Callbacks to be made. A full queue takes no more jobs, and each that ends may still be told.
const CALLBACKS: &str = "mb_job_callbacks";
/// What is true of each job.
const RECORDS: &str = "mb_jobs";
/// What was said in each job, and how its status changed.
const JOURNAL: &str = "mb_job_journal";
/// Records are small: all of them may take this part of what answers may.
const RECORDS_PART: u64 = 8;

/// By so many bytes a record grows from its first state to its last: with why it failed, and why its callback did.
const GROWTH: u64 = 2048;

/// Answers larger than this are read on a thread that may take its time.
const LARGE: usize = 64 * 1024;

/// Where jobs are kept. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keep {
    bus: Bus,
    pub(super) queue: Queue,
    pub(super) callbacks: Queue,
    pub(super) records: Records,
    pub(super) journal: Journal,
    counted: Counted,
}

/// Which job a client's own key stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    pub(super) id: Name,
    pub(super) fingerprint: String,
}

impl Keep {
    pub(super) async fn open(bus: &Bus, config: &JobsConfig, counted: Counted) -> Result<Self, Fault> {
        let keeping = Keeping { life: config.keep, max_bytes: config.max_bytes.as_u64() };
        let records = Keeping { max_bytes: keeping.max_bytes / RECORDS_PART, ..keeping };
        Ok(Self {
            bus: bus.clone(),
            queue: bus.queue(QUEUE, &[&subject::job_task("*", ">")], keeping).await?,
            callbacks: bus.queue(CALLBACKS, &[&subject::job_callback("*")], keeping).await?,
            records: bus.records(RECORDS, records).await?,
            journal: bus.journal(JOURNAL, &[&subject::job_frames("*"), &subject::job_status("*")], keeping).await?,
            counted,
        })
    }

    pub(super) async fn get(&self, id: &Name) -> Result<Option<Record>, Fault> {
        Ok(self.records.get(&key(id)).await?.map(|(record, _)| record))
    }

    /// Makes sure that one job more can be kept, and all of them be ended.
    ///
    /// # Errors
    /// `overloaded` if as many jobs are kept as there is room for, `unavailable` if the bus is away.
    pub(super) async fn check_room(&self) -> Result<(), Fault> {
        let (jobs, callbacks) = self.waiting().await?;
        if self.records.is_full(GROWTH * (jobs + callbacks + 1)).await? {
            let message = "as many jobs are kept as there is room for: [gateway.jobs] has `max_bytes` and `keep`";
            return Err(Fault::new(FaultKind::Overloaded, message).retry_after(30_000));
        }
        Ok(())
    }

    pub(super) async fn create(&self, id: &Name, record: &Record) -> Result<bool, Fault> {
        self.records.create(&key(id), record).await
    }

    /// Forgets a job that was not accepted.
    pub(super) async fn forget(&self, id: &Name) {
        if let Err(fault) = self.records.remove(&key(id)).await {
            tracing::debug!(%fault, job = %id, "a job that was not accepted is kept until its time is over");
        }
    }

    /// Changes a record.
    ///
    /// # Errors
    /// As [`Records::change`].
    pub(super) async fn change(
        &self,
        id: &Name,
        mut change: impl FnMut(&Record) -> Option<Record>,
    ) -> Result<(Record, bool), Fault> {
        let mut before = None;
        let noted = |record: &Record| {
            before = Some(record.clone());
            change(record)
        };
        let (after, is_changed) = self.records.change(&key(id), noted).await?;
        if let Some(before) = before.filter(|_| is_changed) {
            self.counted.changed(&before, &after);
        }
        Ok((after, is_changed))
    }

    /// Every line that somebody has opened.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn lines(&self) -> Result<Vec<Line>, Fault> {
        Ok(self.queue.worked_on().await?.iter().filter_map(|tasks| Line::of_tasks(tasks)).collect())
    }

    /// Jobs and callbacks that are not done.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn waiting(&self) -> Result<(u64, u64), Fault> {
        tokio::try_join!(self.queue.left(), self.callbacks.left())
    }

    /// Tells the status of a job to whoever follows it.
    pub(super) async fn tell(&self, id: &Name, record: &Record) {
        let status = Value::to_string(&record.public(id, None));
        if let Err(fault) = self.bus.publish(&subject::job_status(id), None, status.into()).await {
            tracing::debug!(%fault, "a status was not told");
        }
    }

    /// What follows an end: its status is told, and its callback put in the queue. Done again, it does no harm.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn follow_up(&self, id: &Name, record: &Record) -> Result<(), Fault> {
        self.tell(id, record).await;
        let pending = record.callback.as_ref().is_some_and(|callback| callback.status == Told::Pending);
        if pending {
            let task = id.as_str().to_owned().into();
            self.callbacks.put(subject::job_callback(id), &format!("{id}.callback"), task).await?;
        }
        Ok(())
    }

    /// The answer of a job that has one.
    ///
    /// # Errors
    /// `unavailable` if the bus is away; `not_found` if it was kept for its time and is gone.
    pub(super) async fn answer(&self, id: &Name, record: &Record) -> Result<Option<Value>, Fault> {
        let Some(seq) = record.answer else { return Ok(None) };
        let gone = || Fault::new(FaultKind::NotFound, "the answer is kept no longer");
        let entry = self.journal.read(seq).await?.ok_or_else(gone)?;
        // The node has one thread.
        let is_large = entry.payload.len() > LARGE;
        let read = move || Codec::detect(None, &entry.payload).and_then(|codec| codec.decode::<Value>(&entry.payload));
        let read = if is_large {
            tokio::task::spawn_blocking(read).await.map_err(|error| unreadable(&error))?
        } else {
            read()
        };
        let answer = read.map_err(|error| unreadable(&error))?;
        whole(&self.journal, id, record, seq, answer).await.map(Some)
    }

    /// A job as its owner sees it, with its answer. Of one that is kept no longer it is said that it is.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn told(&self, id: &Name, record: &Record) -> Result<Value, Fault> {
        let (result, is_gone) = match self.answer(id, record).await {
            Err(fault) if fault.kind == FaultKind::NotFound => (None, true),
            answer => (answer?, false),
        };
        let mut told = record.public(id, result);
        if let (true, Some(fields)) = (is_gone, told.as_object_mut()) {
            fields.insert("result_expired".into(), true.into());
        }
        Ok(told)
    }

    /// The job that a client's own key stands for, if it came before.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn claimed(&self, key: &str) -> Result<Option<Claim>, Fault> {
        Ok(self.records.get(key).await?.map(|(claim, _)| claim))
    }

    /// The job that a client's own key stands for: this one, if the key is new.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn claim(&self, key: &str, claim: Claim) -> Result<Claim, Fault> {
        if self.records.create(key, &claim).await? {
            return Ok(claim);
        }
        Ok(self.records.get(key).await?.map_or(claim, |(claim, _)| claim))
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Fault {
    Fault::engine(format!("the answer cannot be read: {error}"))
}

fn key(id: &Name) -> String {
    format!("job.{id}")
}
