//! What is so at this moment, and what is to be told when something changes?

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_bus::{Link, Roster};
use megabrain_schemas::{Name, NodePresence, Presence};
use serde::Serialize;

use super::happened::{Happened, What, between, now_ms};

/// A node that was not heard for this long is taken for gone: three beats of presence.
const SILENCE: Duration = Duration::from_millis(3200);

/// What happened is kept for whoever opens the page later, this much of it.
const KEPT: usize = 200;

/// One line of the feed.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    /// Everything. The first line, and again for whoever reads too slowly for the changes.
    State(State<'a>),
    /// An instance, as it is now.
    Model(&'a Presence),
    /// An instance that is no longer there, by its name.
    Gone(&'a Name),
    /// A node, as it is now.
    Node(Node<'a>),
    /// A node that is no longer there, by its name.
    NodeGone(&'a Name),
    /// Something that happened.
    Happened(&'a Happened),
    /// Whether the server of the bus can be reached.
    OnBus(bool),
}

/// Everything that is so.
#[derive(Serialize)]
pub(super) struct State<'a> {
    /// Now, in Unix milliseconds, by this node's clock.
    now_ms: u64,
    on_bus: bool,
    nodes: Vec<Node<'a>>,
    models: Vec<&'a Presence>,
    /// Oldest first.
    happened: Vec<&'a Happened>,
}

/// A node and its name.
#[derive(Serialize)]
pub(super) struct Node<'a> {
    name: &'a Name,
    #[serde(flatten)]
    presence: &'a NodePresence,
}

/// What was seen so far.
pub(super) struct Seen {
    roster: Roster,
    nodes: BTreeMap<Name, (NodePresence, Instant)>,
    happened: VecDeque<Happened>,
    on_bus: bool,
}

impl Seen {
    pub(super) fn new(link: Link) -> Self {
        let (roster, nodes, happened) = Default::default();
        Self { roster, nodes, happened, on_bus: link == Link::Up }
    }

    /// Everything, as a line.
    pub(super) fn state(&self) -> Bytes {
        Line::State(State {
            now_ms: now_ms(),
            on_bus: self.on_bus,
            nodes: self.nodes.iter().map(|(name, (presence, _))| Node { name, presence }).collect(),
            models: self.roster.all().collect(),
            happened: self.happened.iter().collect(),
        })
        .written()
    }

    /// An instance told of itself, or its supervisor of it.
    pub(super) fn model(&mut self, presence: Presence) -> Vec<Bytes> {
        let instance = presence.instance.clone();
        let before = self.roster.get(&instance).cloned();
        self.roster.note(presence);
        let Some(now) = self.roster.get(&instance) else { return Vec::new() };
        let mut lines = vec![Line::Model(now).written()];
        for happened in between(before.as_ref(), now) {
            lines.push(self.keep(happened));
        }
        lines
    }

    /// A node told of itself.
    pub(super) fn node(&mut self, name: Name, presence: NodePresence) -> Vec<Bytes> {
        let mut lines = vec![Line::Node(Node { name: &name, presence: &presence }).written()];
        if self.nodes.insert(name.clone(), (presence, Instant::now())).is_none() {
            lines.push(self.keep(Happened::now(What::NodeHere).to(&name)));
        }
        lines
    }

    /// Whether the bus can be reached. While it cannot, nobody is heard, and that says nothing of them.
    pub(super) fn link(&mut self, link: Link) -> Vec<Bytes> {
        let on_bus = link == Link::Up;
        if std::mem::replace(&mut self.on_bus, on_bus) == on_bus {
            return Vec::new();
        }
        let what = if on_bus { What::BusBack } else { What::BusAway };
        vec![Line::OnBus(on_bus).written(), self.keep(Happened::now(what))]
    }

    /// Time went on: who was not heard for too long?
    pub(super) fn beat(&mut self) -> Vec<Bytes> {
        let mut lines = Vec::new();
        for presence in self.roster.take_silent() {
            lines.push(Line::Gone(&presence.instance).written());
            if self.on_bus {
                lines.push(self.keep(Happened::to_instance(What::Silent, &presence)));
            }
        }
        let is_silent = |heard: &Instant| heard.elapsed() > SILENCE;
        let silent: Vec<Name> =
            self.nodes.iter().filter(|(_, (_, heard))| is_silent(heard)).map(|(name, _)| name.clone()).collect();
        for name in silent {
            self.nodes.remove(&name);
            lines.push(Line::NodeGone(&name).written());
            if self.on_bus {
                lines.push(self.keep(Happened::now(What::NodeSilent).to(&name)));
            }
        }
        lines
    }

    fn keep(&mut self, happened: Happened) -> Bytes {
        let line = Line::Happened(&happened).written();
        if self.happened.len() == KEPT {
            self.happened.pop_front();
        }
        self.happened.push_back(happened);
        line
    }
}

impl Line<'_> {
    fn written(&self) -> Bytes {
        // What is told has only keys that are texts: it can be written.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line.into()
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::ModelState;
    use serde_json::{Value, json};

    use super::*;

    fn read(line: &Bytes) -> Value {
        serde_json::from_slice(line).unwrap()
    }

    fn presence(state: ModelState) -> Presence {
        let name = Name::sanitized("fast");
        Presence { state, ..Presence::unknown(&name, &name) }
    }

    #[test]
    fn what_is_so_holds_what_was_told_before() {
        let mut seen = Seen::new(Link::Up);
        seen.node(Name::sanitized("home"), NodePresence { cores: 2, ..NodePresence::default() });
        seen.model(presence(ModelState::Ready));
        let lines = seen.model(presence(ModelState::Backoff));
        assert_eq!(read(&lines[0])["model"]["state"], "backoff");
        assert_eq!(read(&lines[1])["happened"]["what"], "down");
        let state = read(&seen.state());
        assert_eq!(state["state"]["nodes"][0]["name"], "home");
        assert_eq!(state["state"]["nodes"][0]["cores"], 2);
        assert_eq!(state["state"]["models"][0]["state"], "backoff");
        assert_eq!(state["state"]["happened"][1]["what"], "down");
        assert_eq!(state["state"]["on_bus"], true);
    }

    #[test]
    fn a_bus_that_is_away_is_told_once_each_time() {
        let mut seen = Seen::new(Link::Up);
        assert!(seen.link(Link::Up).is_empty());
        let lines = seen.link(Link::Down);
        assert_eq!(read(&lines[0]), json!({ "on_bus": false }));
        assert_eq!(read(&lines[1])["happened"]["what"], "bus_away");
        assert_eq!(seen.link(Link::Up).len(), 2);
    }

    #[test]
    fn what_happened_is_kept_within_bounds() {
        let mut seen = Seen::new(Link::Up);
        for state in [ModelState::Ready, ModelState::Backoff].into_iter().cycle().take(3 * KEPT) {
            seen.model(presence(state));
        }
        assert_eq!(seen.happened.len(), KEPT);
    }
}
