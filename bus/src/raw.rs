//! How are plain messages sent and read? For `megabrain pub|sub|req`, for tests, and for whoever speaks no contract.

use std::time::Duration;

use async_nats::{HeaderMap, HeaderName, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use megabrain_schemas::{Fault, Name, headers};

use crate::publish::Outgoing;
use crate::{Bus, inbox, meta};

/// One message as it came.
#[derive(Clone, Debug)]
pub struct RawMessage {
    /// Where it was sent.
    pub subject: String,
    /// Where an answer would go.
    pub reply: Option<String>,
    /// Its headers, name and value.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub payload: Bytes,
    /// True if it is the server's word that nobody listens.
    pub no_responders: bool,
}

impl RawMessage {
    /// The fault that this message is, if its headers say that it is one, or if the server says that nobody listens.
    pub fn fault(&self) -> Option<Fault> {
        if self.no_responders {
            return Some(Fault::unavailable("nobody listens there", 1000));
        }
        let is_fault = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(headers::SERVICE_ERROR_CODE));
        is_fault.then(|| inbox::read_fault(&self.payload))
    }
}

/// Messages of one subscription.
pub struct RawSubscription(Subscriber);

impl RawSubscription {
    /// The next message; `None` when the subscription has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<RawMessage> {
        let message = self.0.next().await?;
        let headers = message
            .headers
            .iter()
            .flat_map(|map| map.iter())
            .flat_map(|(name, values)| values.iter().map(move |value| (name.to_string(), value.to_string())));
        Some(RawMessage {
            headers: headers.collect(),
            subject: message.subject.to_string(),
            reply: message.reply.map(|reply| reply.to_string()),
            payload: message.payload,
            no_responders: message.status == Some(async_nats::StatusCode::NO_RESPONDERS),
        })
    }
}

impl Bus {
    /// Listens on any subject.
    ///
    /// # Errors
    /// `unavailable` if the connection is closed. A subject that the server does not allow is told in the log.
    pub async fn subscribe(&self, subject: &str, queue: Option<&Name>) -> Result<RawSubscription, Fault> {
        let subject = subject.to_owned();
        let subscribed = match queue {
            Some(group) => self.client().queue_subscribe(subject, group.to_string()).await,
            None => self.client().subscribe(subject).await,
        };
        subscribed.map(RawSubscription).map_err(|error| crate::connect::away(&error))
    }

    /// Publishes bytes as they are.
    ///
    /// # Errors
    /// `too_large` with both sizes; `unavailable` if the connection is closed.
    pub async fn publish(&self, subject: &str, reply: Option<&str>, payload: Bytes) -> Result<(), Fault> {
        self.publish_with_headers(subject, reply, &[], payload).await
    }

    /// Publishes bytes as they are, under these headers, name and value.
    ///
    /// # Errors
    /// As [`Bus::publish`]; `invalid_request` for a header's name that is none.
    pub async fn publish_with_headers(
        &self,
        subject: &str,
        reply: Option<&str>,
        headers: &[(String, String)],
        payload: Bytes,
    ) -> Result<(), Fault> {
        let headers = if headers.is_empty() { None } else { Some(header_map(headers)?) };
        self.send(Outgoing { subject: Subject::from(subject), reply: reply.map(Subject::from), headers, payload }).await
    }

    /// Sends a plain request and gives the first message that comes back within `time`.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn request_plain(
        &self,
        subject: &str,
        payload: Bytes,
        time: Duration,
    ) -> Result<Option<RawMessage>, Fault> {
        let mut answers = self.open_plain(subject, &[], payload).await?;
        Ok(tokio::time::timeout(time, answers.next()).await.ok().flatten())
    }

    /// Sends a plain request and gives everything that comes back, for as long as the result is kept.
    ///
    /// # Errors
    /// As [`Bus::publish_with_headers`].
    pub async fn open_plain(
        &self,
        subject: &str,
        headers: &[(String, String)],
        payload: Bytes,
    ) -> Result<RawSubscription, Fault> {
        let inbox = self.client().new_inbox();
        let answers = self.subscribe(&inbox, None).await?;
        self.publish_with_headers(subject, Some(&inbox), headers, payload).await?;
        Ok(answers)
    }
}

fn header_map(pairs: &[(String, String)]) -> Result<HeaderMap, Fault> {
    let mut map = HeaderMap::new();
    for (name, text) in pairs {
        let name: HeaderName =
            name.parse().map_err(|error| Fault::invalid(format!("{name:?} is not the name of a header: {error}")))?;
        map.append(name, meta::value(text));
    }
    Ok(map)
}
