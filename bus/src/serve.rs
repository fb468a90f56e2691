//! How is a request taken off the bus and answered exactly once?

use std::time::{Duration, Instant};

use async_nats::{HeaderMap, HeaderValue, Message, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use megabrain_schemas::{Codec, Fault, FaultReply, Name, Stamp, headers, subject};
use serde::Serialize;

use crate::meta::LOOK_INSIDE;
use crate::publish::Outgoing;
use crate::{Bus, Meta};

/// A request as it came, checked as far as it can be without knowing what it asks.
pub struct Incoming {
    /// Where it was sent.
    pub subject: Subject,
    /// Its body.
    pub payload: Bytes,
    /// What its headers (or body) say of it.
    pub meta: Meta,
    /// True if a header names its work: then bystanders, who do not read bodies, know it too.
    pub is_named: bool,
    /// Its `Content-Type`, where it has one.
    pub content_type: Option<String>,
    /// The way back.
    pub responder: Responder,
    /// When it was read, if it came without headers: what is to be known of it is in its body.
    said_in_body: Option<Instant>,
}

impl Incoming {
    /// The headers to pass this request on with; `None` where its body says it all, and still truly: a deadline counts
    /// whole milliseconds.
    pub(crate) fn headers_to_forward(&self) -> Option<HeaderMap> {
        let is_said = self.said_in_body.is_some_and(|read| read.elapsed() < Duration::from_millis(1));
        let mut map = if is_said { HeaderMap::new() } else { self.meta.to_headers() };
        if let Some(content_type) = &self.content_type {
            map.insert(headers::CONTENT_TYPE, crate::meta::value(content_type));
        }
        (!map.is_empty()).then_some(map)
    }
}

/// A request that could not be understood, and was answered so.
pub struct Refused {
    /// Where the fault went.
    pub reply: Subject,
    /// Its work, where a header names it.
    pub work: Option<Name>,
}

/// Requests of one subscription.
pub struct Requests {
    bus: Bus,
    subscriber: Subscriber,
}

impl Bus {
    /// Listens on a subject, in a queue group if one is named.
    ///
    /// # Errors
    /// `unavailable` if the connection is closed.
    pub async fn serve(&self, subject: &str, queue: Option<&Name>) -> Result<Requests, Fault> {
        let subject = subject.to_owned();
        let subscribed = match queue {
            Some(group) => self.client().queue_subscribe(subject, group.to_string()).await,
            None => self.client().subscribe(subject).await,
        };
        let subscriber = subscribed.map_err(|error| crate::connect::away(&error))?;
        Ok(Requests { bus: self.clone(), subscriber })
    }
}

impl Requests {
    /// The next request that can be answered; `None` when the subscription has ended. Cancel-safe.
    ///
    /// What cannot be understood is answered with a fault here. What names no inbox to reply to is dropped: a server
    /// lets a responder publish to any reply subject, so a forged one would make us write where its sender may not.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            if let Ok(incoming) = self.next_or_refused().await? {
                return Some(incoming);
            }
        }
    }

    /// As [`Requests::next`], and tells what was refused, for whoever keeps books.
    pub async fn next_or_refused(&mut self) -> Option<Result<Incoming, Refused>> {
        loop {
            let message = self.subscriber.next().await?;
            let Some(reply) = inbox_of(&message) else {
                tracing::debug!(subject = %message.subject, reply = ?message.reply, "request without an inbox dropped");
                continue;
            };
            match read(&self.bus, message, reply).await {
                Ok(incoming) => return Some(Ok(incoming)),
                Err((responder, fault)) => {
                    let refused = Refused { reply: responder.reply.clone(), work: responder.stamp.work.clone() };
                    responder.fail(&fault);
                    return Some(Err(refused));
                }
            }
        }
    }

    /// Takes nothing new; what has arrived is still given by [`Requests::next`].
    pub async fn drain(&mut self) {
        if let Err(error) = self.subscriber.drain().await {
            tracing::debug!(%error, "subscription could not be drained");
        }
    }
}

/// The reply subject, if there is one and it may be answered.
fn inbox_of(message: &Message) -> Option<Subject> {
    message.reply.clone().filter(|reply| subject::is_inbox(reply))
}

