//! How is one question answered? Legs out, evidence in, models asked, answer joined.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use megabrain_bus::{Meta, Responder};
use megabrain_schemas::{
    Answer, Ask, AskFrame, AskReply, Capability, ChatFrame, ChatReply, ChatRequest, Codec, Evidence, Fault, FaultKind,
    LegReport, ModelState, Name, Request as _, Stamp, subject,
};

use crate::choose::{Wish, choose};
use crate::condense::left_out;
use crate::gather::{Gathered, gather};
use crate::leg::{begun, ended, meta_of, millis};
use crate::plan;
use crate::plan::{Look, PlannedLeg, address, answering, attachment_leg, describing_leg};
use crate::policy::{Next, Policy, Settled};
use crate::probe::Probe;
use crate::prompt::prompt;
use crate::router::Shared;

/// From the end of the last leg to the answer: what a late model and the bus take to tell of it, and more.
const TO_TELL: Duration = Duration::from_secs(1);

/// Where frames go while a question is being answered; nowhere if it is not streamed.
pub(crate) struct Frames {
    responder: Option<Responder>,
    probe: Probe,
}

impl Frames {
    pub(crate) fn new(responder: Option<Responder>, probe: Probe) -> Self {
        Self { responder, probe }
    }

    pub(crate) fn send(&mut self, frame: &AskFrame) {
        let Some(responder) = &mut self.responder else { return };
        responder.frame(frame, self.probe.due());
    }

    pub(crate) fn leg(&mut self, report: &LegReport) {
        self.send(&AskFrame { leg: Some(report.clone()), ..AskFrame::default() });
    }

    pub(crate) fn into_responder(self) -> Option<Responder> {
        self.responder
    }
}

