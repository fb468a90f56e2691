//! Where do answers come in? On one wildcard subscription, shared out by the last token of the reply subject.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use async_nats::{Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use megabrain_schemas::{Fault, FaultKind, FaultReply, headers};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

/// One message that came back: the body, or why there will be none.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// An answer or a frame; `is_fault` if the headers say that it is a fault.
    Body { payload: Bytes, is_fault: bool },
    /// The server knows nobody who listens where the request went.
    NoResponders,
    /// The link broke, or this waiter read too slowly.
    Lost(Fault),
}

enum Waiter {
    Once(oneshot::Sender<Arrival>),
    Stream(mpsc::Sender<Arrival>),
}

/// The open calls of one connection.
pub(crate) struct Inbox {
    prefix: String,
    next: AtomicU64,
    waiters: Mutex<HashMap<u64, Waiter>>,
    late_terminals: AtomicU64,
}

/// A place in the inbox. Dropping it gives the place up.
pub(crate) struct Place {
    inbox: Arc<Inbox>,
    token: u64,
    pub(crate) reply: Subject,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inbox.lock().remove(&self.token);
    }
}

impl Inbox {
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix, next: AtomicU64::new(0), waiters: Mutex::new(HashMap::new()), late_terminals: AtomicU64::new(0) }
    }

    pub(crate) fn wildcard(&self) -> String {
        format!("{}.*", self.prefix)
    }

    pub(crate) fn late_terminals(&self) -> u64 {
        self.late_terminals.load(Ordering::Relaxed)
    }

    /// Opens a place for one answer.
    pub(crate) fn expect_one(self: &Arc<Self>) -> (Place, oneshot::Receiver<Arrival>) {
        let (sender, receiver) = oneshot::channel();
        (self.open(Waiter::Once(sender)), receiver)
    }

    /// Opens a place for a stream; `capacity` messages wait for a slow reader, then the stream is lost, and said to be.
    pub(crate) fn expect_many(self: &Arc<Self>, capacity: usize) -> (Place, mpsc::Receiver<Arrival>) {
        // One place more, for the word that the stream is lost.
        let (sender, receiver) = mpsc::channel(capacity + 1);
        (self.open(Waiter::Stream(sender)), receiver)
    }

    fn open(self: &Arc<Self>, waiter: Waiter) -> Place {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(token, waiter);
        Place { inbox: self.clone(), token, reply: Subject::from(format!("{}.{token}", self.prefix)) }
    }

    /// Reads answers until the connection is closed. It stays open for this, so whoever is to close it aborts this first.
    pub(crate) fn listen(self: Arc<Self>, mut subscriber: Subscriber) -> AbortHandle {
        let listening = tokio::spawn(async move {
            while let Some(message) = subscriber.next().await {
                self.deliver(message);
            }
        });
        listening.abort_handle()
    }

    /// Ends every open call with `fault`.
    pub(crate) fn fail_all(&self, fault: &Fault) {
        let waiters = std::mem::take(&mut *self.lock());
        for waiter in waiters.into_values() {
            match waiter {
                Waiter::Once(sender) => drop(sender.send(Arrival::Lost(fault.clone()))),
                Waiter::Stream(sender) => drop(sender.try_send(Arrival::Lost(fault.clone()))),
            }
        }
    }

    fn deliver(&self, message: Message) {
        // A stream's consumer can be told to deliver here what was published elsewhere: that is nobody's answer.
        let ours = message.subject.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('.'));
        let Some(token) = ours.and_then(|text| text.parse::<u64>().ok()) else {
            return;
        };
        let mut waiters = self.lock();
        match waiters.get(&token) {
            Some(Waiter::Once(_)) => {
                if let Some(Waiter::Once(sender)) = waiters.remove(&token) {
                    // The caller may have given up between the look-up and now: nobody to tell.
                    let _ = sender.send(arrival(message));
                }
            }
            Some(Waiter::Stream(sender)) => {
                let is_full = sender.capacity() <= 1;
                let arrival = if is_full { Arrival::Lost(read_too_slowly(sender)) } else { arrival(message) };
                if sender.try_send(arrival).is_err() || is_full {
                    waiters.remove(&token);
                }
            }
            None => {
                drop(waiters);
                if is_terminal(&message) {
                    self.late_terminals.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Waiter>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn arrival(message: Message) -> Arrival {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Arrival::NoResponders;
    }
    let is_fault = message.headers.as_ref().is_some_and(|map| map.get(headers::SERVICE_ERROR_CODE).is_some());
    Arrival::Body { payload: message.payload, is_fault }
}

/// What becomes of a stream whose frames find no place: of the same kind as a gap, for the rest is lost.
fn read_too_slowly(sender: &mpsc::Sender<Arrival>) -> Fault {
    let waiting = sender.max_capacity() - 1;
    Fault::new(
        FaultKind::WorkerLost,
        format!("the stream was read too slowly: {waiting} frames wait, the rest is lost"),
    )
}

fn is_terminal(message: &Message) -> bool {
    #[derive(serde::Deserialize)]
    struct Done {
        #[serde(default)]
        done: bool,
    }
    message.status.is_none()
        && megabrain_schemas::Codec::detect(None, &message.payload)
            .and_then(|codec| codec.decode::<Done>(&message.payload))
            .is_ok_and(|message| message.done)
}

/// Reads a fault's body; a body that is no fault becomes an `engine` fault that says so.
pub(crate) fn read_fault(payload: &[u8]) -> Fault {
    megabrain_schemas::Codec::detect(None, payload).and_then(|codec| codec.decode::<FaultReply>(payload)).map_or_else(
        |error| Fault::engine(format!("the answer is marked as a fault, yet cannot be read: {error}")),
        |reply| reply.error,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn message(subject: &str) -> Message {
        Message {
            subject: subject.into(),
            reply: None,
            payload: "{}".into(),
            headers: None,
            status: None,
            description: None,
            length: 2,
        }
    }

    #[test]
    fn what_was_published_elsewhere_is_nobodys_answer() {
        let inbox = Arc::new(Inbox::new("_INBOX.me".into()));
        let (place, mut answer) = inbox.expect_one();
        // As a stream's consumer delivers it: to us, with the subject that it was stored under.
        inbox.deliver(message(&format!("user.{}", place.token)));
        inbox.deliver(message(&format!("_INBOX.meadow.{}", place.token)));
        assert!(answer.try_recv().is_err());
        inbox.deliver(message(&place.reply));
        assert!(matches!(answer.try_recv(), Ok(Arrival::Body { .. })));
    }
}
