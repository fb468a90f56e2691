//! How is a job done? Its request goes onto the bus as anybody's does; its answer goes to the journal.

use std::time::Duration;

use megabrain_bus::{Bus, Follower, Journal, JournalEntry, Link, Meta, QueueWorker, Task};
use megabrain_schemas::{Capability, Codec, Fault, FaultKind, Name, Stamp, subject};
use tokio::time::Instant;

use super::keep::Keep;
use super::line::Line;
use super::order::{Order, needs};
use super::record::{End, Record, Status, now};
use super::{JobsConfig, crew, persistently};
use crate::present::Present;

/// A worker that says nothing for so long is taken for dead, and its job goes to another.
const PATIENCE: Duration = Duration::from_secs(10);
/// So often it says that it is there, and looks for an answer that it did not hear.
const BEAT: Duration = Duration::from_secs(3);
/// An answer that was heard is looked for again after so long; it doubles.
const SOON: Duration = Duration::from_millis(5);
/// One look for an answer among what others said takes so long at most, less than a worker may be silent.
const LOOK: Duration = Duration::from_secs(2);
/// When the bus comes back, what is to be answered is answered within about this time; models gave up what they had.
const RETURN: Duration = Duration::from_secs(3);
/// Past its deadline, a model has so long to say so itself.
const GRACE: Duration = Duration::from_secs(2);
/// A job whose process died so often kills processes.
const MOST_LOSSES: u32 = 5;
/// A job that was begun so often without coming to an end never will.
const MOST_ATTEMPTS: u32 = 50;
/// Between attempts; it doubles.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Does jobs, so many at a time.
#[derive(Clone)]
pub(super) struct Runner {
    bus: Bus,
    config: JobsConfig,
    keep: Keep,
    present: Present,
}

impl Runner {
    pub(super) fn new(bus: Bus, config: JobsConfig, keep: Keep, present: Present) -> Self {
        Self { bus, config, keep, present }
    }

