//! How does a request become a job? Checked, admitted, and handed to the engine's thread.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use megabrain_bus::{Bus, Incoming, Link, Refused, Requests, trace};
use megabrain_schemas::subject::Address;
use megabrain_schemas::{Capability, Name};
use tokio::sync::watch;

use crate::driver::Event;
use crate::open::{Open, Stop};
use crate::{Host, Job, work_key};

/// The exit status of a process whose engine has ended before it.
const ENGINE_ENDED: i32 = 70;

/// What every request of this process needs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    pub(crate) model: Name,
    pub(crate) open: Arc<Open>,
    pub(crate) host: Host,
    pub(crate) engine: Sender<Event>,
    pub(crate) default_deadline: Duration,
}

impl Intake {
    /// Takes requests until `unsubscribe` turns true, and then what has arrived by then.
    pub(crate) async fn run(
        self,
        capability: Capability,
        mut requests: Requests,
        mut unsubscribe: watch::Receiver<bool>,
    ) {
        loop {
            tokio::select! {
                biased;
                incoming = requests.next_or_refused() => match incoming {
                    Some(incoming) => self.take(&capability, incoming),
                    None => return,
                },
                _ = unsubscribe.wait_for(|told| *told) => break,
            }
        }
        requests.drain().await;
        while let Some(incoming) = requests.next_or_refused().await {
            self.take(&capability, incoming);
        }
    }

    fn take(&self, capability: &Capability, incoming: Result<Incoming, Refused>) {
        match incoming {
            Ok(incoming) => self.admit(capability, incoming),
            Err(Refused { reply, work }) => self.open.refused(work_key(&reply, work.as_ref())),
        }
    }

    fn admit(&self, capability: &Capability, incoming: Incoming) {
        let Incoming { subject, payload, meta, is_named, responder, .. } = incoming;
        let deadline = meta.deadline.or_else(|| Instant::now().checked_add(self.default_deadline));
        let key = work_key(responder.reply(), is_named.then_some(&meta.work));
        let admitted = self.open.admit(&meta.work, meta.leg.as_deref(), key, deadline, meta.priority);
        let open = match admitted {
            Ok(open) => open,
            Err(fault) => {
                tracing::debug!(%subject, queued = self.open.queued_now(), %fault, "request refused");
                responder.fail(&fault);
                self.open.refused(key);
                return;
            }
        };
        let span = trace::is_exporting().then(|| {
            let span = tracing::info_span!("work", otel.name = %subject, work = %meta.work, leg = meta.leg.as_deref().unwrap_or(""), fault = tracing::field::Empty);
            trace::adopt(&span, &meta);
            span
        });
        let job = Job {
            capability: capability.clone(),
            payload,
            responder: Some(responder.from_model(self.model.clone())),
            open,
            ledger: self.open.clone(),
            host: self.host.clone(),
            started: None,
            span,
        };
        if self.engine.send(Event::Job(Box::new(job))).is_err() {
            // The job was dropped on the way, and so answered. Nothing can be done here any more: the node starts the
            // process again.
            tracing::error!(model = %self.model, "the engine's thread has ended: the process ends");
            std::process::exit(ENGINE_ENDED);
        }
    }

    /// Stops what callers cancel, until the subscription ends.
    pub(crate) async fn heed_cancels(self, mut cancels: megabrain_bus::Sightings) {
        while let Some(sighting) = cancels.next().await {
            if let Some(Address::Cancel(work)) = Address::parse(&sighting.subject) {
                self.open.stop_work(&work, Stop::Cancelled);
            }
        }
    }

    /// Stops streams whose caller's inbox is gone, as the server tells on the probe subject.
    pub(crate) async fn heed_probes(self, mut probes: megabrain_bus::RawSubscription) {
        while let Some(message) = probes.next().await {
            let id = message.subject.rsplit('.').next().and_then(|token| token.parse().ok());
            if let (true, Some(id)) = (message.no_responders, id) {
                self.open.stop_id(id, Stop::CallerGone);
            }
        }
    }

    /// Frees the slots of callers that cannot be reached any more when the bus goes away.
    pub(crate) async fn heed_link(self, bus: Bus) {
        bus.connected().await;
        let mut link = bus.watch_link();
        while link.changed().await.is_ok() {
            if *link.borrow_and_update() == Link::Down {
                tracing::warn!(open = self.open.admitted_now(), "the bus is away");
                self.open.stop_all(Stop::BusAway);
            } else {
                tracing::info!("the bus is back");
            }
        }
    }
}
