//! What of a sound was heard, if its leg breaks off? The segments that came until then.

use bytes::Bytes;
use megabrain_bus::Meta;
use megabrain_schemas::{Fault, Name, Segment, TranscribeFrame};

use crate::plan::PlannedLeg;
use crate::router::Shared;

/// Part of a transcript.
pub(crate) struct Partly {
    /// Who heard it.
    pub(crate) model: Name,
    /// From the beginning of the sound, in order.
    pub(crate) segments: Vec<Segment>,
}

/// Sends the leg of a sound and waits for its end. What is heard meanwhile takes the place of what an earlier try had heard.
pub(crate) async fn hear(
    shared: &Shared,
    leg: &PlannedLeg,
    meta: Meta,
    partly: &mut Option<Partly>,
) -> Result<Bytes, Fault> {
    let mut stream = shared.bus.stream_raw(&leg.subject, leg.payload.clone(), meta).await?;
    let mut is_first = true;
    while let Some(frame) = stream.next_raw().await {
        let (stamp, body) = frame?;
        if stamp.done {
            return Ok(body);
        }
        let TranscribeFrame { segment, .. } = leg.read(&body)?;
        let Some(segment) = segment else { continue };
        if std::mem::take(&mut is_first) {
            *partly = None;
        }
        partly.get_or_insert_with(|| Partly { model: leg.model.clone(), segments: Vec::new() }).segments.push(segment);
    }
    Err(Fault::engine(format!("the stream from {} ended without an end", leg.subject)))
}