    /// Takes jobs out of a line. Once there is one to do so, every node finds the line.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub(super) async fn worker(keep: &Keep, line: &Line) -> Result<QueueWorker, Fault> {
        keep.queue.worker(&line.worker(), &line.tasks(), PATIENCE).await
    }

    /// Works on the jobs of a line.
    pub(super) async fn work(self, line: Line) {
        let worker = persistently(|| Self::worker(&self.keep, &line)).await;
        let at_once = self.config.concurrent;
        crew::work(worker, at_once, |task| self.clone().take(task)).await;
    }

    async fn take(self, mut task: Task) {
        let Some(id) = subject::job_of_task(task.subject()) else { return task.done().await };
        let then = match Order::read(&task.take_payload()) {
            Ok(order) => self.bring_on(order, &task).await,
            Err(fault) => self.refuse(&id, &fault).await,
        };
        match then {
            Ok(Then::Done) => task.done().await,
            Ok(Then::Again(delay)) => task.again_in(delay).await,
            Ok(Then::Leave) => {}
            // The bus is away: the task comes again by itself.
            Err(fault) => tracing::debug!(%fault, job = %id, "a job is left as it is"),
        }
    }

    /// Ends a job that cannot be done: its task is none that this program writes.
    async fn refuse(&self, id: &Name, fault: &Fault) -> Result<Then, Fault> {
        tracing::error!(%fault, job = %id, "a job cannot be read");
        if self.keep.get(id).await?.is_none() {
            return Ok(Then::Done);
        }
        let (record, _) = self.keep.change(id, |record| record.refused(fault)).await?;
        self.follow_up(id, &record).await
    }

    /// Brings a job on, to its end where it can be.
    async fn bring_on(&self, order: Order, task: &Task) -> Result<Then, Fault> {
        let id = &order.id.clone();
        // Kept no longer, or it never was accepted.
        let Some(record) = self.keep.get(id).await? else { return Ok(Then::Done) };
        if record.status.is_end() {
            return self.follow_up(id, &record).await;
        }
        let doing = Doing { id, needs: needs(&record.capability, record.model.as_ref(), &order.body), task };
        if let (Status::Running, Some(work)) = (record.status, &record.work) {
            // One that was answered is not done again because the answer could not be read in time: the task comes again.
            if let Some(answer) = self.search(id, work).look().await? {
                return self.conclude(&doing, work, &answer).await;
            }
            // Whoever worked on it may do so still, for nobody.
            self.bus.cancel(work);
        }
        let work = Meta::new().work;
        let (record, is_begun) = self.keep.change(id, |record| record.begun(&work)).await?;
        if !is_begun {
            return self.follow_up(id, &record).await;
        }
        self.keep.tell(id, &record).await;
        if record.attempts > MOST_ATTEMPTS {
            let message = format!("it was begun {MOST_ATTEMPTS} times and came to no end");
            return self.end(id, &work, &End::Failed(Fault::new(FaultKind::WorkerLost, message))).await;
        }
        match self.attempt(order, &work, task).await? {
            Attempt::Answered(answer) => self.conclude(&doing, &work, &answer).await,
            Attempt::Failed(fault) => self.fail(&doing, &work, fault).await,
            Attempt::Interrupted => {
                self.bus.cancel(&work);
                Ok(Then::Again(FIRST_DELAY))
            }
        }
    }

    /// One attempt, from the request to the answer that is in the journal.
    async fn attempt(&self, mut order: Order, work: &Name, task: &Task) -> Result<Attempt, Fault> {
        let frames = subject::job_frames(&order.id);
        // Heard here as well, so that the journal need not be asked for each frame.
        let mut heard = self.bus.subscribe(&frames, None).await?;
        let mut link = self.bus.watch_link();
        let until = Instant::now() + order.deadline();
        let meta = Meta {
            work: work.clone(),
            deadline: Some(until.into_std()),
            traceparent: order.traceparent.clone(),
            ..Meta::new()
        };
        let request = order.take_request()?;
        self.bus.send_to(&order.subject, &frames, request, &meta).await?;
        let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
        let mut returned: Option<Instant> = None;
        let mut soon: Option<Duration> = None;
        let mut search = self.search(&order.id, work);
        loop {
            tokio::select! {
                message = heard.next() => match message {
                    Some(message) if message.no_responders => {
                        let nobody = format!("nobody serves {} now", order.subject);
                        return Ok(Attempt::Failed(Fault::unavailable(nobody, 1000)));
                    }
                    Some(message) if !is_end(&message.payload, work) => continue,
                    // It may be heard a moment before it is in the journal.
                    Some(_) => soon = Some(SOON),
                    None => return Ok(Attempt::Interrupted),
                },
                _ = beat.tick() => task.still().await,
                changed = link.changed() => {
                    if changed.is_err() {
                        return Ok(Attempt::Interrupted);
                    }
                    returned = (*link.borrow_and_update() == Link::Up).then(Instant::now);
                    continue;
                }
            }
            if let Some(answer) = search.look().await? {
                return Ok(Attempt::Answered(answer));
            }
            if let Some(wait) = &mut soon {
                beat.reset_after(*wait);
                *wait = wait.saturating_mul(2).min(BEAT);
            }
            if returned.is_some_and(|time| time.elapsed() > RETURN) {
                return Ok(Attempt::Interrupted);
            }
            if Instant::now() > until + GRACE {
                self.bus.cancel(work);
                let message = format!("no answer within {:?}", order.deadline());
                return Ok(Attempt::Failed(Fault::new(FaultKind::DeadlineExceeded, message)));
            }
        }
    }

    fn search<'a>(&'a self, id: &Name, work: &'a Name) -> Search<'a> {
        let (journal, frames) = (&self.keep.journal, subject::job_frames(id));
        Search { journal, work, others: journal.follow(&frames, 0), frames }
    }

    async fn conclude(&self, doing: &Doing<'_>, work: &Name, answer: &JournalEntry) -> Result<Then, Fault> {
        match answer.fault() {
            None => self.end(doing.id, work, &End::Answered(answer.seq)).await,
            Some(fault) => self.fail(doing, work, fault).await,
        }
    }

    /// What may pass is tried again; what does not is the end.
    async fn fail(&self, doing: &Doing<'_>, work: &Name, fault: Fault) -> Result<Then, Fault> {
        let Doing { id, task, .. } = doing;
        if !self.may_pass(doing, &fault) {
            return self.end(id, work, &End::Failed(fault)).await;
        }
        let is_given_up = |record: &Record| {
            let too_old = now() > record.created_at.saturating_add(self.config.give_up.as_secs());
            too_old || (fault.kind == FaultKind::WorkerLost && record.losses + 1 >= MOST_LOSSES)
        };
        let change = |record: &Record| match is_given_up(record) {
            true => record.ended(work, &End::Failed(fault.clone())),
            false => record.put_back(work, &fault),
        };
        let (record, is_changed) = self.keep.change(id, change).await?;
        if record.status.is_end() || !is_changed {
            return self.follow_up(id, &record).await;
        }
        self.keep.tell(id, &record).await;
        let told = Duration::from_millis(fault.retry_after_ms.unwrap_or(0));
        Ok(Then::Again(delay(task.deliveries()).max(told.min(LONGEST_DELAY))))
    }

    /// True if the same work may come to a better end another time.
    fn may_pass(&self, doing: &Doing<'_>, fault: &Fault) -> bool {
        match fault.kind {
            FaultKind::Overloaded | FaultKind::Unavailable | FaultKind::WorkerLost => true,
            // Who is needed may not be there yet, or not any more: a machine may be off at night. If they are there, they
            // have said that something else is missing.
            FaultKind::NotFound => {
                doing.needs.iter().any(|(capability, model)| !self.present.serves(capability, model.as_ref()))
            }
            _ => false,
        }
    }

    async fn end(&self, id: &Name, work: &Name, end: &End) -> Result<Then, Fault> {
        let (record, _) = self.keep.change(id, |record| record.ended(work, end)).await?;
        self.follow_up(id, &record).await
    }

    /// What follows an end. Where there is none, another attempt has the job, and this one has nothing more to say of it.
    async fn follow_up(&self, id: &Name, record: &Record) -> Result<Then, Fault> {
        if !record.status.is_end() {
            return Ok(Then::Leave);
        }
        self.keep.follow_up(id, record).await?;
        Ok(Then::Done)
    }
}

