//! Who answers when the process that should answer is dead, away, or was never there?
//!
//! The guard listens, outside every queue group, to all models' subjects and keeps who waits for an answer (not what was
//! asked); the processes report in batches what they took and finished. What a process leaves open when it dies, the
//! guard answers with `worker_lost`; what comes while a model has no live instance, with `unavailable`.
//! See `docs/adr` on exactly one answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use megabrain_bus::{Bus, RawMessage, Roster, Sighting};
use megabrain_schemas::subject::{self, Address, event};
use megabrain_schemas::{CoreShares, Fault, FaultKind, ModelState, Name, NodePresence, Presence, WorkReport};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::busy::Busy;
use super::cores::Cores;
use super::open_table::{OpenRequest, OpenTable, Place};

/// A server that does not tell is given this long to read a dead process' last words.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// After the last words, their batch of reports is given this long to arrive.
const SETTLE: Duration = Duration::from_millis(20);
/// A request that a live model has not taken after this long was lost on its way.
const NEVER_TAKEN: Duration = Duration::from_secs(5);
/// When the bus comes back, everybody is there again within about this time; what came before a model was, nobody has.
const RETURN: Duration = Duration::from_secs(1);

/// Who was heard lately; shared with the router.
#[derive(Clone, Default)]
pub struct SharedRoster {
    roster: Arc<Mutex<Roster>>,
    changes: Arc<Notify>,
}

impl SharedRoster {
    /// The roster, for a short look.
    pub fn lock(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next presence that is heard: after this call, not after the first poll.
    pub fn changed(&self) -> Notified<'_> {
        self.changes.notified()
    }
}

/// What a guard watches over.
#[derive(Clone, Debug)]
pub struct GuardConfig {
    /// The node's name.
    pub node: Name,
    /// True if this node routes; of all that do, the first by name answers for models that nobody knows.
    pub is_router: bool,
    /// The cores to share out.
    pub cores: Cores,
}

/// A process that died, until what it left open is answered.
struct Death {
    presence: Presence,
    at: Instant,
    due: Instant,
}

/// The guard of one node.
pub(super) struct Guard {
    bus: Bus,
    config: GuardConfig,
    roster: SharedRoster,
    nodes: BTreeMap<Name, (bool, Instant)>,
    table: OpenTable,
    deaths: Vec<Death>,
    /// Since when each instance serves.
    ready_since: BTreeMap<Name, Instant>,
    /// When each instance that has nothing open last said so.
    idle_at: BTreeMap<Name, Instant>,
    /// When the bus last came back.
    back_since: Option<Instant>,
    busy: Busy,
}

impl Guard {
    pub(super) fn new(bus: Bus, config: GuardConfig, roster: SharedRoster) -> Self {
        Self {
            busy: Busy::new(config.cores.clone()),
            bus,
            config,
            roster,
            nodes: BTreeMap::new(),
            table: OpenTable::default(),
            deaths: Vec::new(),
            ready_since: BTreeMap::new(),
            idle_at: BTreeMap::new(),
            back_since: None,
        }
    }

    pub(super) fn see(&mut self, sighting: Sighting) {
        match Address::parse(&sighting.subject) {
            Some(Address::Model(capability, model)) => {
                let shares = self.busy.begin(&model);
                self.tell_shares(shares);
                self.table.saw(sighting, capability, model, None);
            }
            Some(Address::Instance(capability, model, instance)) => {
                let shares = self.busy.begin(&model);
                self.tell_shares(shares);
                self.table.saw(sighting, capability, model, Some(instance));
            }
            Some(Address::Event(kind, who)) => self.hear(&kind, &who, &sighting),
            Some(_) => {}
            None => self.refuse(sighting),
        }
    }

