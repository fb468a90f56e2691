//! Who of the models answers? One small trait: settled answers in, the next models or the end out.
//!
//! This is where a cascade, a vote or a judge will live.

use megabrain_schemas::{Answer, Fault, Name};

/// How one model's leg ended.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The model.
    pub model: Name,
    /// What it said, or why it did not.
    pub outcome: Result<Answer, Fault>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Put the question to these, side by side.
    Ask(Vec<Name>),
    /// What is settled is all there is to be.
    Enough,
}

/// A way to get an answer from several models.
pub trait Policy: Send + Sync {
    /// What to do now that these have settled; at first, none have. Everything asked before has settled.
    fn next(&self, models: &[Name], settled: &[Settled]) -> Next;
}

/// The first model in order; the next one where it fails.
#[derive(Clone, Copy, Debug)]
pub struct First;

/// Every model, side by side.
#[derive(Clone, Copy, Debug)]
pub struct All;

impl Policy for First {
    fn next(&self, models: &[Name], settled: &[Settled]) -> Next {
        if settled.iter().any(|one| one.outcome.is_ok()) {
            return Next::Enough;
        }
        models.get(settled.len()).map_or(Next::Enough, |model| Next::Ask(vec![model.clone()]))
    }
}

impl Policy for All {
    fn next(&self, models: &[Name], settled: &[Settled]) -> Next {
        if settled.is_empty() && !models.is_empty() { Next::Ask(models.to_vec()) } else { Next::Enough }
    }
}

impl From<megabrain_schemas::Policy> for Box<dyn Policy> {
    fn from(policy: megabrain_schemas::Policy) -> Self {
        match policy {
            megabrain_schemas::Policy::First => Box::new(First),
            megabrain_schemas::Policy::All => Box::new(All),
        }
    }
}
