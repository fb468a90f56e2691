//! What can be set about an echo actor?

use serde::Deserialize;

/// An echo model's table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Works that wait for their delay at the same time. Default 20,000.
    pub(crate) slots: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { slots: 20_000 }
    }
}