    /// Answers what is sent where no model can ever be: since we listen there, the server does not say that nobody does.
    fn refuse(&self, sighting: Sighting) {
        let Some(reply) = sighting.reply.filter(|_| !subject::is_for_all(&sighting.subject)) else { return };
        if self.first_router() == Some(&self.config.node) {
            let message = format!(
                "{} is no subject of this bus: after mb.v1 come a capability, a model and an instance, or less, each a \
                 name of at most 64 letters, digits, - and _",
                sighting.subject
            );
            let fault = Fault::new(FaultKind::NotFound, message);
            self.bus.answer_for(reply, sighting.codec, sighting.work, &fault);
        }
    }

    fn hear(&mut self, kind: &str, who: &Name, sighting: &Sighting) {
        match kind {
            event::WORK => {
                if let Ok(report) = sighting.body::<WorkReport>() {
                    self.table.heard(who, &report);
                }
            }
            event::PRESENCE | event::READY | event::DOWN | event::DRAINING => {
                if let Ok(presence) = sighting.body::<Presence>() {
                    self.note(presence);
                }
            }
            event::NODE => {
                if let Ok(node) = sighting.body::<NodePresence>() {
                    self.nodes.insert(who.clone(), (node.router, Instant::now()));
                }
            }
            _ => {}
        }
    }

    fn note(&mut self, presence: Presence) {
        self.forget_unreported(&presence);
        let instance = presence.instance.clone();
        let mut roster = self.roster.lock();
        roster.note(presence);
        if roster.get(&instance).is_some_and(|known| known.state == ModelState::Ready) {
            self.ready_since.entry(instance).or_insert_with(Instant::now);
        } else {
            self.ready_since.remove(&instance);
        }
        drop(roster);
        self.roster.changes.notify_waiters();
    }

    /// Forgets what an instance has answered without our hearing of it: a bus that goes away takes reports with it.
    fn forget_unreported(&mut self, presence: &Presence) {
        let Presence { instance, model, state, in_flight, queued, .. } = presence;
        if *state != ModelState::Ready || in_flight + queued > 0 {
            self.idle_at.remove(instance);
            return;
        }
        // What came before it said so the last time was reported since, or never will be.
        let before = self.idle_at.insert(instance.clone(), Instant::now());
        if let (Some(before), true) = (before, self.table.is_busy(model)) {
            self.table.take(|open| open.taken_by.as_ref() == Some(instance) && open.arrived < before);
        }
    }

    pub(super) fn died(&mut self, presence: Presence) {
        let now = Instant::now();
        self.note(presence.clone());
        self.deaths.push(Death { presence, at: now, due: now + LAST_WORDS });
    }

    /// The server has read all that a connection had to say: what its process left open can be answered now.
    pub(super) fn closed(&mut self, message: &RawMessage) {
        let Some(name) = closed_client(&message.payload) else { return };
        for death in self.deaths.iter_mut().filter(|death| death.presence.instance == *name.as_str()) {
            death.due = death.due.min(Instant::now() + SETTLE);
        }
    }

    pub(super) fn has_something_due(&self) -> bool {
        self.table.has_fresh() || !self.deaths.is_empty() || !self.busy.is_empty()
    }

    pub(super) fn sweep(&mut self) {
        self.answer_for_the_dead();
        for place in self.table.untaken() {
            self.judge_untaken(place);
        }
        let shares = self.busy.end(|model| self.table.is_busy(model));
        self.tell_shares(shares);
    }

    /// What the dead had taken, and what nobody took that may have been on its way to them, is lost.
    fn answer_for_the_dead(&mut self) {
        let now = Instant::now();
        let due: Vec<Death> = self.deaths.extract_if(.., |death| death.due <= now).collect();
        for Death { presence, at, .. } in due {
            let Presence { instance, model, .. } = &presence;
            let lost = self.table.take(|open| match &open.taken_by {
                // What came later is its successor's, which has the same name.
                _ if open.arrived > at => false,
                Some(taker) => taker == instance,
                None => open.model == *model && open.instance.as_ref().is_none_or(|one| one == instance),
            });
            let fault = Fault::new(
                FaultKind::WorkerLost,
                format!("the process that had this work is lost: {}", describe(&presence)),
            )
            .retry_after(presence.retry_after_ms.unwrap_or(1000));
            self.answer(lost, &fault);
        }
    }

