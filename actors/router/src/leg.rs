//! How is one leg sent, timed and reported?

use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_bus::Meta;
use megabrain_schemas::{Codec, Fault, FaultKind, LegReport, LegStatus, subject};
use serde::Deserialize;

use crate::fallback::can_be_mended;
use crate::hear::{Partly, hear};
use crate::plan::PlannedLeg;
use crate::router::Shared;

/// A leg that has ended.
pub(crate) struct EndedLeg {
    pub(crate) leg: PlannedLeg,
    pub(crate) report: LegReport,
    pub(crate) outcome: Result<Bytes, Fault>,
    /// What was heard before it broke off.
    pub(crate) partly: Option<Partly>,
}

/// The report of a leg that has begun.
pub(crate) fn begun(leg: &PlannedLeg) -> LegReport {
    LegReport {
        leg: leg.path.clone(),
        subject: leg.subject.clone(),
        model: Some(leg.model.clone()),
        status: None,
        queued_ms: None,
        took_ms: 0.0,
        note: None,
        error: None,
    }
}

/// The report of a leg that has ended, from its outcome.
pub(crate) fn ended(leg: &PlannedLeg, began: Instant, outcome: Result<&[u8], &Fault>) -> LegReport {
    let (status, error) = match outcome {
        Ok(_) => (LegStatus::Ok, None),
        Err(fault) => (status_of(fault), Some(fault.clone())),
    };
    let told = outcome.ok().and_then(told).unwrap_or_default();
    LegReport {
        status: Some(status),
        queued_ms: told.queued_ms.or(told.timings.map(|timings| timings.queued_ms)),
        note: told.note,
        took_ms: millis(began.elapsed()),
        error,
        ..begun(leg)
    }
}

fn status_of(fault: &Fault) -> LegStatus {
    match fault.kind {
        FaultKind::DeadlineExceeded => LegStatus::Late,
        FaultKind::Cancelled => LegStatus::Cancelled,
        _ => LegStatus::Failed,
    }
}

/// Sends a leg of the work that `root` is about and waits for its end; where a model fails, the next one is tried.
pub(crate) async fn run(shared: &Shared, root: &Meta, mut leg: PlannedLeg, deadline: Instant) -> EndedLeg {
    let began = Instant::now();
    let mut partly = None;
    let outcome = loop {
        match attempt(shared, root, &leg, deadline, &mut partly).await {
            Err(fault) if let Some(wait) = next_try(&mut leg, &fault, deadline) => tokio::time::sleep(wait).await,
            outcome => break outcome,
        }
    };
    let report = ended(&leg, began, outcome.as_deref());
    EndedLeg { leg, report, outcome, partly }
}

/// How long to wait before a leg that failed is sent again, to whom it then names: where a model failed, the next one.
/// `None` if nothing would mend it.
pub(crate) fn next_try(leg: &mut PlannedLeg, fault: &Fault, deadline: Instant) -> Option<Duration> {
    let wait = if can_be_mended(fault) && !leg.others.is_empty() {
        tracing::info!(model = %leg.model, kind = %fault.kind, "fell back to the next model");
        leg.model = leg.others.remove(0);
        Duration::ZERO
    } else {
        wait_before_next_try(fault, leg, deadline)?
    };
    leg.subject = subject::model(&leg.capability, &leg.model);
    Some(wait)
}

async fn attempt(
    shared: &Shared,
    root: &Meta,
    leg: &PlannedLeg,
    deadline: Instant,
    partly: &mut Option<Partly>,
) -> Result<Bytes, Fault> {
    let _place = shared.place_for_leg(deadline).await?;
    let meta = meta_of(root, leg, deadline);
    match leg.capability.as_str() {
        "transcribe" => hear(shared, leg, meta, partly).await,
        _ => shared.bus.call_raw(&leg.subject, leg.payload.clone(), &meta).await,
    }
}

/// How long to wait before the model is asked again, by way of whichever instance takes it: where nothing was done, and
/// there is time for that.
fn wait_before_next_try(fault: &Fault, leg: &PlannedLeg, deadline: Instant) -> Option<Duration> {
    let wait = match fault.kind {
        FaultKind::Overloaded => Duration::from_millis(fault.retry_after_ms.unwrap_or(100)),
        // The instance that was chosen has gone; there may be another.
        FaultKind::Unavailable if leg.subject != subject::model(&leg.capability, &leg.model) => Duration::ZERO,
        _ => return None,
    };
    (Instant::now() + wait < deadline).then_some(wait)
}

/// The headers of a leg: its root's work and trace, its own path and share of the time.
pub(crate) fn meta_of(root: &Meta, leg: &PlannedLeg, deadline: Instant) -> Meta {
    // One film has more parts than a model has slots: they let others go first.
    let priority = root.priority.saturating_sub(i32::from(leg.at_ms.is_some()));
    Meta { leg: Some(leg.path.clone()), deadline: Some(deadline), priority, ..root.clone() }
}

/// What a model tells of its work, whatever its capability.
#[derive(Default, Deserialize)]
struct Told {
    /// How long the work waited: here, or in `timings`.
    queued_ms: Option<f64>,
    timings: Option<Timings>,
    note: Option<String>,
}

#[derive(Deserialize)]
struct Timings {
    queued_ms: f64,
}

fn told(body: &[u8]) -> Option<Told> {
    Codec::detect(None, body).ok()?.decode(body).ok()
}

/// Milliseconds, with their fraction.
pub(crate) fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
