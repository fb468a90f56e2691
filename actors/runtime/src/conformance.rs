//! Does an actor keep the promises that every actor makes? Checks to be run against one that serves on a real bus.
//!
//! The kit knows no model: it is given requests of the actor's own. Each check says what was promised and what came
//! instead; a test calls [`Kit::check`] and expects `Ok`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_bus::{Bus, Meta, RawMessage, RawSubscription};
use megabrain_schemas::{Capability, Codec, Fault, FaultKind, FaultReply, Name, Presence, Stamp, subject};

/// After a terminal answer, this long nothing may follow.
const QUIET: Duration = Duration::from_millis(300);
/// A cancel or a deadline ends running work within this: 100 ms or one step, and the way there and back.
const PROMPT: Duration = Duration::from_millis(500);

/// One actor, and requests to try it with.
pub struct Kit {
    /// A connection with a client's rights.
    pub bus: Bus,
    /// The model to check.
    pub model: Name,
    /// The capability to check.
    pub capability: Capability,
    /// A request in JSON that is answered soon.
    pub short: String,
    /// A request in JSON that takes seconds.
    pub long: String,
    /// How long `short` may take.
    pub patience: Duration,
}

/// A promise that was not kept.
#[derive(Debug, thiserror::Error)]
#[error("{promise}: {instead}")]
pub struct Broken {
    promise: &'static str,
    instead: String,
}

impl Kit {
    /// Runs every check, one after the other.
    ///
    /// # Errors
    /// The first promise that is not kept.
    pub async fn check(&self) -> Result<(), Broken> {
        self.one_terminal_and_nothing_after_it().await?;
        self.bad_input_is_an_invalid_request().await?;
        self.a_cancel_ends_running_work().await?;
        self.a_deadline_ends_running_work().await?;
        self.work_that_ended_in_time_is_forgotten().await?;
        self.a_dropped_caller_frees_its_slot().await
    }

    async fn one_terminal_and_nothing_after_it(&self) -> Result<(), Broken> {
        let promise = "a request gets exactly one terminal answer and nothing after it";
        let (mut inbox, reply) = self.inbox("terminal").await?;
        self.publish(&self.short, &reply).await?;
        let mut expected = 0;
        loop {
            let message = next(&mut inbox, self.patience, promise).await?;
            let stamp = stamp(&message, promise)?;
            if stamp.done {
                break;
            }
            if stamp.seq != Some(expected) {
                return broken(promise, format!("frame {expected} is numbered {:?}", stamp.seq));
            }
            expected += 1;
        }
        match tokio::time::timeout(QUIET, inbox.next()).await {
            Ok(Some(more)) => broken(promise, format!("after the end came {:?}", more.payload)),
            _ => Ok(()),
        }
    }

    async fn bad_input_is_an_invalid_request(&self) -> Result<(), Broken> {
        let promise = "what cannot be understood is `invalid_request`";
        for bad in ["", "{", "[]", "\"text\"", "{\"deadline_ms\":\"soon\"}"] {
            let (mut inbox, reply) = self.inbox("bad").await?;
            self.publish(bad, &reply).await?;
            let fault = read_fault(&next(&mut inbox, self.patience, promise).await?, promise)?;
            if fault.kind != FaultKind::InvalidRequest {
                return broken(promise, format!("{bad:?} is answered {fault}"));
            }
        }
        Ok(())
    }

    async fn a_cancel_ends_running_work(&self) -> Result<(), Broken> {
        let promise = "a cancel ends running work at once";
        let meta = Meta::new();
        let call = self.call(meta.clone());
        let cancel = async {
            // Long enough for it to begin: nothing tells a caller of that.
            tokio::time::sleep(Duration::from_millis(300)).await;
            self.bus.cancel(&meta.work);
            Instant::now()
        };
        let (outcome, cancelled) = tokio::join!(call, cancel);
        ended_by(promise, FaultKind::Cancelled, outcome, cancelled)
    }

    async fn a_deadline_ends_running_work(&self) -> Result<(), Broken> {
        let promise = "a deadline ends running work at once";
        let deadline = Instant::now() + Duration::from_millis(300);
        let outcome = self.call(Meta { deadline: Some(deadline), ..Meta::new() }).await;
        ended_by(promise, FaultKind::DeadlineExceeded, outcome, deadline)
    }

