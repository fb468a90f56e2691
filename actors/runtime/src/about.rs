//! What does this instance tell the brain about itself? Its presence once a second, and NATS' own discovery.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use megabrain_bus::{Bus, ServiceDescription, ServiceStats};
use megabrain_schemas::{Fault, ModelState, Name, Presence, subject};

use crate::open::Open;
use crate::{Gauges, Host, LoadError, Options, Profile};

/// Presence is told this often.
const BEAT: Duration = Duration::from_secs(1);

/// What is known of this instance so far. Cheap to clone.
#[derive(Clone)]
pub(crate) struct About {
    bus: Bus,
    host: Host,
    known: Arc<Mutex<Known>>,
}

struct Known {
    presence: Presence,
    serving: Option<Serving>,
}

struct Serving {
    open: Arc<Open>,
    gauges: Arc<Mutex<Gauges>>,
}

impl About {
    pub(crate) fn new(actor: &str, options: &Options, instance: &Name, host: Host, bus: Bus) -> Self {
        let presence = Presence {
            instance: instance.clone(),
            model: options.name.clone(),
            actor: Name::sanitized(actor),
            node: options.node.clone(),
            state: ModelState::Loading,
            restarts: options.restarts,
            pid: std::process::id(),
            ..Presence::unknown(instance, &options.name)
        };
        Self { bus, host, known: Arc::new(Mutex::new(Known { presence, serving: None })) }
    }

    /// Tells the presence once a second, for ever.
    pub(crate) async fn beat(self) {
        let mut beat = tokio::time::interval(BEAT);
        loop {
            beat.tick().await;
            self.tell(subject::event::PRESENCE);
        }
    }

    /// Tells why the model cannot be loaded, and sees that it gets out before the process ends.
    pub(crate) async fn cannot_load(&self, error: &LoadError) {
        {
            let mut known = self.lock();
            known.presence.state = ModelState::Failed;
            known.presence.reason = Some(error.to_string());
        }
        self.tell(subject::event::DOWN);
        let _ = tokio::time::timeout(Duration::from_secs(1), self.bus.flush()).await;
    }

    /// Answers NATS' discovery from now on.
    pub(crate) async fn announce(&self, profile: &Profile, open: &Arc<Open>) -> Result<(), Fault> {
        let description = self.describe(profile);
        let open = open.clone();
        let stats = move || {
            let (requests, faults) = open.finished_so_far();
            ServiceStats { requests, faults }
        };
        self.bus.announce(description, Arc::new(stats)).await
    }

    /// Tells that this instance serves.
    pub(crate) fn ready(&self, profile: Profile, open: Arc<Open>, gauges: Arc<Mutex<Gauges>>) {
        {
            let mut known = self.lock();
            let presence = &mut known.presence;
            presence.state = ModelState::Ready;
            presence.capabilities = profile.capabilities;
            presence.accepts = profile.accepts;
            presence.tasks = profile.tasks;
            presence.device = profile.device;
            presence.context = profile.context;
            presence.device_memory_bytes = profile.device_memory_bytes;
            presence.slots = to_u32(open.slots());
            presence.queue_limit = to_u32(open.queue_limit());
            known.serving = Some(Serving { open, gauges });
        }
        self.tell(subject::event::READY);
        let model = self.host.name();
        tracing::info!(%model, "ready");
    }

    /// Tells that this instance takes nothing new.
    pub(crate) fn draining(&self) {
        self.lock().presence.state = ModelState::Draining;
        self.tell(subject::event::DRAINING);
    }

    fn tell(&self, kind: &str) {
        let presence = self.now();
        self.bus.tell(kind, &presence.instance, &presence);
    }

    fn now(&self) -> Presence {
        let known = self.lock();
        let mut presence = known.presence.clone();
        presence.memory_bytes = resident_bytes();
        presence.threads = to_u32(self.host.threads());
        match &known.serving {
            None => presence.progress = Some(self.host.progress_so_far()),
            Some(Serving { open, gauges }) => {
                (presence.finished, presence.faults) = open.finished_so_far();
                presence.last_fault = open.last_fault();
                presence.in_flight = to_u32(open.running_now());
                presence.queued = to_u32(open.queued_now());
                let gauges = *gauges.lock().unwrap_or_else(PoisonError::into_inner);
                presence.tokens_per_second = gauges.tokens_per_second;
                presence.prompt_tokens = gauges.prompt_tokens;
                presence.completion_tokens = gauges.completion_tokens;
                presence.took_ms = open.took_so_far().as_secs_f64() * 1000.0;
            }
        }
        presence
    }

    fn describe(&self, profile: &Profile) -> ServiceDescription {
        let presence = self.now();
        let (model, instance) = (&presence.model, &presence.instance);
        let list = |items: &mut dyn Iterator<Item = &str>| items.collect::<Vec<_>>().join(",");
        let metadata = [
            ("actor", presence.actor.to_string()),
            ("node", presence.node.as_ref().map(Name::to_string).unwrap_or_default()),
            ("capabilities", list(&mut profile.capabilities.iter().map(|capability| capability.as_str()))),
            ("accepts", list(&mut profile.accepts.iter().map(String::as_str))),
            ("device", profile.device.clone().unwrap_or_default()),
            ("slots", profile.slots.to_string()),
            ("context", profile.context.map(|tokens| tokens.to_string()).unwrap_or_default()),
        ];
        let endpoints = profile
            .capabilities
            .iter()
            .map(|capability| (capability.to_string(), subject::model(capability, model), model.to_string()));
        ServiceDescription {
            name: model.clone(),
            id: instance.clone(),
            description: format!("megabrain {} actor", presence.actor),
            metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>(),
            endpoints: endpoints.collect(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Resident memory of this process, in bytes; 0 where the system does not tell (`/proc/self/statm`, field 2, in pages).
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}
