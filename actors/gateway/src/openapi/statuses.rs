//! Which statuses does a request that is not answered well have, and what do they say?

use serde_json::{Value, json};

use super::schema::reference;

/// A page of strangers is refused at every door.
pub(super) const OF_ALL: &[u16] = &[403];
/// Where a key is asked for, each may have its limits.
pub(super) const OF_KEYS: &[u16] = &[401, 429];
/// A body may be wrong, not come, be too large, or find no room.
pub(super) const OF_BODIES: &[u16] = &[400, 408, 413, 503];
/// All that can come of work on the bus.
pub(super) const OF_FAULTS: &[u16] = &[400, 404, 413, 429, 499, 500, 502, 503, 504];
/// All that can come of what is kept there.
pub(super) const OF_KEEPING: &[u16] = &[404, 500, 503];

/// An answer that refuses, in the words of whoever asks at this path.
pub(super) fn refusal(status: u16, path: &str) -> Value {
    let shape = if path.starts_with("/api/") { "OllamaError" } else { "Error" };
    let mut headers = json!({ "x-request-id": { "$ref": "#/components/headers/x-request-id" } });
    let more = match status {
        401 => json!({ "www-authenticate": { "schema": { "const": "Bearer" } } }),
        429 | 502 | 503 => json!({
            "retry-after": { "$ref": "#/components/headers/retry-after" },
            "retry-after-ms": { "$ref": "#/components/headers/retry-after-ms" },
        }),
        _ => json!({}),
    };
    super::operation::merge(&mut headers, &more);
    json!({
        "description": meaning(status),
        "headers": headers,
        "content": { "application/json": { "schema": reference(shape) } },
    })
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "A parameter, a header or the media is wrong, or not known: the message names it.",
        401 => "No key, or a wrong one.",
        403 => {
            "Pages of this origin may not call, this machine does not answer to that name, or the key has not this scope."
        }
        404 => "There is no such model, job or blob.",
        408 => "The body did not come.",
        409 => "The Idempotency-Key came before, with another request.",
        413 => "The body, or the media in it, is larger than may be, or has more values: the message names both sizes.",
        429 => "The key's limit is reached, or the model's queue is full; nothing was done.",
        499 => "Somebody cancelled the work.",
        500 => "The model failed on this request and lives on.",
        502 => "The model's process died while it had this request; it is being started again.",
        503 => "No live process, no bus, or no room for one more large body.",
        504 => "Time was up, in the queue or at work.",
        _ => "It is refused.",
    }
}
