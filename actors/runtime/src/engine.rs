//! What must a model do to be an actor? Load, take work, compute a step at a time.
//!
//! An engine never sees the bus. The runtime owns subjects, admission, queue, deadlines, cancel, drain, statistics and
//! trace; it drives the engine from one operating-system thread, which is also the thread that `load`ed it, so an
//! engine need not be `Send`.

use std::time::{Duration, Instant};

use megabrain_schemas::{Capability, SeeTask};
use serde::de::DeserializeOwned;

use crate::{Host, Job};

/// One model, as the runtime drives it. See `actors/echo` for the smallest one.
pub trait Engine: Sized + 'static {
    /// The kind of actor: `llm`, `speech`, `echo`. The executable is `megabrain-<actor>`.
    const ACTOR: &'static str;

    /// Scheduling niceness of the engine's thread and of those it starts, 0 to 19: who computes yields to bus and router,
    /// and to the threads of its own process that only pass messages on. 0 for an engine that computes next to nothing.
    const NICENESS: i32 = 5;

    /// The model's own table of the brain file. Use `deny_unknown_fields`.
    type Config: DeserializeOwned + Send + 'static;

    /// Refuses settings that `load` would refuse before it opens a file: what their types do not say, such as ranges, and
    /// what this build of the actor cannot do. `megabrain up --check` asks it of every model.
    ///
    /// # Errors
    /// [`LoadError::Config`], naming the setting.
    fn check(_config: &Self::Config) -> Result<(), LoadError> {
        Ok(())
    }

    /// Loads the model. May take minutes; reports with [`Host::progress`].
    ///
    /// # Errors
    /// Says why the model cannot be loaded and what to do about it; the supervisor tries again with growing delay.
    fn load(config: Self::Config, host: &Host) -> Result<Self, LoadError>;

    /// What the loaded model is. Asked once, after `load`.
    fn profile(&self) -> Profile;

    /// Begins a job. Called only while fewer than [`Profile::slots`] jobs are open; must not block.
    ///
    /// The job must in the end be answered, failed or dropped, here or later, on this thread or another.
    fn start(&mut self, job: Job);

    /// Computes for at most 100 ms, or one decode step.
    fn step(&mut self) -> Step;

    /// Ends every job whose [`Job::interruption`] says so. Called, before a `step`, soon after a cancel or a deadline.
    ///
    /// An engine that asks its jobs at every step anyway need not have it.
    fn interrupted(&mut self) {}

    /// Computes on so many threads from the next step on.
    fn set_threads(&mut self, _threads: usize) {}

    /// What the engine measures of itself. Asked about once a second, between steps.
    fn gauges(&self) -> Gauges {
        Gauges::default()
    }
}

/// When the engine wants to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// At once: there is more to compute.
    Busy,
    /// At this time, or when something happens.
    Until(Instant),
    /// When something happens: a new job, an interruption, or [`crate::Waker::wake`].
    Idle,
}

/// What a loaded model is, as it is announced to the brain.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// What it serves.
    pub capabilities: Vec<Capability>,
    /// Media types that it takes as an attachment: `audio/*`, `application/pdf`.
    pub accepts: Vec<String>,
    /// Of the tasks of `see`, those that it does by itself. The router sends nobody what another does better.
    pub tasks: Vec<SeeTask>,
    /// Jobs that run at the same time, at least 1.
    pub slots: usize,
    /// Tokens that a conversation may have.
    pub context: Option<u32>,
    /// Where its weights live: `ram`, `cuda0`, `vulkan0`.
    pub device: Option<String>,
    /// Memory taken on that device, in bytes, where the engine knows.
    pub device_memory_bytes: Option<u64>,
}

/// What an engine measures of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// Tokens a second of work, lately: those that came out, or that a model which only reads has read.
    pub tokens_per_second: f64,
    /// Tokens of prompts, and of texts that were only read, since it was loaded.
    pub prompt_tokens: u64,
    /// Tokens that came out since it was loaded.
    pub completion_tokens: u64,
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration asks for what this machine or this build does not have; the message says what there is.
    #[error("{0}")]
    Config(String),
    /// A file is missing or not what it should be; the message names it.
    #[error("{0}")]
    Weights(String),
    /// The engine refused.
    #[error("{0}")]
    Engine(String),
}

/// How long an engine may compute before it looks up.
pub const STEP_BOUND: Duration = Duration::from_millis(100);
