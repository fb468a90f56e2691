//! How is a transcript streamed? Segment by segment, as it is heard.

use axum::response::Response;
use axum::response::sse::Event;
use futures::stream::{self, StreamExt as _};
use megabrain_bus::{Frame, FrameStream};
use megabrain_schemas::{Segment, TranscribeRequest};
use serde_json::json;

use crate::answering::FIRST;
use crate::error::ApiError;
use crate::stream::{comment, event, server_sent};
use crate::work::Work;

/// What is heard, as it is. Dropping it cancels the work.
///
/// # Errors
/// What is refused at once.
pub(super) async fn stream(mut frames: FrameStream, work: Work) -> Result<Response, ApiError> {
    let first = match tokio::time::timeout(FIRST, frames.next::<TranscribeRequest>()).await {
        Ok(Some(first)) => Some(first?),
        _ => None,
    };
    let begun = stream::iter([comment()]);
    let events = stream::unfold((frames, first.map(Ok), work), |(mut frames, first, work)| async move {
        let next = match first {
            Some(first) => first,
            None => frames.next::<TranscribeRequest>().await?,
        };
        let event = match next {
            Ok(Frame::Part(_, frame)) => heard(frame.segment.as_ref()),
            Ok(Frame::End(_, reply)) => event(&json!({ "type": "transcript.text.done", "text": reply.text })),
            Err(fault) => event(&ApiError::from(fault).body()),
        };
        Some((event, (frames, None, work)))
    });
    Ok(server_sent(begun.chain(events)))
}

fn heard(segment: Option<&Segment>) -> Event {
    segment.map_or_else(comment, |segment| {
        event(&json!({ "type": "transcript.text.delta", "delta": format!("{} ", segment.text.trim()) }))
    })
}
