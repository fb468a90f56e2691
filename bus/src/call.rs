//! How is a question put to the bus and its one answer awaited?

use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use megabrain_schemas::{Capability, Codec, Fault, FaultKind, Name, Request, subject};

use crate::cancel::CancelOnDrop;
use crate::inbox::{Arrival, read_fault};
use crate::publish::Outgoing;
use crate::{Bus, Meta};

/// Past a deadline, the other side is given this long to say so itself.
pub(crate) const GRACE: Duration = Duration::from_millis(500);

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the router, which picks model and instance.
    Router,
    /// To a model.
    Model(Name),
    /// To one instance of a model.
    Instance(Name, Name),
}

impl Target {
    /// The subject of a request for this capability.
    pub fn subject(&self, capability: &Capability) -> String {
        match self {
            Self::Router => subject::capability(capability),
            Self::Model(model) => subject::model(capability, model),
            Self::Instance(model, instance) => subject::instance(capability, model, instance),
        }
    }
}

/// What a call carries beside its request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Work id, deadline, priority, trace.
    pub meta: Meta,
    /// How the request is written.
    pub codec: Codec,
}

impl Default for Call {
    fn default() -> Self {
        Self { meta: Meta::new(), codec: Codec::MessagePack }
    }
}

impl Call {
    /// A call that may take this long.
    pub fn within(time: Duration) -> Self {
        let mut call = Self::default();
        call.meta.deadline = Instant::now().checked_add(time);
        call
    }
}

impl Bus {
    /// Sends a request and waits for its answer.
    ///
    /// Dropping the future before the answer has come cancels the work.
    ///
    /// # Errors
    /// The fault that was answered; `too_large` before sending; `unavailable` if nobody listens there or the bus goes
    /// away; `deadline_exceeded` when the call's time is up.
    pub async fn call<R: Request>(&self, target: &Target, request: &R, call: Call) -> Result<R::Reply, Fault> {
        let (headers, payload) = call.meta.envelope(call.codec, request)?;
        let subject = target.subject(&Capability::of::<R>());
        let body = self.exchange(&subject, headers, payload, &call.meta).await?;
        let read = Codec::detect(None, &body).and_then(|codec| codec.decode(&body));
        read.map_err(|error| unreadable(&subject, &error))
    }

    /// As [`Bus::call`], for a body that is encoded already; gives the answer's body as it came.
    ///
    /// # Errors
    /// As [`Bus::call`].
    pub async fn call_raw(&self, subject: &str, payload: Bytes, meta: &Meta) -> Result<Bytes, Fault> {
        self.exchange(subject, Some(meta.to_headers()), payload, meta).await
    }

    async fn exchange(
        &self,
        subject: &str,
        headers: Option<HeaderMap>,
        payload: Bytes,
        meta: &Meta,
    ) -> Result<Bytes, Fault> {
        let (place, answer) = self.inbox().expect_one();
        self.send(Outgoing { subject: Subject::from(subject), reply: Some(place.reply.clone()), headers, payload })
            .await?;
        let cancel = CancelOnDrop::new(self, meta);
        let arrival = match meta.time_left() {
            None => answer.await.ok(),
            Some(left) => match tokio::time::timeout(left + GRACE, answer).await {
                Ok(arrival) => arrival.ok(),
                Err(_) => return Err(out_of_time(subject)),
            },
        };
        // Where no answer came, the work may still run: dropping the guard cancels it.
        if matches!(arrival, Some(Arrival::Body { .. } | Arrival::NoResponders)) {
            cancel.disarm();
        }
        match arrival {
            Some(Arrival::Body { payload, is_fault: false }) => Ok(payload),
            Some(Arrival::Body { payload, is_fault: true }) => Err(read_fault(&payload)),
            Some(Arrival::NoResponders) => Err(nobody(subject)),
            Some(Arrival::Lost(fault)) => Err(fault),
            None => Err(closed()),
        }
    }

    /// Sends a request whose frames and answer go elsewhere: to a subject that is kept, say.
    ///
    /// # Errors
    /// `too_large` before sending, `unavailable` if the connection is closed.
    pub async fn send_to(&self, subject: &str, reply: &str, payload: Bytes, meta: &Meta) -> Result<(), Fault> {
        let headers = Some(meta.to_headers());
        let (subject, reply) = (Subject::from(subject), Some(Subject::from(reply)));
        self.send(Outgoing { subject, reply, headers, payload }).await
    }

    /// Passes a request on as it is, with its first caller's reply subject: the answer skips this process.
    ///
    /// # Errors
    /// As [`Bus::call`], before sending.
    pub fn forward(&self, subject: &str, incoming: &crate::Incoming) -> Result<(), Fault> {
        self.send_now(Outgoing {
            subject: Subject::from(subject),
            reply: Some(incoming.responder.reply().clone()),
            headers: incoming.headers_to_forward(),
            payload: incoming.payload.clone(),
        })
    }
}

pub(crate) fn nobody(subject: &str) -> Fault {
    Fault::unavailable(format!("nobody serves {subject}: is a brain running, and does it have this model"), 1000)
}

pub(crate) fn out_of_time(subject: &str) -> Fault {
    Fault::new(FaultKind::DeadlineExceeded, format!("no answer from {subject} before the deadline"))
}

pub(crate) fn closed() -> Fault {
    Fault::unavailable("the connection to the bus was closed", 1000)
}

pub(crate) fn unreadable(subject: &str, error: &dyn std::fmt::Display) -> Fault {
    Fault::engine(format!("the answer from {subject} cannot be read: {error}"))
}
