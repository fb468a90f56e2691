//! What does a request say in its headers that goes along on the bus? Its work, its time, its trace.

use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use megabrain_bus::{Call, Meta, trace};
use megabrain_schemas::{Codec, Name, headers};

use crate::doors::Shared;
use crate::error::ApiError;

/// What a request's work is called, whether it comes to a route or not.
#[derive(Clone)]
pub(crate) struct WorkName(Name);

impl WorkName {
    /// The name that a request gives its work, or a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(headers::WORK).and_then(|name| Name::new(name.to_str().ok()?).ok());
        Self(given.unwrap_or_else(|| Meta::new().work))
    }

    /// It as a header's value.
    pub(crate) fn value(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(self.0.as_str()).ok()
    }
}

/// What a request says beside its body. While it lives, so does the request's span.
pub(crate) struct Work {
    pub(crate) meta: Meta,
    pub(crate) began: Instant,
    _span: tracing::Span,
}

impl FromRequestParts<Shared> for Work {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, doors: &Shared) -> Result<Self, ApiError> {
        let began = Instant::now();
        let mut meta = Meta::new();
        if let Some(work) = text(&parts.headers, headers::WORK)? {
            meta.work = Name::new(work).map_err(|error| wrong(headers::WORK, &error))?;
        } else if let Some(WorkName(work)) = parts.extensions.get() {
            meta.work = work.clone();
        }
        let time = match text(&parts.headers, headers::DEADLINE_MS)? {
            Some(milliseconds) => Duration::from_millis(
                milliseconds
                    .trim()
                    .parse()
                    .map_err(|_| wrong(headers::DEADLINE_MS, &"expected milliseconds, a whole number"))?,
            ),
            None => doors.config.default_deadline,
        };
        // Past what an Instant holds it is no deadline.
        meta.deadline = began.checked_add(time);
        meta.traceparent = text(&parts.headers, headers::TRACEPARENT)?.map(str::to_owned);
        let span = if trace::is_exporting() {
            let span = tracing::info_span!("http", method = %parts.method, path = parts.uri.path(), work = %meta.work);
            trace::adopt(&span, &meta);
            trace::carry(&span, &mut meta);
            span
        } else {
            tracing::Span::none()
        };
        Ok(Self { meta, began, _span: span })
    }
}

impl Work {
    /// How it goes onto the bus.
    pub(crate) fn call(&self) -> Call {
        Call { meta: self.meta.clone(), codec: Codec::MessagePack }
    }

    /// An id as OpenAI has them: `chatcmpl-01K…`.
    pub(crate) fn id(&self, prefix: &str) -> String {
        format!("{prefix}-{}", self.meta.work)
    }
}

fn text<'h>(map: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    map.get(name).map(|value| value.to_str().map_err(|error| wrong(name, &error))).transpose()
}

fn wrong(name: &str, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::invalid(format!("header {name}: {error}"))
}
