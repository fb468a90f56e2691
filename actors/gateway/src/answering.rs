//! How does an answer come as it is made? In parts: thoughts, text, calls, notes of what goes on, and one end.

use std::collections::VecDeque;
use std::time::Duration;

use megabrain_bus::{Frame, FrameStream};
use megabrain_schemas::{Ask, AskFrame, ChatFrame, ChatRequest, EchoRequest, Fault, FaultKind, Name, ToolCallDelta};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::answer::{Answer, of_chat, of_echo};
use crate::doors::Shared;
use crate::error::ApiError;
use crate::models::Asked;
use crate::work::Work;

/// A stream's first part is waited for this long before its headers go out: what is refused is mostly refused within a
/// few milliseconds, and then the status says so. Later, the stream itself does.
pub(crate) const FIRST: Duration = Duration::from_millis(250);

/// An answer that is being made. Dropping it before its end cancels the work on the bus.
pub(crate) struct Answering {
    doors: Shared,
    asked: Asked,
    frames: FrameStream,
    work: Work,
    /// What came and was not taken yet.
    waiting: VecDeque<Part>,
    speaker: Option<Name>,
    has_text: bool,
}

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Part {
    /// More of what a model thinks before it answers.
    Thought(String),
    /// More text.
    Text(String),
    /// More of the calls that a model asks for.
    Calls(Vec<ToolCallDelta>),
    /// What the brain found, or a leg that begins or ends.
    Note(Value),
    /// The end. Its text, thoughts and calls have come already, and are not to be sent again.
    End(Answer),
}

impl Answering {
    pub(crate) fn new(doors: Shared, asked: Asked, frames: FrameStream, work: Work) -> Self {
        Self { doors, asked, frames, work, waiting: VecDeque::new(), speaker: None, has_text: false }
    }

    /// Waits a moment for the first part that is more than a note.
    ///
    /// # Errors
    /// The fault that came instead.
    pub(crate) async fn settled(mut self) -> Result<Self, ApiError> {
        let until = Instant::now() + FIRST;
        let mut early = VecDeque::new();
        while let Ok(Some(part)) = tokio::time::timeout_at(until, self.next()).await {
            let part = part?;
            let is_note = matches!(part, Part::Note(_));
            early.push_back(part);
            if !is_note {
                break;
            }
        }
        early.append(&mut self.waiting);
        self.waiting = early;
        Ok(self)
    }

    /// The next part; `None` after the end. Cancel-safe.
    ///
    /// # Errors
    /// The fault that ended it. Nothing follows.
    pub(crate) async fn next(&mut self) -> Option<Result<Part, ApiError>> {
        loop {
            if let Some(part) = self.waiting.pop_front() {
                return Some(Ok(part));
            }
            if let Err(fault) = self.read().await? {
                return Some(Err(fault.into()));
            }
        }
    }

    /// Takes the next frame apart.
    async fn read(&mut self) -> Option<Result<(), Fault>> {
        let read = match &self.asked {
            Asked::Brain => match self.frames.next::<Ask>().await? {
                Ok(Frame::Part(_, frame)) => self.of_brain(frame),
                Ok(Frame::End(_, reply)) => {
                    self.waiting.push_back(Part::End(self.doors.of_brain(reply)));
                    Ok(())
                }
                Err(fault) => Err(fault),
            },
            Asked::Anyone | Asked::Model(_) => match self.frames.next::<ChatRequest>().await? {
                Ok(Frame::Part(_, frame)) => {
                    self.of_model(frame);
                    Ok(())
                }
                Ok(Frame::End(_, reply)) => {
                    self.waiting.push_back(Part::End(of_chat(reply)));
                    Ok(())
                }
                Err(fault) => Err(fault),
            },
            Asked::Echo(_) => match self.frames.next::<EchoRequest>().await? {
                Ok(Frame::Part(_, frame)) => {
                    self.text(frame.text.unwrap_or_default());
                    Ok(())
                }
                Ok(Frame::End(_, reply)) => {
                    self.waiting.push_back(Part::End(of_echo(reply)));
                    Ok(())
                }
                Err(fault) => Err(fault),
            },
        };
        Some(read)
    }

    fn of_brain(&mut self, frame: AskFrame) -> Result<(), Fault> {
        let AskFrame { leg, evidence, delta, model } = frame;
        let Some(delta) = delta else {
            self.waiting.push_back(Part::Note(match (leg, evidence) {
                (Some(leg), _) => json!({ "leg": leg }),
                (None, evidence) => json!({ "evidence": evidence }),
            }));
            return Ok(());
        };
        // Text that is sent cannot be taken back: another model would go on in the middle of a sentence.
        if let (Some(before), Some(now)) = (&self.speaker, &model)
            && before != now
        {
            let message = format!("model {before} failed after a part of its answer was sent");
            return Err(Fault::new(FaultKind::WorkerLost, message));
        }
        self.speaker = model.or(self.speaker.take());
        self.text(delta);
        Ok(())
    }

    fn of_model(&mut self, frame: ChatFrame) {
        let ChatFrame { delta, reasoning_content, tool_calls } = frame;
        self.waiting.extend(reasoning_content.map(Part::Thought));
        self.text(delta);
        if !tool_calls.is_empty() {
            self.waiting.push_back(Part::Calls(tool_calls));
        }
    }

    fn text(&mut self, delta: String) {
        if delta.is_empty() {
            return;
        }
        if !std::mem::replace(&mut self.has_text, true) {
            self.doors.metrics.first_text(self.asked.name(), self.work.began);
        }
        self.waiting.push_back(Part::Text(delta));
    }
}
