//! What can be set about the router?

use std::collections::BTreeMap;
use std::time::Duration;

use megabrain_schemas::{Capability, Name};
use serde::Deserialize;

/// The `[router]` table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// False: this node runs models only, and another node of the brain routes. Default true.
    pub enabled: bool,
    /// The models that answer questions, best first. Default: every ready model that serves `chat`, by name.
    pub answer: Vec<Name>,
    /// For a capability: the models to try, in order, where a request names none. Default: the least busy one.
    pub prefer: BTreeMap<Capability, Vec<Name>>,
    /// Questions that are answered at the same time; one more is `overloaded`. Default 1,000.
    pub max_asks: usize,
    /// Attachments of one question, and models that answer it. Default 64.
    pub max_legs: usize,
    /// Pictures and pieces of sound that are looked at of all films of one question. Default 512: four hours of sound
    /// and what is usual of pictures.
    pub max_parts: usize,
    /// Legs of all questions together that are under way at the same time; one more waits. Default 4,096.
    pub max_legs_in_flight: usize,
    /// Share of a question's time that its attachments may take, 0 to 1; the rest is the answering model's. Default 0.6.
    pub evidence_share: f64,
    /// Longest answer to a question that names none, in tokens: the brain's `default_max_tokens`. No key of this table.
    #[serde(skip)]
    pub default_max_tokens: u32,
    /// Time for a question that names none: the brain's `default_deadline`. No key of this table.
    #[serde(skip)]
    pub default_deadline: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            answer: Vec::new(),
            prefer: BTreeMap::new(),
            max_asks: 1000,
            max_legs: 64,
            max_parts: 512,
            max_legs_in_flight: 4096,
            evidence_share: 0.6,
            default_max_tokens: 512,
            default_deadline: Duration::from_secs(600),
        }
    }
}
