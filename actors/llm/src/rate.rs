//! How many tokens a second of work?

use std::time::Duration;

/// Tokens a second of work; what lies a second of work back counts half.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    tokens: f64,
    worked: Duration,
}

impl Rate {
    /// Learns from a step.
    pub(crate) fn measured(&mut self, tokens: u32, took: Duration) {
        self.tokens += f64::from(tokens);
        self.worked += took;
        if self.worked >= Duration::from_secs(2) {
            self.tokens /= 2.0;
            self.worked /= 2;
        }
    }

    /// What was measured lately; 0 before anything was.
    pub(crate) fn per_second(&self) -> f64 {
        if self.worked.is_zero() { 0.0 } else { self.tokens / self.worked.as_secs_f64() }
    }
}
