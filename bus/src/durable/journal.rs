//! How is what was said read again, and then what is said next, without a gap? From a journal that numbers everything.

use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::stream::{self, LastRawMessageErrorKind, RawMessageErrorKind};
use async_nats::jetstream::{self, message};
use bytes::Bytes;
use futures::StreamExt as _;
use megabrain_schemas::{Fault, headers};

use super::{Keeping, not_kept, open};
use crate::{Bus, inbox};

/// After a failure, a follower looks again in so long.
const PAUSE: Duration = Duration::from_millis(200);

/// Everything that was said on some subjects, numbered. Cheap to clone.
#[derive(Clone)]
pub struct Journal(stream::Stream);

/// One thing that was said.
#[derive(Clone, Debug)]
pub struct JournalEntry {
    /// Its number in the journal; numbers grow, and have gaps where other subjects' entries are.
    pub seq: u64,
    /// Where it was said.
    pub subject: String,
    /// The body.
    pub payload: Bytes,
    is_fault: bool,
}

impl JournalEntry {
    /// The fault that this is, if its headers say that it is one.
    pub fn fault(&self) -> Option<Fault> {
        self.is_fault.then(|| inbox::read_fault(&self.payload))
    }
}

impl Bus {
    /// Opens the journal of this name on these subjects; makes it first if it is not there. The oldest goes first.
    ///
    /// # Errors
    /// `unavailable` if JetStream is off or away, or this role may not.
    pub async fn journal(&self, name: &str, subjects: &[&str], keeping: Keeping) -> Result<Journal, Fault> {
        let context = jetstream::new(self.client().clone());
        let config = stream::Config {
            // Whoever speaks here speaks to its caller, who would take the server's word for an answer.
            no_ack: true,
            allow_direct: false,
            ..keeping.stream(name, subjects.iter().map(|&subject| subject.to_owned()).collect())
        };
        open(&context, config).await.map(Journal)
    }
}

impl Journal {
    /// The last entry of a subject.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn last(&self, subject: &str) -> Result<Option<JournalEntry>, Fault> {
        match self.0.get_last_raw_message_by_subject(subject).await {
            Ok(message) => Ok(Some(stored(message))),
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(not_kept(&error)),
        }
    }

    /// The entry of a number, if it is still there.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn read(&self, seq: u64) -> Result<Option<JournalEntry>, Fault> {
        match self.0.get_raw_message(seq).await {
            Ok(message) => Ok(Some(stored(message))),
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
            Err(error) => Err(not_kept(&error)),
        }
    }

    /// The number that the next entry will have at least.
    ///
    /// # Errors
    /// `unavailable` if the bus is away.
    pub async fn next_seq(&self) -> Result<u64, Fault> {
        let info = self.0.get_info().await.map_err(|error| not_kept(&error))?;
        Ok(info.state.last_sequence + 1)
    }

    async fn read_from(&self, subject: &str, seq: u64) -> Result<pull::Ordered, Fault> {
        let config = pull::OrderedConfig {
            filter_subject: subject.to_owned(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: seq },
            ..pull::OrderedConfig::default()
        };
        let consumer = self.0.create_consumer(config).await.map_err(|error| not_kept(&error))?;
        consumer.messages().await.map_err(|error| not_kept(&error))
    }

    /// Reads a subject, which may have wildcards, from a number on, and then what comes.
    pub fn follow(&self, subject: &str, from: u64) -> Follower {
        Follower { journal: self.clone(), subject: subject.to_owned(), next: from.max(1), messages: None }
    }
}

/// Reads on for ever, past every failure of the bus.
pub struct Follower {
    journal: Journal,
    subject: String,
    next: u64,
    messages: Option<pull::Ordered>,
}

impl Follower {
    /// Reads on, at most to the entry of this number, and gives the first that `is_it`. What was read is not read
    /// again. Cancel-safe.
    pub async fn find(&mut self, last: u64, mut is_it: impl FnMut(&JournalEntry) -> bool) -> Option<JournalEntry> {
        while self.next <= last {
            let entry = self.next().await;
            if is_it(&entry) {
                return Some(entry);
            }
        }
        // Until it is asked again, the server need send nothing.
        self.messages = None;
        None
    }

    /// The next entry, however long it takes to come. Cancel-safe.
    pub async fn next(&mut self) -> JournalEntry {
        loop {
            let Some(messages) = &mut self.messages else {
                match self.journal.read_from(&self.subject, self.next).await {
                    Ok(messages) => self.messages = Some(messages),
                    Err(fault) => {
                        tracing::debug!(%fault, "the journal is not there");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                continue;
            };
            match messages.next().await {
                Some(Ok(message)) => {
                    let entry = delivered(message);
                    // A follower that opened again may be given what it had.
                    if entry.seq >= self.next {
                        self.next = entry.seq + 1;
                        return entry;
                    }
                }
                gone => {
                    let error = gone.and_then(Result::err).map(|error| error.to_string()).unwrap_or_default();
                    tracing::debug!(%error, "the journal is opened again");
                    self.messages = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn stored(message: message::StreamMessage) -> JournalEntry {
    JournalEntry {
        seq: message.sequence,
        subject: message.subject.to_string(),
        is_fault: message.headers.get(headers::SERVICE_ERROR_CODE).is_some(),
        payload: message.payload,
    }
}

fn delivered(message: jetstream::Message) -> JournalEntry {
    let seq = message.info().map_or(0, |info| info.stream_sequence);
    let message = message.message;
    JournalEntry {
        seq,
        subject: message.subject.to_string(),
        is_fault: message.headers.is_some_and(|map| map.get(headers::SERVICE_ERROR_CODE).is_some()),
        payload: message.payload,
    }
}