/// A job that was taken out of its line.
struct Doing<'a> {
    id: &'a Name,
    /// Who is needed to do it.
    needs: Vec<(Capability, Option<Name>)>,
    task: &'a Task,
}

/// What is to become of a task.
enum Then {
    /// Nothing is left to do.
    Done,
    /// It is to be given out again, after so long.
    Again(Duration),
    /// It was given out again already.
    Leave,
}

/// What became of one attempt.
enum Attempt {
    /// It was answered, perhaps with a fault.
    Answered(JournalEntry),
    Failed(Fault),
    /// Nobody will answer any more, for no fault of the work.
    Interrupted,
}

/// Looks for the answer to one work in the journal.
struct Search<'a> {
    journal: &'a Journal,
    work: &'a Name,
    frames: String,
    /// Reads what others said there, each of it once.
    others: Follower,
}

impl Search<'_> {
    /// The answer, if it is in the journal. Nearly always it is the last that was said. But anybody may have a model
    /// write to any inbox, and an attempt that was given up may be answered late.
    async fn look(&mut self) -> Result<Option<JournalEntry>, Fault> {
        let Some(last) = self.journal.last(&self.frames).await? else { return Ok(None) };
        let Some(is_end) = end_of(&last.payload, self.work) else { return self.look_behind(last.seq).await };
        // A work's answer is the last that it says.
        Ok(is_end.then_some(last))
    }

    /// The answer, if it stands before this entry. The next look goes on where this one ended.
    ///
    /// # Errors
    /// `unavailable` if what stands there cannot be read in time: it may be among it.
    async fn look_behind(&mut self, last: u64) -> Result<Option<JournalEntry>, Fault> {
        let work = self.work;
        let found = self.others.find(last, |entry| is_end(&entry.payload, work));
        let late = |_| Fault::unavailable("what was said in the job cannot be read now", 1000);
        tokio::time::timeout(LOOK, found).await.map_err(late)
    }
}

/// True of the answer to this work. Anybody may have a model write to any inbox, and a journal is one: the work's id,
/// which nobody else knows, tells ours.
fn is_end(payload: &[u8], work: &Name) -> bool {
    end_of(payload, work).unwrap_or(false)
}

/// Whether this is the answer; `None` if it is of another work.
fn end_of(payload: &[u8], work: &Name) -> Option<bool> {
    let stamp = Codec::detect(None, payload).and_then(|codec| codec.decode::<Stamp>(payload)).ok()?;
    (stamp.work.as_ref() == Some(work)).then_some(stamp.done)
}

/// How long a task waits that was given out so often.
fn delay(deliveries: u32) -> Duration {
    FIRST_DELAY.saturating_mul(1 << deliveries.saturating_sub(1).min(10)).min(LONGEST_DELAY)
}
