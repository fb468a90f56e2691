//! How does anything in the brain say that it failed?

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Capability, Name};

/// What failed. A closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The request is wrong; the message names the field or the media.
    InvalidRequest,
    /// No such model, blob or job.
    NotFound,
    /// A message, a blob or media is larger than a limit; the message names both sizes.
    TooLarge,
    /// A queue or a bucket is full. Promises that nothing was done.
    Overloaded,
    /// The time was up before the work was done, or before it began.
    DeadlineExceeded,
    /// Somebody cancelled the work.
    Cancelled,
    /// The process that had taken the work died.
    WorkerLost,
    /// The engine failed on this work and lives on.
    Engine,
    /// There is no live instance, or the bus is away.
    Unavailable,
    /// The caller has no right to this.
    Unauthorized,
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::InvalidRequest,
        Self::NotFound,
        Self::TooLarge,
        Self::Overloaded,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::WorkerLost,
        Self::Engine,
        Self::Unavailable,
        Self::Unauthorized,
    ];

    /// The kind as it is written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::NotFound => "not_found",
            Self::TooLarge => "too_large",
            Self::Overloaded => "overloaded",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::WorkerLost => "worker_lost",
            Self::Engine => "engine",
            Self::Unavailable => "unavailable",
            Self::Unauthorized => "unauthorized",
        }
    }

    /// The number for the `Nats-Service-Error-Code` header: the HTTP status that says the same.
    pub fn code(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::Unauthorized => 401,
            Self::NotFound => 404,
            Self::TooLarge => 413,
            Self::Overloaded => 429,
            Self::Cancelled => 499,
            Self::Engine => 500,
            Self::WorkerLost => 502,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }

    /// True if the same request may succeed when it is sent again.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Overloaded | Self::WorkerLost | Self::Unavailable)
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One failure: its kind for programs, its message for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct Fault {
    /// What failed.
    pub kind: FaultKind,
    /// What failed, for a person: lower case, no full stop.
    pub message: String,
    /// True if the same request may succeed when it is sent again.
    #[serde(default)]
    pub retryable: bool,
    /// When to try again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Fault {
    /// A fault of this kind; whether it is retryable follows from the kind.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retryable: kind.is_retryable(), retry_after_ms: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(FaultKind::InvalidRequest, message)
    }

    /// The engine failed on this work.
    pub fn engine(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Engine, message)
    }

    /// There is no live instance, or the bus is away; try again after `retry_after_ms`.
    pub fn unavailable(message: impl Into<String>, retry_after_ms: u64) -> Self {
        Self::new(FaultKind::Unavailable, message).retry_after(retry_after_ms)
    }

    /// This model does not serve this capability.
    pub fn wrong_capability(model: &Name, asked: &Capability, served: &[Capability]) -> Self {
        let served: Vec<&str> = served.iter().map(Capability::as_str).collect();
        Self::new(FaultKind::NotFound, format!("model {model} does not serve {asked}; it serves {}", served.join(", ")))
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, milliseconds: u64) -> Self {
        self.retry_after_ms = Some(milliseconds);
        self
    }
}

fn always() -> bool {
    true
}

/// A fault as it is answered: always the last message of its work, and marked so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultReply {
    /// The work that failed, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Name>,
    /// What failed.
    pub error: Fault,
    /// Always true: nothing follows a fault. Outside a stream it may be left out.
    #[serde(default = "always")]
    pub done: bool,
}

impl FaultReply {
    /// The terminal answer that says `error`.
    pub fn new(work: Option<Name>, error: Fault) -> Self {
        Self { work, error, done: true }
    }
}
