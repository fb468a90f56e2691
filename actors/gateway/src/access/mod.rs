//! Who may come in? Pages of known origins, with a key where keys are asked for.

mod keys;
mod origin;

use axum::http::{HeaderMap, HeaderValue};

pub(crate) use keys::{Entry, Owner};
pub use keys::{KeyConfig, Scope, new_key};

use crate::Config;
use crate::error::ApiError;

/// The rules of one gateway.
pub(crate) struct Access {
    keys: keys::Keys,
    origins: origin::Origins,
}

impl Access {
    /// # Errors
    /// A key's hash or an origin is none.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let keys = keys::Keys::new(&config.keys)?;
        // Whoever has a key is no page that tricked a browser into calling: any name of this machine will do.
        let origins = origin::Origins::new(&config.origins, &config.hosts, !config.keys.is_empty())?;
        Ok(Self { keys, origins })
    }

    /// Refuses web pages that were not allowed, and names that a page may have made this machine's own.
    ///
    /// # Errors
    /// Status 403.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        self.origins.check(headers)
    }

    /// The origins of the pages that may call.
    pub(crate) fn origins(&self) -> &[HeaderValue] {
        self.origins.allowed()
    }

    /// Lets a request in for `scope`. What it gives is to be kept until the answer has ended.
    ///
    /// # Errors
    /// Status 401 without a key or with a wrong one, 403 for a scope that the key has not, 429 past its limits.
    pub(crate) fn enter(&self, headers: &HeaderMap, scope: Scope) -> Result<Entry, ApiError> {
        self.keys.enter(headers, scope)
    }

    /// Refuses a request that was let in already and may not do this as well.
    ///
    /// # Errors
    /// As [`Access::enter`], but for limits.
    pub(crate) fn check_scope(&self, headers: &HeaderMap, scope: Scope) -> Result<(), ApiError> {
        self.keys.check_scope(headers, scope)
    }
}
