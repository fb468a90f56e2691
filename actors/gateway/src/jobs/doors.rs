//! The doors `/v1/jobs` and `/v1/jobs/{id}`: hand a job in, ask how it is, cancel it.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use megabrain_bus::Meta;
use megabrain_schemas::{Capability, FaultKind, Name, subject};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::keep::{Claim, Keep};
use super::line::Line;
use super::order::{JobCall, Order, needs};
use super::record::Record;
use crate::access::{Owner, Scope};
use crate::body;
use crate::doors::{Doors, Shared};
use crate::error::ApiError;
use crate::path::Id;
use crate::work::Work;

/// A client's own name for a request that it may send twice.
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Bytes of one.
const LONGEST_KEY: usize = 255;

/// `POST /v1/jobs`: takes a job in. Once this has answered, the job outlives everything.
pub(crate) async fn submit(
    State(doors): State<Shared>,
    Extension(owner): Extension<Owner>,
    work: Work,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    let (call, _room) = body::parameters(&doors, request, JobCall::read).await?;
    doors.access.check_scope(&headers, scope_of(&call.capability))?;
    check_callback(&doors, call.callback_url.as_deref()).await?;
    let keep = doors.jobs.keep().await?;
    let id = match own_key(&headers)? {
        Some(key) => claimed(&doors, keep, &owner, key, &call).await?,
        None => {
            check_new(&doors, keep, &call).await?;
            new_id()
        }
    };
    let line = Line::of(owner.0.as_ref(), &call.capability, call.model.as_ref());
    let fresh = Record::new(owner.0, call.capability.clone(), call.model.clone(), call.callback_url.clone());
    let order = Order {
        id: id.clone(),
        subject: call.subject(),
        body: call.body,
        deadline_ms: u64::try_from(time_for(&doors, &headers, &work).as_millis()).unwrap_or(u64::MAX),
        traceparent: work.meta.traceparent,
    };
    // It may be megabytes.
    let task = body::aside(false, move || order.write()).await?;
    keep.queue.check_size(&task)?;
    keep.create(&id, &fresh).await?;
    let mut record = keep.get(&id).await?.unwrap_or(fresh);
    if !record.accepted {
        doors.jobs.open(keep, &line).await?;
        if let Err(fault) = keep.queue.put(subject::job_task(&id, &line), id.as_str(), task).await {
            // Of any other fault it is not known whether the task is in the queue.
            if fault.kind == FaultKind::Overloaded {
                keep.forget(&id).await;
            }
            return Err(fault.into());
        }
        let accept = |record: &Record| (!record.accepted).then(|| Record { accepted: true, ..record.clone() });
        record = keep.change(&id, accept).await?.0;
    }
    let location = [(header::LOCATION, format!("/v1/jobs/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(record.public(&id, None))).into_response())
}

/// Time for one attempt: the caller's, or the brain's. One that never ended would have its place for ever.
fn time_for(doors: &Doors, headers: &HeaderMap, work: &Work) -> Duration {
    let jobs = &doors.config.jobs;
    let asked = headers.contains_key(megabrain_schemas::headers::DEADLINE_MS).then(|| work.meta.time_left()).flatten();
    asked.unwrap_or(jobs.deadline).min(jobs.give_up)
}

/// `GET /v1/jobs/{id}`: how a job is, and its answer.
pub(crate) async fn one(
    State(doors): State<Shared>,
    Extension(owner): Extension<Owner>,
    Id(id): Id,
) -> Result<Json<Value>, ApiError> {
    let keep = doors.jobs.keep().await?;
    let (id, record) = find(keep, &owner, &id).await?;
    Ok(Json(keep.told(&id, &record).await?))
}

/// `DELETE /v1/jobs/{id}`: cancels a job that has not ended, and says how it is then.
pub(crate) async fn cancel(
    State(doors): State<Shared>,
    Extension(owner): Extension<Owner>,
    Id(id): Id,
) -> Result<Json<Value>, ApiError> {
    let keep = doors.jobs.keep().await?;
    let (id, _) = find(keep, &owner, &id).await?;
    let (record, is_cancelled) = keep.change(&id, Record::cancelled).await?;
    if is_cancelled {
        if let Some(work) = &record.work {
            doors.bus.cancel(work);
        }
        keep.follow_up(&id, &record).await?;
    }
    Ok(Json(record.public(&id, None)))
}

/// The job of this id, for whoever it belongs to. For others there is none.
pub(super) async fn find(keep: &Keep, owner: &Owner, id: &str) -> Result<(Name, Record), ApiError> {
    let nothing = || {
        let id: String = id.chars().take(80).collect();
        ApiError::new(
            StatusCode::NOT_FOUND,
            "job_not_found",
            format!("there is no job {id:?}, or it is kept no longer"),
        )
    };
    let name = Name::new(id).map_err(|_| nothing())?;
    let record = keep.get(&name).await?.filter(|record| record.owner == owner.0).ok_or_else(nothing)?;
    Ok((name, record))
}

/// The job that the client's own key stands for: a new one, or the one that it has made before.
async fn claimed(doors: &Doors, keep: &Keep, owner: &Owner, key: &str, call: &JobCall) -> Result<Name, ApiError> {
    let owner = owner.0.as_ref().map_or("", Name::as_str);
    let place = format!("key.{:x}", Sha256::digest(format!("{owner}\n{key}")));
    let claim = Claim { id: new_id(), fingerprint: call.fingerprint() };
    let found = match keep.claimed(&place).await? {
        Some(found) => found,
        None => {
            check_new(doors, keep, call).await?;
            keep.claim(&place, claim.clone()).await?
        }
    };
    if found.fingerprint == claim.fingerprint {
        return Ok(found.id);
    }
    let message = format!("this {IDEMPOTENCY_KEY} came before, with another request");
    Err(ApiError::new(StatusCode::CONFLICT, "idempotency_key_reused", message))
}

fn own_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| !key.is_empty() && key.len() <= LONGEST_KEY);
    let wrong = || ApiError::invalid(format!("header {IDEMPOTENCY_KEY}: 1 to {LONGEST_KEY} printable characters"));
    key.map(Some).ok_or_else(wrong)
}

/// Whether a job that is new can be taken: there is room, and who could do it some day. One that nobody could ever do
/// would wait for them until it is given up.
async fn check_new(doors: &Doors, keep: &Keep, call: &JobCall) -> Result<(), ApiError> {
    for (capability, model) in needs(&call.capability, call.model.as_ref(), &call.body) {
        if doors.present.may_serve(&capability, model.as_ref()) {
            continue;
        }
        return Err(match model {
            Some(model) => ApiError::no_model(model.as_str()),
            None => {
                let message =
                    format!("no model of this brain serves {capability}: `megabrain models` lists what they do");
                ApiError::new(StatusCode::NOT_FOUND, "model_not_found", message).about("capability")
            }
        });
    }
    Ok(keep.check_room().await?)
}

async fn check_callback(doors: &Doors, url: Option<&str>) -> Result<(), ApiError> {
    let Some(url) = url.map(str::to_owned) else { return Ok(()) };
    let outbound = doors.outbound.clone();
    let outcome = tokio::task::spawn_blocking(move || outbound.check(&url)).await;
    let outcome = outcome.unwrap_or_else(|error| Err(error.to_string()));
    outcome.map_err(|error| ApiError::parameter("callback_url", format!("`callback_url`: {error}")))
}

/// What a key must have a right to, beside jobs.
fn scope_of(capability: &Capability) -> Scope {
    match capability.as_str() {
        "transcribe" => Scope::Transcribe,
        "speak" => Scope::Speak,
        "embed" => Scope::Embed,
        "rerank" => Scope::Rerank,
        _ => Scope::Chat,
    }
}

/// Nobody guesses it: 80 random bits.
fn new_id() -> Name {
    Meta::new().work
}
