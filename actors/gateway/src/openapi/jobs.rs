//! What is told of the doors of durable jobs?

use serde_json::{Value, json};

use super::Operation;
use super::schema::{body, event_stream, maybe, object, reference};
use super::statuses;

const NAME: &str = "^[A-Za-z0-9_-]{1,64}$";

/// `POST /v1/jobs`
pub(crate) fn submit() -> Operation {
    let name = maybe(&json!({ "type": "string", "pattern": NAME }));
    let own = json!({
        "capability": { "type": "string", "pattern": NAME, "description": "What is to be done: `ask`, `chat`, `transcribe`…" },
        "model": name,
        "instance": name,
        "body": { "type": "object", "description": "The request as the bus knows it." },
        "callback_url": { "type": ["string", "null"], "maxLength": 2048, "description": "Who is told when it has ended, by a signed POST." },
    });
    let key = json!({
        "name": "Idempotency-Key", "in": "header", "required": false,
        "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
        "description": "Your own name for the job: two requests with the same one are one job.",
    });
    let location = json!({ "location": { "description": "Where the job is.", "schema": { "type": "string" } } });
    let example = json!({ "capability": "ask", "body": { "text": "Name a colour." } });
    Operation::new("createJob", "Takes in a job, which then outlives everything.")
        .takes_json(&body(&["capability", "body"], &[own]), &example)
        .takes(key)
        .asks_a_model()
        .refuses(&[404, 409])
        .answers_with(202, "It is kept, and will be done.", "application/json", &reference("Job"), &location)
}

/// `GET /v1/jobs/{id}`
pub(crate) fn one() -> Operation {
    of_one("getJob", "Tells how a job is, and its answer.")
        .answers(200, "The job.", "application/json", &reference("Job"))
        .refuses(statuses::OF_KEEPING)
}

/// `DELETE /v1/jobs/{id}`
pub(crate) fn cancel() -> Operation {
    of_one("cancelJob", "Cancels a job that has not ended.")
        .answers(200, "The job as it is then.", "application/json", &reference("Job"))
        .refuses(statuses::OF_KEEPING)
}

/// `GET /v1/jobs/{id}/events`
pub(crate) fn events() -> Operation {
    let number = json!({ "type": "integer", "minimum": 0 });
    of_one("followJob", "Tells what a job's models say and how its status changes, to its end.")
        .takes(json!({
            "name": "from", "in": "query", "required": false, "schema": number,
            "description": "The number of the first event; without it, the first there is.",
        }))
        .takes(json!({
            "name": "Last-Event-ID", "in": "header", "required": false, "schema": { "type": "string" },
            "description": "The last event that was had; it wins.",
        }))
        .answers(200, "Its events, as they come.", "text/event-stream", &event_stream())
        .refuses(statuses::OF_KEEPING)
}

fn of_one(id: &'static str, summary: &'static str) -> Operation {
    Operation::new(id, summary).takes(json!({ "$ref": "#/components/parameters/id" })).refuses(&[400])
}

/// A job as its owner sees it.
pub(super) fn job_schema() -> Value {
    let (time, count) = (json!({ "type": "integer" }), json!({ "type": "integer", "minimum": 0 }));
    let callback = object(
        &["url", "status", "attempts"],
        &json!({
            "url": { "type": "string" },
            "status": { "enum": ["pending", "delivered", "failed"] },
            "attempts": count,
            "error": { "type": "string" },
        }),
    );
    object(
        &["id", "object", "status", "capability", "created_at", "attempts"],
        &json!({
            "id": { "type": "string", "pattern": NAME },
            "object": { "const": "job" },
            "status": { "enum": ["queued", "running", "succeeded", "failed", "cancelled"] },
            "capability": { "type": "string" },
            "model": { "type": "string" },
            "created_at": time, "started_at": time, "ended_at": time,
            "attempts": count,
            "callback": callback,
            "result": { "description": "What the bus answered." },
            "result_expired": { "const": true, "description": "It was answered; of the answers kept, the oldest made room for newer ones." },
            "error": reference("Fault"),
        }),
    )
}
