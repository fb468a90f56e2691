//! How is a message handed to the client from any thread without waiting?

use async_nats::{HeaderMap, Subject};
use bytes::Bytes;
use futures::FutureExt as _;
use megabrain_schemas::{Fault, FaultKind};

use crate::Bus;

/// One message on its way out.
#[derive(Clone)]
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    pub(crate) reply: Option<Subject>,
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

impl Bus {
    /// Publishes, waiting only if the client's queue is full.
    ///
    /// # Errors
    /// `too_large` with both sizes, or `unavailable` if the client is closed.
    pub(crate) async fn send(&self, message: Outgoing) -> Result<(), Fault> {
        self.check_size(&message)?;
        let Outgoing { subject, reply, headers, payload } = message;
        let sent = match (reply, headers) {
            (None, None) => self.client().publish(subject, payload).await,
            (None, Some(headers)) => self.client().publish_with_headers(subject, headers, payload).await,
            (Some(reply), None) => self.client().publish_with_reply(subject, reply, payload).await,
            (Some(reply), Some(headers)) => {
                self.client().publish_with_reply_and_headers(subject, reply, headers, payload).await
            }
        };
        sent.map_err(|error| crate::connect::away(&error))
    }

    /// Publishes from code that cannot wait.
    ///
    /// The client's queue nearly always has room, and then this is one push. If it is full: a thread outside the
    /// runtime blocks until there is room (so that frames keep their order); inside the runtime the rest is spawned.
    ///
    /// # Errors
    /// As [`Bus::send`], as far as it can be told at once.
    pub(crate) fn send_now(&self, message: Outgoing) -> Result<(), Fault> {
        if let Some(done) = self.send(message.clone()).now_or_never() {
            return done;
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return self.runtime().block_on(self.send(message));
        }
        let bus = self.clone();
        self.runtime().spawn(async move {
            if let Err(fault) = bus.send(message).await {
                tracing::warn!(%fault, "message not sent");
            }
        });
        Ok(())
    }

    /// Runs a future on the runtime of this connection, from any thread.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.runtime().spawn(future);
    }

    fn check_size(&self, message: &Outgoing) -> Result<(), Fault> {
        let size = message.payload.len() + message.headers.as_ref().map_or(0, header_bytes);
        let limit = self.max_payload();
        if size <= limit {
            return Ok(());
        }
        Err(Fault::new(
            FaultKind::TooLarge,
            format!("the message has {size} bytes, this server takes {limit}: send large media by reference (`blob`)"),
        ))
    }
}

/// Size of the headers on the wire: `NATS/1.0\r\n`, `name: value\r\n` each, and a blank line.
fn header_bytes(headers: &HeaderMap) -> usize {
    let lines = headers
        .iter()
        .flat_map(|(name, values)| {
            values.iter().map(move |value| AsRef::<str>::as_ref(name).len() + value.as_str().len() + 4)
        })
        .sum::<usize>();
    lines + 12
}