    /// A deadline that passes after its work has ended changes nothing.
    async fn work_that_ended_in_time_is_forgotten(&self) -> Result<(), Broken> {
        let promise = "a model goes on working after the deadline of work that ended in time";
        let body = self.short.replacen('{', "{\"deadline_ms\":4000,", 1);
        for pause in [Duration::from_millis(4500), Duration::ZERO] {
            let (mut inbox, reply) = self.inbox("in-time").await?;
            self.publish(&body, &reply).await?;
            let last = loop {
                let message = next(&mut inbox, self.patience, promise).await?;
                if stamp(&message, promise)?.done {
                    break message;
                }
            };
            if let Ok(fault) = read_fault(&last, promise) {
                return broken(promise, format!("it answers {fault}"));
            }
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn a_dropped_caller_frees_its_slot(&self) -> Result<(), Broken> {
        let promise = "a caller that is dropped frees its slot";
        let gone = tokio::time::timeout(Duration::from_millis(200), self.call(Meta::new())).await;
        if gone.is_ok() {
            return broken(promise, "the long request ended in 200 ms: give a longer one".into());
        }
        let events = self.bus.events::<Presence>(subject::event::PRESENCE, None).await;
        let mut events = events.map_err(|fault| Broken { promise, instead: fault.to_string() })?;
        let freed = async {
            while let Some(event) = events.next().await {
                if event.body.model == self.model && event.body.in_flight + event.body.queued == 0 {
                    return;
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(4), freed).await {
            Ok(()) => Ok(()),
            Err(_) => broken(promise, "it is still taken after 4 s".into()),
        }
    }

    async fn call(&self, meta: Meta) -> Result<Bytes, Fault> {
        self.bus.call_raw(&self.subject(), Bytes::from(self.long.clone()), &meta).await
    }

    async fn publish(&self, body: &str, reply: &str) -> Result<(), Broken> {
        let sent = self.bus.publish(&self.subject(), Some(reply), Bytes::from(body.to_owned())).await;
        sent.map_err(|fault| Broken { promise: "a request can be sent", instead: fault.to_string() })
    }

    async fn inbox(&self, what: &str) -> Result<(RawSubscription, String), Broken> {
        let reply = format!("_INBOX.conformance-{}-{}.{what}", self.model, Meta::new().work);
        let inbox = self.bus.subscribe(&reply, None).await;
        let inbox = inbox.map_err(|fault| Broken { promise: "an inbox can be opened", instead: fault.to_string() })?;
        Ok((inbox, reply))
    }

    fn subject(&self) -> String {
        subject::model(&self.capability, &self.model)
    }
}

fn broken(promise: &'static str, instead: String) -> Result<(), Broken> {
    Err(Broken { promise, instead })
}

async fn next(inbox: &mut RawSubscription, patience: Duration, promise: &'static str) -> Result<RawMessage, Broken> {
    match tokio::time::timeout(patience, inbox.next()).await {
        Ok(Some(message)) => Ok(message),
        _ => Err(Broken { promise, instead: format!("nothing came within {patience:?}") }),
    }
}

fn stamp(message: &RawMessage, promise: &'static str) -> Result<Stamp, Broken> {
    let read = Codec::detect(None, &message.payload).and_then(|codec| codec.decode(&message.payload));
    read.map_err(|error| Broken { promise, instead: error.to_string() })
}

fn read_fault(message: &RawMessage, promise: &'static str) -> Result<Fault, Broken> {
    let read = Codec::detect(None, &message.payload).and_then(|codec| codec.decode::<FaultReply>(&message.payload));
    read.map(|reply| reply.error).map_err(|error| Broken { promise, instead: format!("no fault came: {error}") })
}

/// Checks that work ended with this fault, soon after `due`.
fn ended_by(promise: &'static str, kind: FaultKind, outcome: Result<Bytes, Fault>, due: Instant) -> Result<(), Broken> {
    match outcome {
        Err(fault) if fault.kind == kind && due.elapsed() < PROMPT => Ok(()),
        Err(fault) => broken(promise, format!("{:?} later came {fault}", due.elapsed())),
        Ok(_) => broken(promise, "it was answered: give a longer request".into()),
    }
}
