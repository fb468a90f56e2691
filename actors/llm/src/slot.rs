//! How does what a sequence computes reach the one who asked?

use std::time::{Duration, Instant};

use megabrain_runtime::Job;
use megabrain_schemas::{ChatFrame, ChatReply, Fault, FinishReason, Message, Timings, ToolCall, ToolKind, Usage};
use rand::Rng as _;
use rand::distr::Alphanumeric;

use crate::answer::Part;
use crate::plan::Answering;
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
    answer: Answering,
    /// The whole answer; of a stream, only its calls.
    message: Message,
    gather: Gather,
    usage: Usage,
    began: Instant,
    first_token: Option<Instant>,
}

impl Slot {
    /// A job whose prompt has so many tokens.
    pub(crate) fn new(job: Job, is_stream: bool, answer: Answering, prompt_tokens: usize) -> Self {
        let prompt_tokens = u32::try_from(prompt_tokens).unwrap_or(u32::MAX);
        Self {
            job,
            is_stream,
            answer,
            message: Message::assistant(""),
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

    /// True if what the caller may have of an answer is there: one call, where he wants no more.
    pub(crate) fn is_complete(&self) -> bool {
        !self.answer.may_call_again && !self.message.tool_calls.is_empty()
    }

    /// Takes what a step gave: sends it in a stream, else keeps it for the answer.
    pub(crate) fn deliver(&mut self, output: &Output) {
        let now = Instant::now();
        self.first_token.get_or_insert(now);
        self.usage.completion_tokens += output.tokens;
        let parts = self.answer.reader.push(&output.text);
        self.take(parts);
        if let Some(frame) = self.gather.due(now) {
            self.job.frame(&frame);
        }
    }

    /// Answers.
    pub(crate) fn answer(mut self, finish_reason: FinishReason) {
        let parts = self.answer.reader.finish();
        self.take(parts);
        if let Some(frame) = self.gather.rest() {
            self.job.frame(&frame);
        }
        let has_called = !self.message.tool_calls.is_empty();
        let reply = ChatReply {
            finish_reason: match finish_reason {
                FinishReason::Stop if has_called => FinishReason::ToolCalls,
                reason => reason,
            },
            usage: self.usage,
            timings: self.timings(),
            message: (!self.is_stream).then_some(self.message),
        };
        self.job.answer(&reply);
    }

    /// Answers with a fault. What was already streamed stays said.
    pub(crate) fn fail(self, fault: Fault) {
        self.job.fail(fault);
    }

    fn take(&mut self, parts: Vec<Part>) {
        for part in parts {
            if self.is_complete() {
                return;
            }
            match part {
                Part::Text(text) if self.is_stream => self.gather.frame.delta.push_str(&text),
                Part::Text(text) => self.message.content.push_str(&text),
                Part::Thought(text) if self.is_stream => {
                    self.gather.frame.reasoning_content.get_or_insert_default().push_str(&text);
                }
                Part::Thought(text) => self.message.reasoning_content.get_or_insert_default().push_str(&text),
                Part::Call(function) => {
                    let letter = || char::from(rand::rng().sample(Alphanumeric));
                    let id = self.answer.family.call_id(letter);
                    let call = ToolCall { id, kind: ToolKind::Function, function };
                    let index = u32::try_from(self.message.tool_calls.len()).unwrap_or(u32::MAX);
                    if self.is_stream {
                        self.gather.frame.tool_calls.push(call.clone().into_delta(index));
                    }
                    self.message.tool_calls.push(call);
                }
            }
        }
    }

    fn timings(&self) -> Timings {
        let now = Instant::now();
        let first_token = self.first_token.unwrap_or(now);
        Timings {
            queued_ms: self.job.queued_ms(),
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
    frame: ChatFrame,
    last: Option<Instant>,
}

impl Gather {
    /// Returns what is to be sent now.
    fn due(&mut self, now: Instant) -> Option<ChatFrame> {
        let ChatFrame { delta, reasoning_content, tool_calls } = &self.frame;
        let bytes = delta.len() + reasoning_content.as_ref().map_or(0, String::len);
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= GATHER_FOR);
        if !(is_due || bytes >= GATHER_AT_MOST || !tool_calls.is_empty()) {
            return None;
        }
        let frame = self.rest()?;
        self.last = Some(now);
        Some(frame)
    }

    /// Returns what was not sent yet.
    fn rest(&mut self) -> Option<ChatFrame> {
        (self.frame != ChatFrame::default()).then(|| std::mem::take(&mut self.frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(gather: &mut Gather, text: &str, now: Instant) -> Option<String> {
        gather.frame.delta.push_str(text);
        gather.due(now).map(|frame| frame.delta)
    }

    #[test]
    fn the_first_text_is_never_held_back() {
        let mut gather = Gather::default();
        let now = Instant::now();
        assert_eq!(push(&mut gather, "", now), None);
        assert_eq!(push(&mut gather, "a", now), Some("a".into()));
    }

    #[test]
    fn quick_text_is_gathered_and_slow_text_is_not() {
        let mut gather = Gather::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(push(&mut gather, "a", at(0)), Some("a".into()));
        assert_eq!(push(&mut gather, "b", at(5)), None);
        assert_eq!(push(&mut gather, "c", at(10)), None);
        assert_eq!(push(&mut gather, "d", at(21)), Some("bcd".into()));
        assert_eq!(push(&mut gather, "e", at(60)), Some("e".into()));
        assert_eq!(push(&mut gather, "f", at(61)), None);
        assert_eq!(gather.rest().map(|frame| frame.delta), Some("f".into()));
        assert_eq!(gather.rest(), None);
    }

    #[test]
    fn much_text_and_a_call_do_not_wait() {
        let mut gather = Gather::default();
        let now = Instant::now();
        push(&mut gather, "a", now);
        assert!(push(&mut gather, &"b".repeat(GATHER_AT_MOST), now).is_some());
        gather.frame.tool_calls.push(ToolCall::function("1", "f", "{}").into_delta(0));
        assert_eq!(gather.due(now).map(|frame| frame.tool_calls.len()), Some(1));
    }
}