/// A question in the works.
pub(crate) struct Asking<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) ask: Ask,
    pub(crate) meta: Meta,
    pub(crate) began: Instant,
    pub(crate) deadline: Instant,
    legs: Vec<LegReport>,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(shared: &'a Shared, ask: Ask, meta: Meta, began: Instant, deadline: Instant) -> Self {
        Self { shared, ask, meta, began, deadline, legs: Vec::new() }
    }

    /// Answers the question.
    ///
    /// # Errors
    /// What can be told without a model refuses the question before any leg. After that: a fault that names each
    /// attachment if all of them yielded nothing, or each model if none of them answered.
    pub(crate) async fn answer(mut self, frames: &mut Frames) -> Result<AskReply, Fault> {
        let (planned, models) = self.plan().await?;
        let deadline = self.evidence_deadline();
        let Gathered { evidence, legs } = gather(self.shared, &self.meta, &self.ask, planned, deadline, frames).await?;
        self.legs = legs;
        let (settled, left_out) = self.consult(&models, &evidence, frames).await?;
        Ok(AskReply { left_out, ..self.join(&models, settled, evidence)? })
    }

    /// Everything that can be told without a model.
    async fn plan(&self) -> Result<(Vec<PlannedLeg>, Vec<Name>), Fault> {
        let Ask { attachments, models, session, .. } = &self.ask;
        self.ask.check()?;
        let limit = self.shared.config.max_legs;
        if attachments.len() > limit {
            let message =
                format!("{} attachments are more than the {limit} that one question may have", attachments.len());
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        if let Some(many) = models.as_ref().map(Vec::len).filter(|many| *many > limit) {
            let message = format!("{many} models are more than the {limit} that may answer one question");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let mut types = Vec::with_capacity(attachments.len());
        for (index, attachment) in attachments.iter().enumerate() {
            types.push(self.shared.media_type(index, attachment).await?);
        }
        let mut roster = self.shared.roster.lock();
        let (look, wish) = (Look::of(&self.ask), Wish { session: session.as_deref() });
        let mut legs = Vec::with_capacity(attachments.len());
        for (index, (media, mime)) in attachments.iter().zip(&types).enumerate() {
            let leg = attachment_leg(&mut roster, index, mime, media, look, wish, &self.shared.config.prefer)?;
            let describing = describing_leg(&mut roster, &leg, mime, media, look, wish)?;
            legs.push(leg);
            legs.extend(describing);
        }
        let models = answering(&roster, models.as_deref(), &self.shared.config.answer)?;
        Ok((legs, models))
    }

    /// Attachments get their share of the time; if nobody answers afterwards, all of it but what it takes to tell of those
    /// that were late.
    fn evidence_deadline(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let share = if self.ask.models.as_ref().is_some_and(Vec::is_empty) {
            left.saturating_sub(TO_TELL.min(left / 5))
        } else {
            left.mul_f64(self.shared.config.evidence_share.clamp(0.05, 1.0))
        };
        Instant::now() + share
    }

    /// What of the evidence does not fit into the shortest context of those who answer.
    fn left_out(&self, models: &[Name], evidence: &[Evidence]) -> Vec<usize> {
        let roster = self.shared.roster.lock();
        let contexts = models.iter().flat_map(|model| roster.of_model(model)).filter_map(|presence| presence.context);
        let Some(context) = contexts.min() else { return Vec::new() };
        let question = self.ask.text.as_deref().unwrap_or_default();
        let max_tokens = self.ask.max_tokens.unwrap_or(self.shared.config.default_max_tokens);
        left_out(evidence, &self.ask.messages, question, max_tokens as usize, context as usize)
    }

    /// The question to these models, with as much of the evidence as each of them can read, and the numbers of the rest.
    fn question(&self, models: &[Name], evidence: &[Evidence]) -> Result<(Bytes, Vec<usize>), Fault> {
        let left_out = self.left_out(models, evidence);
        let kept = evidence.iter().enumerate().filter(|(index, _)| !left_out.contains(index)).map(|(_, item)| item);
        let prompt = prompt(self.ask.text.as_deref(), kept);
        if prompt.is_empty() {
            let names = models.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("what was found in the attachments is longer than what {names} can read at once");
            return Err(Fault::new(FaultKind::TooLarge, message));
        }
        let request = ChatRequest { stream: true, ..self.ask.chat(prompt) };
        Ok((Bytes::from(Codec::MessagePack.encode(&request)?), left_out))
    }

    /// Puts the question to the models as the policy says. What the last of them were not told is told.
    async fn consult(
        &mut self,
        models: &[Name],
        evidence: &[Evidence],
        frames: &mut Frames,
    ) -> Result<(Vec<Settled>, Vec<usize>), Fault> {
        let policy: Box<dyn Policy> = self.ask.policy.into();
        let mut settled: Vec<Settled> = Vec::new();
        let mut left_out = Vec::new();
        while let Next::Ask(next) = policy.next(models, &settled) {
            let payload;
            (payload, left_out) = self.question(&next, evidence)?;
            let (sender, mut deltas) = tokio::sync::mpsc::channel(256);
            let first = self.ask.attachments.len() + settled.len();
            let (shared, meta, deadline) = (self.shared, &self.meta, self.deadline);
            let mut running: FuturesUnordered<_> = next
                .iter()
                .enumerate()
                .map(|(offset, model)| {
                    let leg = self.chat_leg(first + offset, model, payload.clone());
                    frames.leg(&begun(&leg));
                    chat(shared, meta, leg, deadline, sender.clone())
                })
                .collect();
            drop(sender);
            while !running.is_empty() {
                tokio::select! {
                    biased;
                    Some((model, delta)) = deltas.recv() => {
                        frames.send(&AskFrame { delta: Some(delta), model: Some(model), ..AskFrame::default() });
                    }
                    Some((report, one)) = running.next() => {
                        // What this model said before it ended comes before the word that it ended.
                        while let Ok((model, delta)) = deltas.try_recv() {
                            frames.send(&AskFrame { delta: Some(delta), model: Some(model), ..AskFrame::default() });
                        }
                        frames.leg(&report);
                        self.legs.push(report);
                        settled.push(one);
                    }
                }
            }
        }
        Ok((settled, left_out))
    }

    fn chat_leg(&self, number: usize, model: &Name, payload: Bytes) -> PlannedLeg {
        let capability = Capability::of::<ChatRequest>();
        PlannedLeg {
            path: number.to_string(),
            attachment: number,
            at_ms: None,
            others: Vec::new(),
            subject: self.subject_of(&capability, model),
            capability,
            model: model.clone(),
            payload,
        }
    }

    /// Where a model is asked; while none of its instances is ready, whoever guards it answers there.
    fn subject_of(&self, capability: &Capability, model: &Name) -> String {
        let mut roster = self.shared.roster.lock();
        let ready: Vec<_> = roster.of_model(model).filter(|one| one.state == ModelState::Ready).collect();
        match choose(&ready, Wish { session: self.ask.session.as_deref() }).cloned() {
            Some(chosen) => address(&mut roster, capability, &chosen),
            None => subject::model(capability, model),
        }
    }

    fn join(self, models: &[Name], settled: Vec<Settled>, evidence: Vec<Evidence>) -> Result<AskReply, Fault> {
        let mut legs = self.legs;
        legs.sort_by_key(|report| path_of(&report.leg));
        let order = |model: &Name| models.iter().position(|other| other == model);
        let mut answers: Vec<Answer> = settled.iter().filter_map(|one| one.outcome.clone().ok()).collect();
        answers.sort_by_key(|answer| order(&answer.model));
        let took_ms = millis(self.began.elapsed());
        let Some(best) = answers.first().cloned() else {
            if !settled.is_empty() {
                let faults = settled
                    .iter()
                    .filter_map(|one| Some((format!("model {}", one.model), one.outcome.as_ref().err()?)));
                return Err(together("no model answered", faults));
            }
            let text = plan::plain_text(&evidence);
            return Ok(AskReply { text, evidence, legs, took_ms, ..AskReply::default() });
        };
        Ok(AskReply {
            work: None,
            text: best.text,
            model: Some(best.model),
            finish_reason: Some(best.finish_reason),
            usage: Some(best.usage),
            answers,
            evidence,
            legs,
            took_ms,
            ..AskReply::default()
        })
    }
}

/// Puts the question to one model and passes its text on as it comes.
async fn chat(
    shared: &Shared,
    root: &Meta,
    leg: PlannedLeg,
    deadline: Instant,
    deltas: tokio::sync::mpsc::Sender<(Name, String)>,
) -> (LegReport, Settled) {
    let began = Instant::now();
    let mut last = Bytes::new();
    let outcome = read_chat(shared, root, &leg, deadline, &deltas, &mut last).await;
    let report = ended(&leg, began, outcome.as_ref().map(|_| last.as_ref()));
    let answer = outcome.map(|(text, reply)| Answer {
        model: leg.model.clone(),
        text,
        finish_reason: reply.finish_reason,
        usage: reply.usage,
        took_ms: report.took_ms,
    });
    (report, Settled { model: leg.model, outcome: answer })
}

async fn read_chat(
    shared: &Shared,
    root: &Meta,
    leg: &PlannedLeg,
    deadline: Instant,
    deltas: &tokio::sync::mpsc::Sender<(Name, String)>,
    last: &mut Bytes,
) -> Result<(String, ChatReply), Fault> {
    let _place = shared.place_for_leg(deadline).await?;
    let mut stream = shared.bus.stream_raw(&leg.subject, leg.payload.clone(), meta_of(root, leg, deadline)).await?;
    let mut text = String::new();
    while let Some(frame) = stream.next_raw().await {
        let (Stamp { done, .. }, body) = frame?;
        if done {
            let reply = leg.read(&body)?;
            *last = body;
            return Ok((text, reply));
        }
        let ChatFrame { delta, .. } = leg.read(&body)?;
        text.push_str(&delta);
        // Nobody reads frames of a question that is given up.
        let _ = deltas.send((leg.model.clone(), delta)).await;
    }
    Err(Fault::engine(format!("the stream from {} ended without an end", leg.subject)))
}

/// A leg's path as numbers, to sort by: `0.10` comes after `0.9`.
fn path_of(leg: &str) -> Vec<usize> {
    leg.split('.').map(|number| number.parse().unwrap_or(usize::MAX)).collect()
}

/// One fault that names each of several.
pub(crate) fn together<'f>(what: &str, faults: impl Iterator<Item = (String, &'f Fault)>) -> Fault {
    let faults: Vec<(String, &Fault)> = faults.collect();
    let each = faults.iter().map(|(who, fault)| format!("{who}: {fault}")).collect::<Vec<_>>().join("; ");
    let kind = faults.first().map_or(FaultKind::Engine, |(_, fault)| fault.kind);
    let retry_after_ms = faults.iter().filter_map(|(_, fault)| fault.retry_after_ms).max();
    Fault { retry_after_ms, ..Fault::new(kind, format!("{what}: {each}")) }
}
