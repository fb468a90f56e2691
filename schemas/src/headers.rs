//! Which NATS headers does a message carry? A header wins over a field of the body.

/// The work id: one token, made by the caller or by the first hop.
pub const WORK: &str = "Megabrain-Work";
/// The leg's path within its work: `0`, `0.3`.
pub const LEG: &str = "Megabrain-Leg";
/// Time left, a whole number of milliseconds. It shrinks with every hop.
pub const DEADLINE_MS: &str = "Megabrain-Deadline-Ms";
/// Whole number, 0 if absent; in a queue the higher goes first. Below 0, a work also leaves others half of the queue, and
/// the last slot of three or more.
pub const PRIORITY: &str = "Megabrain-Priority";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// `application/json` or `application/msgpack`.
pub const CONTENT_TYPE: &str = "Content-Type";
/// A fault's kind, as NATS' micro-service protocol (ADR-32) names its errors.
pub const SERVICE_ERROR: &str = "Nats-Service-Error";
/// A fault's code, likewise.
pub const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";