async fn read(bus: &Bus, message: Message, reply: Subject) -> Result<Incoming, (Responder, Fault)> {
    let map = message.headers.as_ref();
    let codec = match crate::meta::codec_of(map, &message.payload) {
        Ok(codec) => codec,
        Err(error) => {
            let responder = Responder::new(bus.clone(), reply, Codec::Json, crate::meta::work_of(map));
            return Err((responder, error.into()));
        }
    };
    let is_named = map.is_some_and(|map| map.get(headers::WORK).is_some());
    let meta = if !is_named && message.payload.len() > LOOK_INSIDE {
        let (headers, payload) = (message.headers.clone(), message.payload.clone());
        tokio::task::spawn_blocking(move || Meta::read(headers.as_ref(), codec, &payload))
            .await
            .unwrap_or_else(|error| Err(Fault::engine(format!("reading the message failed: {error}"))))
    } else {
        Meta::read(map, codec, &message.payload)
    };
    match meta {
        Ok(meta) => {
            let content_type =
                map.and_then(|map| map.get(headers::CONTENT_TYPE)).map(|value| value.as_str().to_owned());
            let responder = Responder::new(bus.clone(), reply, codec, Some(meta.work.clone()));
            let said_in_body = map.is_none_or(HeaderMap::is_empty).then(Instant::now);
            let Message { subject, payload, .. } = message;
            Ok(Incoming { subject, payload, meta, is_named, content_type, responder, said_in_body })
        }
        Err(fault) => Err((Responder::new(bus.clone(), reply, codec, crate::meta::work_of(map)), fault)),
    }
}

/// The way back to one caller. Works from any thread and waits for nobody.
pub struct Responder {
    bus: Bus,
    reply: Subject,
    codec: Codec,
    stamp: Stamp,
    next_seq: u64,
}

impl Responder {
    pub(crate) fn new(bus: Bus, reply: Subject, codec: Codec, work: Option<Name>) -> Self {
        Self { bus, reply, codec, stamp: Stamp { work, ..Stamp::default() }, next_seq: 0 }
    }

    /// Where the answer goes.
    pub fn reply(&self) -> &Subject {
        &self.reply
    }

    /// How the caller writes, and so how it is answered.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Names the model in every frame and answer.
    #[must_use]
    pub fn from_model(mut self, model: Name) -> Self {
        self.stamp.model = Some(model);
        self
    }

    /// Sends one numbered frame. With `probe`, the server reports there if the caller's inbox is gone.
    pub fn frame<T: Serialize + ?Sized>(&mut self, body: &T, probe: Option<String>) {
        let stamp = Stamp { seq: Some(self.next_seq), ..self.stamp.clone() };
        self.next_seq += 1;
        let sent = self.codec.encode_joined(&stamp, body).and_then(|payload| {
            self.bus.send_now(Outgoing {
                subject: self.reply.clone(),
                reply: probe.map(Subject::from),
                headers: None,
                payload: payload.into(),
            })
        });
        if let Err(fault) = sent {
            // The reader sees the gap in the numbers.
            tracing::warn!(%fault, "frame not sent");
        }
    }

    /// Sends the terminal answer. One that cannot be sent, for its size say, becomes the fault that says so.
    pub fn answer<T: Serialize + ?Sized>(self, body: &T) {
        let seq = (self.next_seq > 0).then_some(self.next_seq);
        let stamp = Stamp { seq, done: true, ..self.stamp.clone() };
        let sent = self.codec.encode_joined(&stamp, body).and_then(|payload| {
            self.bus.send_now(Outgoing {
                subject: self.reply.clone(),
                reply: None,
                headers: None,
                payload: payload.into(),
            })
        });
        if let Err(fault) = sent {
            self.fail(&fault);
        }
    }

    /// Passes on a message that somebody else has answered with; gives itself back unless it was the last. For `probe`,
    /// see [`Responder::frame`].
    pub fn relay(self, payload: Bytes, is_last: bool, probe: Option<String>) -> Option<Self> {
        let reply = probe.filter(|_| !is_last).map(Subject::from);
        let message = Outgoing { subject: self.reply.clone(), reply, headers: None, payload };
        match self.bus.send_now(message) {
            Err(fault) if is_last => {
                self.fail(&fault);
                None
            }
            _ => (!is_last).then_some(self),
        }
    }

    /// Sends a fault as the terminal answer.
    pub fn fail(self, fault: &Fault) {
        let body = FaultReply { work: self.stamp.work.clone(), error: fault.clone(), done: true };
        let mut map = HeaderMap::new();
        map.insert(headers::SERVICE_ERROR, crate::meta::value(fault.kind.as_str()));
        map.insert(headers::SERVICE_ERROR_CODE, HeaderValue::from(fault.kind.code().to_string()));
        let sent = self.codec.encode(&body).and_then(|payload| {
            self.bus.send_now(Outgoing {
                subject: self.reply.clone(),
                reply: None,
                headers: Some(map),
                payload: payload.into(),
            })
        });
        if let Err(error) = sent {
            tracing::warn!(%error, %fault, "fault not sent");
        }
    }
}
