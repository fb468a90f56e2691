//! How is a task done by one of many, and by another if that one dies? It stays in a work queue until it is acknowledged.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, AckKind, stream};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use megabrain_schemas::{Fault, FaultKind};

use super::{Keeping, not_kept, open};
use crate::Bus;

/// A worker asks for a task for so long, and then again: a request that was lost with the connection is made up for.
const ASK: Duration = Duration::from_secs(5);
/// What a task's own head takes of a message: subject, id and the names around them.
const HEAD: usize = 1024;
/// After a failure, a worker asks again in so long.
const PAUSE: Duration = Duration::from_millis(500);

/// Tasks that wait for a worker. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    context: jetstream::Context,
    stream: stream::Stream,
}

impl Bus {
    /// Opens the queue of this name on these subjects; makes it first if it is not there.
    ///
    /// # Errors
    /// `unavailable` if JetStream is off or away, or this role may not.
    pub async fn queue(&self, name: &str, subjects: &[&str], keeping: Keeping) -> Result<Queue, Fault> {
        let context = jetstream::new(self.client().clone());
        let config = stream::Config {
            retention: stream::RetentionPolicy::WorkQueue,
            // A full queue refuses: what was taken in is not dropped for what comes.
            discard: stream::DiscardPolicy::New,
            ..keeping.stream(name, subjects.iter().map(|&subject| subject.to_owned()).collect())
        };
        let stream = open(&context, config).await?;
        Ok(Queue { context, stream })
    }
}

impl Queue {
    /// Makes sure that a task is not larger than a message may be.
    ///
    /// # Errors
    /// `too_large`.
    pub fn check_size(&self, task: &[u8]) -> Result<(), Fault> {
        // The server counts the head, too.
        let limit = self.context.client().max_payload().saturating_sub(HEAD);
        if task.len() <= limit {
            return Ok(());
        }
        let message = format!("a task has {} bytes, this bus takes {limit}: send large media by reference", task.len());
        Err(Fault::new(FaultKind::TooLarge, message))
    }

    /// Puts a task in; when this returns, it is on disk. A second one of the same id, within two minutes, is dropped.
    ///
    /// # Errors
    /// `overloaded` if the queue is full, `too_large` past what a message may have, `unavailable` if the bus is away.
    pub async fn put(&self, subject: String, id: &str, task: Bytes) -> Result<(), Fault> {
        self.check_size(&task)?;
        let message = PublishMessage::build().message_id(id).payload(task);
        let sent = self.context.send_publish(subject, message).await.map_err(|error| not_kept(&error))?;
        match sent.await {
            Ok(_) => Ok(()),
            Err(error) if error.to_string().contains("maximum bytes") => {
                Err(Fault::new(FaultKind::Overloaded, "the queue is full").retry_after(30_000))
            }
            Err(error) => Err(not_kept(&error)),
        }
    }

    /// Tasks that are not done yet.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn left(&self) -> Result<u64, Fault> {
        let info = self.stream.get_info().await.map_err(|error| not_kept(&error))?;
        Ok(info.state.messages)
    }

    /// The subjects that there are workers for.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn worked_on(&self) -> Result<Vec<String>, Fault> {
        let workers = self.stream.consumers().map_ok(|info| info.config.filter_subject);
        workers.try_collect().await.map_err(|error| not_kept(&error))
    }

    /// Works on the tasks of one subject, together with all workers of the same name. A task that its worker says nothing
    /// of for `patience` goes to another.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn worker(&self, name: &str, subject: &str, patience: Duration) -> Result<QueueWorker, Fault> {
        let config = pull::Config {
            durable_name: Some(name.to_owned()),
            filter_subject: subject.to_owned(),
            ack_policy: AckPolicy::Explicit,
            ack_wait: patience,
            // Workers take no more than they can do; those that are to be tried again later must not hold others up.
            max_ack_pending: -1,
            ..pull::Config::default()
        };
        let made = self.stream.create_consumer(config).await;
        made.map(QueueWorker).map_err(|error| not_kept(&error))
    }
}

/// Takes tasks out of a queue, one by one.
pub struct QueueWorker(PullConsumer);

impl QueueWorker {
    /// The next task, however long it takes to come. Dropping this gives up a place in the line and no task that matters:
    /// one that was on its way comes again.
    pub async fn next(&self) -> Task {
        loop {
            let asked = self.0.batch().max_messages(1).expires(ASK).messages().await;
            let Ok(mut messages) = asked.inspect_err(|error| tracing::debug!(%error, "no task")) else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            match tokio::time::timeout(ASK + PAUSE, messages.next()).await {
                Ok(Some(Ok(message))) => return Task(message),
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "no task");
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// A task that is this worker's until it says what became of it. Dropped without a word, it goes to another.
pub struct Task(jetstream::Message);

impl Task {
    /// What is to be done.
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    /// Takes out what is to be done, which need not be kept while it is.
    pub fn take_payload(&mut self) -> Bytes {
        std::mem::take(&mut self.0.message.payload)
    }

    /// Where it was put in.
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// How often it was given out, this time included.
    pub fn deliveries(&self) -> u32 {
        self.0.info().map_or(1, |info| u32::try_from(info.delivered).unwrap_or(u32::MAX))
    }

    /// It is being worked on.
    pub async fn still(&self) {
        self.say(AckKind::Progress).await;
    }

    /// It is done, and goes.
    pub async fn done(self) {
        self.say(AckKind::Ack).await;
    }

    /// It is to be given out again, after a while.
    pub async fn again_in(self, delay: Duration) {
        self.say(AckKind::Nak(Some(delay))).await;
    }

    async fn say(&self, kind: AckKind) {
        // If it is not heard, the task comes again, and what became of it is read in its record.
        if let Err(error) = self.0.ack_with(kind).await {
            tracing::debug!(%error, "a task's worker was not heard");
        }
    }
}
