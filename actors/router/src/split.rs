//! How is a film taken apart while it is read? One streamed leg, whose frames become legs of their own.

use std::time::Instant;

use bytes::Bytes;
use megabrain_bus::Meta;
use megabrain_schemas::{Fault, SplitFrame};
use tokio::sync::mpsc;

use crate::leg::{EndedLeg, ended, meta_of, next_try};
use crate::plan::PlannedLeg;
use crate::router::Shared;

/// Sends the leg of a film, passes on each part of it as it comes, and waits for its end. Until a part has come, it may
/// be sent again.
pub(crate) async fn take_apart(
    shared: &Shared,
    root: &Meta,
    mut leg: PlannedLeg,
    deadline: Instant,
    parts: mpsc::Sender<(usize, SplitFrame)>,
) -> EndedLeg {
    let began = Instant::now();
    let mut has_parts = false;
    let outcome = loop {
        match read(shared, root, &leg, deadline, &parts, &mut has_parts).await {
            Err(fault) if !has_parts && let Some(wait) = next_try(&mut leg, &fault, deadline) => {
                tokio::time::sleep(wait).await;
            }
            outcome => break outcome,
        }
    };
    drop(parts);
    let report = ended(&leg, began, outcome.as_deref());
    EndedLeg { leg, report, outcome, partly: None }
}

async fn read(
    shared: &Shared,
    root: &Meta,
    leg: &PlannedLeg,
    deadline: Instant,
    parts: &mpsc::Sender<(usize, SplitFrame)>,
    has_parts: &mut bool,
) -> Result<Bytes, Fault> {
    let _place = shared.place_for_leg(deadline).await?;
    let mut stream = shared.bus.stream_raw(&leg.subject, leg.payload.clone(), meta_of(root, leg, deadline)).await?;
    while let Some(frame) = stream.next_raw().await {
        let (stamp, body) = frame?;
        if stamp.done {
            return Ok(body);
        }
        let part = leg.read(&body)?;
        *has_parts = true;
        // Nobody reads the parts of a question that is given up.
        let _ = parts.send((leg.attachment, part)).await;
    }
    Err(Fault::engine(format!("the stream from {} ended without an end", leg.subject)))
}