    fn judge_untaken(&mut self, place: Place) {
        let Some(open) = self.table.get(place) else { return };
        match self.verdict(open) {
            Verdict::Wait => self.table.ask_again(place),
            Verdict::NotMine => drop(self.table.take_place(place)),
            Verdict::Answer(fault) => {
                let open = self.table.take_place(place);
                self.answer(open, &fault);
            }
        }
    }

    /// What to do about a request that nobody reports to have taken.
    fn verdict(&self, open: &OpenRequest) -> Verdict {
        let roster = self.roster.lock();
        let addressed: Vec<&Presence> = roster
            .of_model(&open.model)
            .filter(|presence| open.instance.as_ref().is_none_or(|instance| *instance == presence.instance))
            .collect();
        let is_mine = responsible(addressed.iter().copied(), self.first_router()) == Some(&self.config.node);
        let ready: Vec<&&Presence> = addressed.iter().filter(|presence| presence.state == ModelState::Ready).collect();
        let dying = self.deaths.iter().any(|death| death.presence.model == open.model && open.arrived <= death.at);
        let fault = match (addressed.first(), ready.first()) {
            // The death itself will answer.
            _ if dying => return Verdict::Wait,
            // A process of ours that stands still goes on where it was, or dies: it has this, and may yet answer.
            (None, _) if self.stands_still(&roster, &open.model) && open.arrived.elapsed() < NEVER_TAKEN => {
                return Verdict::Wait;
            }
            (None, _) => unknown_model(open, &roster),
            (Some(presence), None) => Fault::unavailable(describe(presence), presence.retry_after_ms.unwrap_or(1000)),
            (_, Some(presence)) if !presence.capabilities.contains(&open.capability) => {
                Fault::wrong_capability(&open.model, &open.capability, &presence.capabilities)
            }
            // It came before the server knew that anybody serves again, so nobody got it.
            (_, Some(presence)) if ready.iter().all(|one| self.became_ready_after(one, open.arrived)) => {
                Fault::unavailable(format!("model {} was not ready yet when this came", presence.model), 50)
            }
            _ if open.arrived.elapsed() < RETURN => return Verdict::Wait,
            _ if self.back_since.is_some_and(|back| open.arrived < back + RETURN) => {
                Fault::unavailable(format!("model {} was not back on the bus yet when this came", open.model), 50)
            }
            _ if open.arrived.elapsed() < NEVER_TAKEN => return Verdict::Wait,
            _ => Fault::new(FaultKind::WorkerLost, format!("model {} never took this work", open.model)),
        };
        if is_mine { Verdict::Answer(fault) } else { Verdict::NotMine }
    }

    /// True if a process of this model, which this node supervises, is not heard although nobody saw it die.
    fn stands_still(&self, roster: &Roster, model: &Name) -> bool {
        roster.missed().any(|presence| presence.model == *model && presence.node.as_ref() == Some(&self.config.node))
    }

    fn became_ready_after(&self, presence: &Presence, time: Instant) -> bool {
        self.ready_since.get(&presence.instance).is_none_or(|since| *since > time)
    }

    /// The first by name of the nodes that route.
    fn first_router(&self) -> Option<&Name> {
        let own = self.config.is_router.then_some(&self.config.node);
        self.nodes.iter().filter(|(_, (routes, _))| *routes).map(|(node, _)| node).chain(own).min()
    }

    fn answer(&self, lost: impl IntoIterator<Item = OpenRequest>, fault: &Fault) {
        for open in lost {
            tracing::debug!(model = %open.model, kind = %fault.kind, "answered for a model");
            self.bus.answer_for(open.reply, open.codec, open.work, fault);
        }
    }

