//! How does an answer come as it is made? In parts: text, notes of what goes on, and one end.

use std::collections::VecDeque;
use std::time::Duration;

use megabrain_bus::{Frame, FrameStream};
use megabrain_schemas::{Ask, AskFrame, ChatFrame, ChatRequest, EchoRequest, Fault, FaultKind, Name};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::conversation::{Answer, of_echo};
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
    early: VecDeque<Part>,
    speaker: Option<Name>,
    has_text: bool,
}

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Part {
    /// More text.
    Text(String),
    /// What the brain found, a leg that begins or ends, or what a model thinks before it answers.
    Note(Value),
    /// The end. Its text has come already, and is not to be sent again.
    End(Answer),
}

impl Answering {
    pub(crate) fn new(doors: Shared, asked: Asked, frames: FrameStream, work: Work) -> Self {
        Self { doors, asked, frames, work, early: VecDeque::new(), speaker: None, has_text: false }
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
        self.early = early;
        Ok(self)
    }

    /// The request that it answers.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    /// The next part; `None` after the end. Cancel-safe.
    ///
    /// # Errors
    /// The fault that ended it. Nothing follows.
    pub(crate) async fn next(&mut self) -> Option<Result<Part, ApiError>> {
        if let Some(early) = self.early.pop_front() {
            return Some(Ok(early));
        }
        let part = match &self.asked {
            Asked::Brain => match self.frames.next::<Ask>().await? {
                Ok(Frame::Part(_, frame)) => self.of_brain(frame),
                Ok(Frame::End(_, reply)) => Ok(Part::End(self.doors.of_brain(reply))),
                Err(fault) => Err(fault),
            },
            Asked::Model(model) => match self.frames.next::<ChatRequest>().await? {
                // Calls come only where tools are given, which these doors refuse as yet.
                Ok(Frame::Part(_, ChatFrame { reasoning_content: Some(thought), .. })) => {
                    Ok(Part::Note(json!({ "reasoning_content": thought })))
                }
                Ok(Frame::Part(_, ChatFrame { delta, .. })) => Ok(self.text(delta)),
                Ok(Frame::End(_, reply)) => Ok(Part::End(self.doors.of_model(model, reply))),
                Err(fault) => Err(fault),
            },
            Asked::Echo(_) => match self.frames.next::<EchoRequest>().await? {
                Ok(Frame::Part(_, frame)) => Ok(self.text(frame.text.unwrap_or_default())),
                Ok(Frame::End(_, reply)) => Ok(Part::End(of_echo(reply))),
                Err(fault) => Err(fault),
            },
        };
        Some(part.map_err(ApiError::from))
    }

    fn of_brain(&mut self, frame: AskFrame) -> Result<Part, Fault> {
        let AskFrame { leg, evidence, delta, model } = frame;
        let Some(delta) = delta else {
            return Ok(Part::Note(match (leg, evidence) {
                (Some(leg), _) => json!({ "leg": leg }),
                (None, evidence) => json!({ "evidence": evidence }),
            }));
        };
        // Text that is sent cannot be taken back: another model would go on in the middle of a sentence.
        if let (Some(before), Some(now)) = (&self.speaker, &model)
            && before != now
        {
            let message = format!("model {before} failed after a part of its answer was sent");
            return Err(Fault::new(FaultKind::WorkerLost, message));
        }
        self.speaker = model.or(self.speaker.take());
        Ok(self.text(delta))
    }

    fn text(&mut self, delta: String) -> Part {
        if !std::mem::replace(&mut self.has_text, true) {
            self.doors.metrics.first_text(self.asked.name(), self.work.began);
        }
        Part::Text(delta)
    }
}
