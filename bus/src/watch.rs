//! How does a bystander see requests go by without holding their bodies?

use async_nats::{Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use megabrain_schemas::{Codec, Fault, Name, subject};

use crate::serve::Responder;
use crate::{Bus, meta};

/// A request or an event that went by.
pub struct Sighting {
    /// Where it was sent.
    pub subject: Subject,
    /// The inbox it wants its answer in; `None` for an event, and for a request that nobody may answer.
    pub reply: Option<Subject>,
    /// How it is written; JSON where that cannot be told.
    pub codec: Codec,
    /// Its work id, where a header names it.
    pub work: Option<Name>,
    /// Its body. Let it go.
    pub payload: Bytes,
}

/// Everything that goes by on one subject.
pub struct Sightings(Subscriber);

impl Bus {
    /// Watches a subject, outside any queue group.
    ///
    /// # Errors
    /// `unavailable` if the connection is closed.
    pub async fn watch(&self, subject: &str) -> Result<Sightings, Fault> {
        let subscriber =
            self.client().subscribe(subject.to_owned()).await.map_err(|error| crate::connect::away(&error))?;
        Ok(Sightings(subscriber))
    }

    /// Answers somebody else's request with a fault, on behalf of whoever cannot any more.
    pub fn answer_for(&self, reply: Subject, codec: Codec, work: Option<Name>, fault: &Fault) {
        Responder::new(self.clone(), reply, codec, work).fail(fault);
    }
}

impl Sightings {
    /// The next one; `None` when the subscription has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Sighting> {
        let message = self.0.next().await?;
        let map = message.headers.as_ref();
        let codec = meta::codec_of(map, &message.payload).unwrap_or_default();
        Some(Sighting {
            subject: message.subject,
            reply: message.reply.filter(|reply| subject::is_inbox(reply)),
            codec,
            work: meta::work_of(map),
            payload: message.payload,
        })
    }
}

impl Sighting {
    /// Reads the body of an event.
    ///
    /// # Errors
    /// `invalid_request`, naming the field.
    pub fn body<T: serde::de::DeserializeOwned>(&self) -> Result<T, Fault> {
        Codec::detect(None, &self.payload).and_then(|codec| codec.decode(&self.payload)).map_err(Fault::from)
    }
}
