//! How are plain messages sent and read? For `megabrain pub|sub|req`, for tests, and for whoever speaks no contract.

use std::time::Duration;

use async_nats::{Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use megabrain_schemas::{Fault, Name};

use crate::Bus;
use crate::publish::Outgoing;

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

/// Messages of one subscription.
pub struct RawSubscription(Subscriber);

impl RawSubscription {
    /// The next message; `None` when the subscription has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<RawMessage> {
        let message = self.0.next().await?;
        let headers = message.headers.iter().flat_map(|map| map.iter()).flat_map(|(name, values)| {
            values.iter().map(move |value| (name.to_string(), value.to_string()))
        });
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
            Some(group) => self.client.queue_subscribe(subject, group.to_string()).await,
            None => self.client.subscribe(subject).await,
        };
        subscribed.map(RawSubscription).map_err(|error| crate::connect::away(&error))
    }

    /// Publishes bytes as they are.
    ///
    /// # Errors
    /// `too_large` with both sizes; `unavailable` if the connection is closed.
    pub async fn publish(&self, subject: &str, reply: Option<&str>, payload: Bytes) -> Result<(), Fault> {
        self.send(Outgoing { subject: Subject::from(subject), reply: reply.map(Subject::from), headers: None, payload })
            .await
    }

    /// Sends a plain request and gives all messages that come back within `time`, or only the first.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn request_plain(&self, subject: &str, payload: Bytes, time: Duration) -> Result<Option<RawMessage>, Fault> {
        let inbox = self.client.new_inbox();
        let mut answers = self.subscribe(&inbox, None).await?;
        self.publish(subject, Some(&inbox), payload).await?;
        Ok(tokio::time::timeout(time, answers.next()).await.ok().flatten())
    }
}
