//! Who is on the bus? As heard there, by nobody's list.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use megabrain_bus::{Bus, EventStream, Roster};
use megabrain_schemas::subject::event;
use megabrain_schemas::{Capability, Fault, Name, NodePresence, Presence};
use tokio::task::AbortHandle;

/// A node that was not heard for this long is taken for gone: three beats of presence.
const SILENCE: Duration = Duration::from_millis(3200);

/// Who was heard lately. Cheap to clone; the last clone stops listening.
#[derive(Clone)]
pub(crate) struct Present(Arc<Listening>);

struct Listening {
    since: Instant,
    heard: Arc<Mutex<Heard>>,
    task: AbortHandle,
}

/// What was heard lately.
#[derive(Default)]
pub(crate) struct Heard {
    /// The instances of models.
    pub(crate) roster: Roster,
    nodes: BTreeMap<Name, (Instant, NodePresence)>,
}

impl Present {
    /// Listens from now on.
    ///
    /// # Errors
    /// `unavailable` if the connection is closed.
    pub(crate) async fn listen(bus: &Bus) -> Result<Self, Fault> {
        let heard = Arc::<Mutex<Heard>>::default();
        let models = bus.events(event::PRESENCE, None).await?;
        let nodes = bus.events(event::NODE, None).await?;
        let task = tokio::spawn(listen(heard.clone(), models, nodes)).abort_handle();
        Ok(Self(Arc::new(Listening { since: Instant::now(), heard, task })))
    }

    /// True if somebody may do this some day: who is there or was not long ago, or has not been heard of yet because the
    /// listening has just begun.
    pub(crate) fn may_serve(&self, capability: &Capability, model: Option<&Name>) -> bool {
        let heard = self.look();
        let mut known = heard.roster.all().chain(heard.roster.missed());
        let is_known = match model {
            Some(model) => known.any(|one| one.model == *model),
            None => known.any(|one| one.capabilities.is_empty() || one.capabilities.contains(capability)),
        };
        is_known || self.0.since.elapsed() < SILENCE
    }

    /// True if somebody is there to do this, or to say why not.
    pub(crate) fn serves(&self, capability: &Capability, model: Option<&Name>) -> bool {
        let heard = self.look();
        match model {
            Some(model) => heard.roster.of_model(model).next().is_some(),
            None => heard.roster.all().any(|one| one.capabilities.contains(capability)),
        }
    }

    /// What was heard, for a short look.
    pub(crate) fn look(&self) -> MutexGuard<'_, Heard> {
        lock(&self.0.heard)
    }
}

impl Heard {
    /// True if somebody answers `mb.v1.ask`.
    pub(crate) fn has_router(&self) -> bool {
        self.nodes().any(|(_, node)| node.router)
    }

    /// The nodes, by their names.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&Name, &NodePresence)> {
        let there = self.nodes.iter().filter(|(_, (heard, _))| heard.elapsed() < SILENCE);
        there.map(|(name, (_, node))| (name, node))
    }

    /// The instances of each model, by the model's name.
    pub(crate) fn models(&self) -> BTreeMap<&Name, Vec<&Presence>> {
        let mut models = BTreeMap::<&Name, Vec<&Presence>>::new();
        for presence in self.roster.all() {
            models.entry(&presence.model).or_default().push(presence);
        }
        models
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl std::fmt::Debug for Present {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Present")
    }
}

async fn listen(heard: Arc<Mutex<Heard>>, mut models: EventStream<Presence>, mut nodes: EventStream<NodePresence>) {
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            Some(event) = models.next() => lock(&heard).roster.note(event.body),
            Some(event) = nodes.next() => {
                lock(&heard).nodes.insert(event.who, (Instant::now(), event.body));
            }
            _ = beat.tick() => {
                let mut heard = lock(&heard);
                drop(heard.roster.take_silent());
                heard.nodes.retain(|_, (last, _)| last.elapsed() < SILENCE);
            }
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
