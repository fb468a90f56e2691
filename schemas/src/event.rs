//! What do the parts of a brain tell each other, unasked?

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capability, FaultKind, Name, SeeTask};

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    /// The process is being started.
    #[default]
    Starting,
    /// The engine reads its weights.
    Loading,
    /// It serves.
    Ready,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// It died or could not load, and will be started again.
    Backoff,
    /// It will not be started again until somebody changes something.
    Failed,
}

impl ModelState {
    /// As the contract writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Loading => "loading",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Backoff => "backoff",
            Self::Failed => "failed",
        }
    }
}

/// What an instance is and does. Sent once a second, and at every change of state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Presence {
    /// The instance: unique in the brain, the same after a restart.
    pub instance: Name,
    /// The model that it serves.
    pub model: Name,
    /// The kind of actor: `llm`, `speech`, `echo` …
    pub actor: Name,
    /// The node that supervises it. Absent from a process started by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// Where it is in its life.
    pub state: ModelState,
    /// What it serves.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Media types that it takes as an attachment: `audio/*`, `application/pdf`.
    #[serde(default)]
    pub accepts: Vec<String>,
    /// Of the tasks of `see`, those that it does by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<SeeTask>,
    /// Where its weights live: `ram`, `cuda0`, `vulkan0`. Absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Works that run at the same time.
    #[serde(default)]
    pub slots: u32,
    /// Works that wait at most.
    #[serde(default)]
    pub queue_limit: u32,
    /// Tokens that a conversation may have. Absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<u32>,
    /// Works that wait.
    #[serde(default)]
    pub queued: u32,
    /// Works that run.
    #[serde(default)]
    pub in_flight: u32,
    /// Works answered since the process started, faults included.
    #[serde(default)]
    pub finished: u64,
    /// Works answered with a fault since the process started.
    #[serde(default)]
    pub faults: u64,
    /// What kind the last of them was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fault: Option<FaultKind>,
    /// Tokens that came out in the last second of work.
    #[serde(default)]
    pub tokens_per_second: f64,
    /// Tokens of prompts, and of texts that were only read, since the process started.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens that came out since the process started.
    #[serde(default)]
    pub completion_tokens: u64,
    /// What the works answered since the process started took from their arrival, in sum, in milliseconds.
    #[serde(default)]
    pub took_ms: f64,
    /// Resident memory of the process, in bytes.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Memory taken on the device, in bytes, where the engine tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_memory_bytes: Option<u64>,
    /// Threads that the engine computes on.
    #[serde(default)]
    pub threads: u32,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u32,
    /// Operating-system process id; 0 while there is no process.
    #[serde(default)]
    pub pid: u32,
    /// Share of the weights that is read, 0 to 1, while loading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f32>,
    /// Why it is in this state, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the next start is due, in milliseconds, in state `backoff`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// What an instance took and finished since its last report. Keys are 64-bit xxh3 hashes of reply subjects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkReport {
    /// The model, so that a listener need not look the instance up.
    pub model: Name,
    /// Taken and still open.
    #[serde(default)]
    pub taken: Vec<u64>,
    /// Answered.
    #[serde(default)]
    pub finished: Vec<u64>,
}

/// How many threads each model of a node may compute on, from now on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoreShares {
    /// Threads by model.
    pub threads: BTreeMap<Name, u32>,
}

/// Ends a work and all its legs: `mb.v1.cancel.<work>` says which, the body has nothing to add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cancel {}

impl Presence {
    /// The presence of an instance of which only the names are known.
    pub fn unknown(instance: &Name, model: &Name) -> Self {
        Self {
            instance: instance.clone(),
            model: model.clone(),
            actor: model.clone(),
            node: None,
            state: ModelState::Starting,
            capabilities: Vec::new(),
            accepts: Vec::new(),
            tasks: Vec::new(),
            device: None,
            slots: 0,
            queue_limit: 0,
            context: None,
            queued: 0,
            in_flight: 0,
            finished: 0,
            faults: 0,
            last_fault: None,
            tokens_per_second: 0.0,
            prompt_tokens: 0,
            completion_tokens: 0,
            took_ms: 0.0,
            memory_bytes: 0,
            device_memory_bytes: None,
            threads: 0,
            restarts: 0,
            pid: 0,
            progress: None,
            reason: None,
            retry_after_ms: None,
        }
    }
}

/// What a node is and has. Sent once a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodePresence {
    /// True if it routes: answers `mb.v1.ask` and `mb.v1.<capability>`.
    pub router: bool,
    /// Questions that are being answered.
    #[serde(default)]
    pub asks_in_flight: u32,
    /// Cores that its models share.
    pub cores: u32,
    /// Memory of the machine, in bytes.
    pub memory_bytes: u64,
    /// Memory of the machine that is free, in bytes.
    pub memory_available_bytes: u64,
    /// Resident memory of the node's own process, in bytes.
    pub resident_bytes: u64,
    /// Time since it started, in milliseconds.
    pub up_ms: u64,
    /// Its cards, once it has listed them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<Card>,
}

/// A card that models can live on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Card {
    /// As a brain file and [`Presence::device`] call it: `cuda0`, `vulkan0`.
    pub name: String,
    /// What its maker calls it.
    pub description: String,
    /// Its memory in all, in bytes.
    pub memory_bytes: u64,
}
