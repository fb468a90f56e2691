//! How does HTTP say that something failed? In OpenAI's shape, with the status that says the same.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use megabrain_schemas::{Fault, FaultKind};
use serde_json::{Value, json};

/// Characters of a message.
const LONGEST: usize = 2000;

/// One failure on its way out.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    param: Option<String>,
    message: String,
    retry_after_ms: Option<u64>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        // What a caller sent may be in it, however long that is.
        let message = message.into().chars().take(LONGEST).collect();
        Self { status, code, param: None, message, retry_after_ms: None }
    }

    /// The request is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// This parameter of the request is wrong.
    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::invalid(message).about(name)
    }

    /// Says which parameter it is about.
    pub(crate) fn about(mut self, parameter: &str) -> Self {
        self.param = Some(parameter.chars().take(80).collect());
        self
    }

    /// A limit is reached for now.
    pub(crate) fn busy(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        retry_after_ms: u64,
    ) -> Self {
        Self { retry_after_ms: Some(retry_after_ms), ..Self::new(status, code, message) }
    }

    /// More than is taken.
    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// There is no such model.
    pub(crate) fn no_model(id: &str) -> Self {
        let id: String = id.chars().take(80).collect();
        let message = format!("there is no model {id:?} here; GET /v1/models lists those there are");
        Self::new(StatusCode::NOT_FOUND, "model_not_found", message).about("model")
    }

    /// There is no such place.
    pub(crate) fn nothing_here(method: &Method, uri: &Uri) -> Self {
        let path: String = uri.path().chars().take(80).collect();
        Self::new(StatusCode::NOT_FOUND, "unknown_url", format!("there is nothing at {method} {path}"))
    }

    /// What failed, for a person.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The body.
    pub(crate) fn body(&self) -> Value {
        let error = json!({ "message": self.message, "type": self.kind(), "param": self.param, "code": self.code });
        json!({ "error": error })
    }

    /// What kind of failure OpenAI would call it.
    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=498 => "invalid_request_error",
            499 => "cancelled",
            _ => "server_error",
        }
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let status = StatusCode::from_u16(fault.kind.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = match fault.kind {
            FaultKind::Overloaded => "rate_limit_exceeded",
            kind => kind.as_str(),
        };
        // Whoever may come again is told when.
        let retry_after_ms = fault.retry_after_ms.or(fault.kind.is_retryable().then_some(1000));
        Self { retry_after_ms, ..Self::new(status, code, fault.message) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(milliseconds) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(milliseconds.div_ceil(1000).max(1)));
            // OpenAI's own clients read this first.
            headers.insert("retry-after-ms", HeaderValue::from(milliseconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For whoever says the same in other words.
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fault_has_its_status_and_those_that_may_pass_say_when() {
        for kind in FaultKind::ALL {
            let response = ApiError::from(Fault::new(kind, "x")).into_response();
            assert_eq!(response.status().as_u16(), kind.code());
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), kind.is_retryable(), "{kind}");
        }
        let busy = ApiError::from(Fault::new(FaultKind::Overloaded, "full").retry_after(1200)).into_response();
        assert_eq!(
            (&busy.headers()["retry-after"], &busy.headers()["retry-after-ms"]),
            (&HeaderValue::from(2), &HeaderValue::from(1200))
        );
    }
}
