//! The door `/v1/jobs/{id}/events`: what a job's models said and how its status changed, from any number on, and then live.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures::stream;
use megabrain_bus::{Follower, JournalEntry};
use megabrain_schemas::{Codec, subject};
use serde::Deserialize;

use super::doors::find;
use super::record::Status;
use crate::access::Owner;
use crate::doors::Shared;
use crate::error::ApiError;
use crate::path::Id;
use crate::stream::server_sent;

/// Where to begin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    /// The number of the first event; without, the first there is.
    from: Option<u64>,
}

/// What of a status event tells that nothing follows.
#[derive(Deserialize)]
struct Told {
    status: Status,
}

/// `GET /v1/jobs/{id}/events`: frames and statuses as server-sent events; their ids are numbers to begin from again. The
/// stream ends with the job.
pub(crate) async fn events(
    State(doors): State<Shared>,
    Extension(owner): Extension<Owner>,
    Id(id): Id,
    query: Result<Query<From>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Query(From { from }) = query.map_err(|_| {
        ApiError::parameter("from", "`from` is the number of an event, and the one parameter that is known here")
    })?;
    let keep = doors.jobs.keep().await?;
    let (id, record) = find(keep, &owner, &id).await?;
    // A client that was cut off says by itself what it had.
    let had = headers.get("last-event-id").and_then(|seq| seq.to_str().ok()?.trim().parse::<u64>().ok());
    let from = match had.map(|seq| seq.saturating_add(1)).or(from).unwrap_or(0) {
        0 => 0,
        // Past what is there, the job's end would be passed over. Asked before the end: one that comes now is not.
        from => from.min(keep.journal.next_seq().await?),
    };
    // Told already, or kept no longer: nothing would follow for ever.
    let is_over = match keep.journal.last(&subject::job_status(&id)).await? {
        Some(entry) => is_end(&entry) && entry.seq < from,
        None => record.status.is_end(),
    };
    let follower = (!is_over).then(|| keep.journal.follow(&subject::job_any(&id), from));
    let events = stream::unfold(follower, |follower| async move {
        let mut follower: Follower = follower?;
        let entry = follower.next().await;
        let follower = (!is_end(&entry)).then_some(follower);
        Some((event(&entry), follower))
    });
    Ok(server_sent(events))
}

fn is_status(entry: &JournalEntry) -> bool {
    entry.subject.ends_with(".status")
}

fn is_end(entry: &JournalEntry) -> bool {
    is_status(entry) && Codec::Json.decode::<Told>(&entry.payload).is_ok_and(|told| told.status.is_end())
}

fn event(entry: &JournalEntry) -> Event {
    let kind = match () {
        () if is_status(entry) => "status",
        () if entry.fault().is_some() => "error",
        () => "frame",
    };
    // Jobs are asked in JSON, and so they are answered; a line of it has no line breaks.
    let data = String::from_utf8_lossy(&entry.payload);
    Event::default().id(entry.seq.to_string()).event(kind).data(data.lines().collect::<String>())
}
