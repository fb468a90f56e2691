//! How many prompt tokens fit into a step?
//!
//! A step cannot be interrupted, so it must be short; and the more prompt tokens it takes, the better the processor or
//! the card is used. The right number depends on model, device and on who else computes, so it is measured.

use std::time::Duration;

/// What a step should last; the engine promises no more than 100 ms.
const AIM: Duration = Duration::from_millis(70);
/// The fewest prompt tokens that a step takes.
const LEAST: usize = 8;

/// The number of prompt tokens for the next step.
#[derive(Debug)]
pub(crate) struct Pace {
    chunk: usize,
    most: usize,
}

impl Pace {
    /// Begins with the fewest, for nothing is known yet, and never takes more than `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self { chunk: LEAST.min(most), most }
    }

    /// Prompt tokens that the next step may take.
    pub(crate) fn chunk(&self) -> usize {
        self.chunk
    }

    /// Learns from a step that computed `prompt_tokens`, beside the next tokens of other sequences.
    pub(crate) fn measured(&mut self, prompt_tokens: usize, took: Duration) {
        if prompt_tokens == 0 || took.is_zero() {
            return;
        }
        let fits = prompt_tokens as f64 * AIM.as_secs_f64() / took.as_secs_f64();
        let is_full = prompt_tokens >= self.chunk;
        let next = if took > AIM {
            fits as usize
        } else if is_full {
            // A small step says little about a large one: at most double.
            (fits as usize).min(self.chunk * 2)
        } else {
            self.chunk
        };
        self.chunk = next.clamp(LEAST.min(self.most), self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(chunk_sizes: usize) -> Pace {
        let mut pace = Pace::new(512);
        for _ in 0..chunk_sizes {
            pace.measured(pace.chunk(), Duration::from_millis(5));
        }
        pace
    }

    #[test]
    fn quick_steps_double_up_to_the_limit() {
        let sizes: Vec<usize> = (0..9).map(|steps| after(steps).chunk()).collect();
        assert_eq!(sizes, [8, 16, 32, 64, 128, 256, 512, 512, 512]);
    }

    #[test]
    fn a_slow_step_shrinks_the_next_one_at_once() {
        let mut pace = after(2);
        pace.measured(32, Duration::from_millis(140));
        assert_eq!(pace.chunk(), 16);
        pace.measured(16, Duration::from_secs(10));
        assert_eq!(pace.chunk(), 8);
    }

    #[test]
    fn a_step_with_few_prompt_tokens_teaches_nothing_about_large_ones() {
        let mut pace = after(2);
        pace.measured(3, Duration::from_millis(1));
        assert_eq!(pace.chunk(), 32);
        pace.measured(0, Duration::from_millis(500));
        assert_eq!(pace.chunk(), 32);
    }
}