    /// What was on its way when the bus went down is gone; what a process has taken, that process answers.
    pub(super) fn bus_away(&mut self) {
        // So the router sends nothing to whoever is not back yet, when nobody is there to see that it is lost.
        self.roster.lock().doubt_all();
        self.ready_since.clear();
        let lost = self.table.take(|open| open.taken_by.is_none());
        let fault = Fault::unavailable("the bus went away before a model took this work", 1000);
        let mine: Vec<OpenRequest> = {
            let roster = self.roster.lock();
            let is_mine = |open: &OpenRequest| {
                responsible(roster.of_model(&open.model), self.first_router()) == Some(&self.config.node)
            };
            lost.into_iter().filter(is_mine).collect()
        };
        self.answer(mine, &fault);
    }

    /// The bus is back.
    pub(super) fn bus_back(&mut self) {
        self.back_since = Some(Instant::now());
    }

    pub(super) fn every_second(&mut self) {
        self.table.forget_old();
        // Whoever was not back yet when the cores were shared out has not heard of it.
        if self.back_since.is_some_and(|back| back.elapsed() < RETURN * 5) {
            self.bus.tell(event::CORES, &self.config.node, &self.busy.shares());
        }
        self.nodes.retain(|_, (_, heard)| heard.elapsed() < Duration::from_secs(4));
        let silent = self.roster.lock().take_silent();
        for presence in silent {
            self.idle_at.remove(&presence.instance);
            if presence.node.as_ref() != Some(&self.config.node) {
                self.ready_since.remove(&presence.instance);
            }
            if presence.node.as_ref().is_some_and(|node| *node != self.config.node) {
                // Another node's, with the node or without: what it has taken is not ours to answer, nor to keep.
                self.table.take(|open| open.taken_by.as_ref() == Some(&presence.instance));
            }
            // A supervised process is declared dead by its own node; one that was started by hand, by its silence.
            if presence.node.is_none() && self.first_router() == Some(&self.config.node) {
                tracing::warn!(instance = %presence.instance, "not heard for three seconds: taken for dead");
                let now = Instant::now();
                self.deaths.push(Death { presence, at: now, due: now });
            }
        }
    }

    fn tell_shares(&self, shares: Option<CoreShares>) {
        if let Some(shares) = shares {
            self.bus.tell(event::CORES, &self.config.node, &shares);
        }
    }
}

enum Verdict {
    Wait,
    NotMine,
    Answer(Fault),
}

/// Of several nodes that know a model, the first by name answers for it; for one that no node supervises, the router.
fn responsible<'a>(instances: impl Iterator<Item = &'a Presence>, router: Option<&'a Name>) -> Option<&'a Name> {
    instances.filter_map(|presence| presence.node.as_ref()).min().or(router)
}

fn unknown_model(open: &OpenRequest, roster: &Roster) -> Fault {
    let asked = match &open.instance {
        Some(instance) => format!("instance {instance} of model {}", open.model),
        None => format!("model {}", open.model),
    };
    roster.not_there(&asked, &open.model)
}

fn describe(presence: &Presence) -> String {
    let state = match presence.state {
        ModelState::Starting | ModelState::Loading => "is loading",
        ModelState::Ready => "is ready",
        ModelState::Draining => "is stopping",
        ModelState::Backoff => "is down and will be started again",
        ModelState::Failed => "is down",
    };
    match &presence.reason {
        Some(reason) => format!("model {} {state} ({reason})", presence.model),
        None => format!("model {} {state}", presence.model),
    }
}

/// The name of the connection that a server event says was closed.
fn closed_client(event: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Disconnect {
        client: Client,
    }
    #[derive(serde::Deserialize)]
    struct Client {
        name: Option<String>,
    }
    serde_json::from_slice::<Disconnect>(event).ok()?.client.name
}
