//! How does an engine hear what is published for a job while it runs?

use bytes::Bytes;
use megabrain_bus::RawSubscription;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// A subject that is listened to for one job. Dropping it ends that.
#[derive(Debug)]
pub struct Listening {
    subject: String,
    task: AbortHandle,
}

impl Listening {
    pub(crate) fn begin(
        runtime: &Handle,
        subject: String,
        mut messages: RawSubscription,
        mut heard: impl FnMut(Bytes) + Send + 'static,
    ) -> Self {
        let task = runtime.spawn(async move {
            while let Some(message) = messages.next().await {
                heard(message.payload);
            }
        });
        Self { subject, task: task.abort_handle() }
    }

    /// Where the caller publishes.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}
