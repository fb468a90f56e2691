//! What can be set about jobs?

use std::time::Duration;

use bytesize::ByteSize;
use serde::Deserialize;

/// The `[gateway.jobs]` table of the brain file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobsConfig {
    /// False: no jobs. Default true.
    pub enabled: bool,
    /// Jobs of one key for one model at the same time; the others wait in their line, and keep no other line waiting.
    /// Default 64: as many as a model lets wait.
    pub concurrent: usize,
    /// Time for one attempt at a job that names none. Default 1 hour.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// How long a job and its answer are kept. Default 7 days.
    #[serde(with = "humantime_serde")]
    pub keep: Duration,
    /// For how long a job is tried while models are busy or away, and then for how long its callback is. Default 1 day.
    #[serde(with = "humantime_serde")]
    pub give_up: Duration,
    /// What answers may take on disk; waiting jobs may take as much. Default 1 GiB.
    pub max_bytes: ByteSize,
    /// What callbacks are signed with: `whsec_` and base64. The node fills it in.
    #[serde(skip)]
    pub secret: String,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            concurrent: 64,
            deadline: Duration::from_secs(3600),
            keep: Duration::from_secs(7 * 24 * 3600),
            give_up: Duration::from_secs(24 * 3600),
            max_bytes: ByteSize::gib(1),
            secret: String::new(),
        }
    }
}
