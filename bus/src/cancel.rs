//! How is work stopped? By a broadcast that nobody answers: the owner may be dead.

use async_nats::Subject;
use bytes::Bytes;
use megabrain_schemas::{Name, subject};

use crate::publish::Outgoing;
use crate::{Bus, Meta};

impl Bus {
    /// Tells everybody to stop this work and all its legs. Returns at once.
    pub fn cancel(&self, work: &Name) {
        let message = Outgoing {
            subject: Subject::from(subject::cancel(work)),
            reply: None,
            headers: None,
            payload: Bytes::from_static(b"{}"),
        };
        if let Err(fault) = self.send_now(message) {
            tracing::debug!(%fault, %work, "cancel not sent");
        }
    }
}

/// Cancels its work when it is dropped, unless it was disarmed.
///
/// A leg is not cancelled so: a cancel reaches every leg of its work, and only whoever owns the whole may say it. What
/// one leg still computes ends with its deadline.
pub(crate) struct CancelOnDrop {
    work: Option<(Bus, Name)>,
}

impl CancelOnDrop {
    pub(crate) fn new(bus: &Bus, meta: &Meta) -> Self {
        Self { work: meta.leg.is_none().then(|| (bus.clone(), meta.work.clone())) }
    }

    /// The work has ended: nothing to cancel.
    pub(crate) fn disarm(mut self) {
        self.work = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some((bus, work)) = self.work.take() {
            bus.cancel(&work);
        }
    }
}
