//! How does what a sequence computes reach the one who asked?

use std::time::{Duration, Instant};

use megabrain_runtime::Job;
use megabrain_schemas::{ChatFrame, ChatReply, Fault, FinishReason, Message, Timings, Usage};

use crate::sequence::Output;

/// Text that came within this time goes out in one frame.
const GATHER_FOR: Duration = Duration::from_millis(20);
/// This much text goes out at once, in bytes.
const GATHER_AT_MOST: usize = 512;

/// A job and what was said to it so far.
#[derive(Debug)]
pub(crate) struct Slot {
    job: Job,
    is_stream: bool,
    text: String,
    gather: Gather,
    usage: Usage,
    began: Instant,
    first_token: Option<Instant>,
}

impl Slot {
    /// A job whose prompt has so many tokens.
    pub(crate) fn new(job: Job, is_stream: bool, prompt_tokens: usize) -> Self {
        let prompt_tokens = u32::try_from(prompt_tokens).unwrap_or(u32::MAX);
        Self {
            job,
            is_stream,
            text: String::new(),
            gather: Gather::default(),
            usage: Usage { prompt_tokens, completion_tokens: 0 },
            began: Instant::now(),
            first_token: None,
        }
    }

    /// Why the job should end now, if it should.
    pub(crate) fn interruption(&self) -> Option<Fault> {
        self.job.interruption()
    }

    /// Takes what a step gave: sends it in a stream, else keeps it for the answer.
    pub(crate) fn deliver(&mut self, output: &Output) {
        let now = Instant::now();
        self.first_token.get_or_insert(now);
        self.usage.completion_tokens += output.tokens;
        if !self.is_stream {
            self.text.push_str(&output.text);
        } else if let Some(delta) = self.gather.push(&output.text, now) {
            self.job.frame(&ChatFrame { delta });
        }
    }

    /// Answers.
    pub(crate) fn answer(mut self, finish_reason: FinishReason) {
        if let Some(delta) = self.gather.rest() {
            self.job.frame(&ChatFrame { delta });
        }
        let reply = ChatReply {
            message: (!self.is_stream).then(|| Message::assistant(std::mem::take(&mut self.text))),
            finish_reason,
            usage: self.usage,
            timings: self.timings(),
        };
        self.job.answer(&reply);
    }

    /// Answers with a fault. What was already streamed stays said.
    pub(crate) fn fail(self, fault: Fault) {
        self.job.fail(fault);
    }

    fn timings(&self) -> Timings {
        let now = Instant::now();
        let first_token = self.first_token.unwrap_or(now);
        Timings {
            queued_ms: milliseconds(self.job.queued()),
            prompt_ms: milliseconds(first_token.duration_since(self.began)),
            first_token_ms: milliseconds(first_token.duration_since(self.job.arrived())),
            total_ms: milliseconds(now.duration_since(self.job.arrived())),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Gathers the text of a quick stream into fewer frames. The first text is never held back.
#[derive(Debug, Default)]
struct Gather {
    text: String,
    last: Option<Instant>,
}

impl Gather {
    /// Takes text and returns what is to be sent now.
    fn push(&mut self, text: &str, now: Instant) -> Option<String> {
        self.text.push_str(text);
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= GATHER_FOR);
        if self.text.is_empty() || !(is_due || self.text.len() >= GATHER_AT_MOST) {
            return None;
        }
        self.last = Some(now);
        self.rest()
    }

    /// Returns what was not sent yet.
    fn rest(&mut self) -> Option<String> {
        (!self.text.is_empty()).then(|| std::mem::take(&mut self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_text_is_never_held_back() {
        let mut gather = Gather::default();
        let now = Instant::now();
        assert_eq!(gather.push("", now), None);
        assert_eq!(gather.push("a", now), Some("a".into()));
    }

    #[test]
    fn quick_text_is_gathered_and_slow_text_is_not() {
        let mut gather = Gather::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(gather.push("a", at(0)), Some("a".into()));
        assert_eq!(gather.push("b", at(5)), None);
        assert_eq!(gather.push("c", at(10)), None);
        assert_eq!(gather.push("d", at(21)), Some("bcd".into()));
        assert_eq!(gather.push("e", at(60)), Some("e".into()));
        assert_eq!(gather.push("f", at(61)), None);
        assert_eq!(gather.rest(), Some("f".into()));
        assert_eq!(gather.rest(), None);
    }

    #[test]
    fn much_text_does_not_wait() {
        let mut gather = Gather::default();
        let now = Instant::now();
        gather.push("a", now);
        assert!(gather.push(&"b".repeat(GATHER_AT_MOST), now).is_some());
    }
}
