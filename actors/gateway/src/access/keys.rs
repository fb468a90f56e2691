//! Whose key is it, what may it do, and how much of that at a time? Keys themselves are nowhere: only their hashes are.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use megabrain_schemas::Name;
use rand::distr::{Alphanumeric, SampleString as _};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// One of `[[gateway.keys]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Whose it is: what its owner is told when it may not do something.
    pub name: Name,
    /// SHA-256 of the key, 64 hex digits. `megabrain key` makes both.
    pub hash: String,
    /// What it may do. Default: everything.
    #[serde(default)]
    pub scopes: Option<Vec<Scope>>,
    /// Requests in a minute, so many of them at once; one more is refused with status 429. Default: any number.
    #[serde(default)]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Requests at the same time, likewise. Default: any number.
    #[serde(default)]
    pub concurrent: Option<usize>,
}

/// What a request is about. Which models there are, every key may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Which models there are.
    Models,
    /// Questions and conversations.
    Chat,
    /// Sound to text.
    Transcribe,
    /// Text to sound.
    Speak,
    /// Texts to vectors.
    Embed,
    /// Texts in the order of how well they answer a query.
    Rerank,
    /// Durable jobs of what the other scopes allow.
    Jobs,
    /// What Prometheus reads.
    Metrics,
}

impl Scope {
    /// The scope as the brain file writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Chat => "chat",
            Self::Transcribe => "transcribe",
            Self::Speak => "speak",
            Self::Embed => "embed",
            Self::Rerank => "rerank",
            Self::Jobs => "jobs",
            Self::Metrics => "metrics",
        }
    }
}

/// A new key, and its hash for `[[gateway.keys]]`.
pub fn new_key() -> (String, String) {
    // 43 letters and digits have 256 bits: nobody guesses one, so a plain hash keeps it.
    let key = format!("mb-{}", Alphanumeric.sample_string(&mut rand::rng(), 43));
    let hash = hash_of(&key);
    (key, hash)
}

/// Whose key a request came with; nobody's, where no keys are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner(pub(crate) Option<Name>);

/// A request that was let in; dropping it gives its place back.
pub(crate) struct Entry {
    owner: Owner,
    _place: Option<OwnedSemaphorePermit>,
}

impl Entry {
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }
}

/// All keys, by their hash.
pub(crate) struct Keys(HashMap<String, Key>);

struct Key {
    name: Name,
    scopes: Option<Vec<Scope>>,
    rate: Option<DefaultDirectRateLimiter>,
    places: Option<(usize, Arc<Semaphore>)>,
}

impl Keys {
    pub(crate) fn new(configs: &[KeyConfig]) -> Result<Self, String> {
        let mut keys = HashMap::new();
        for config in configs {
            let hash = config.hash.to_ascii_lowercase();
            if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let what = "is no SHA-256 in hex: `megabrain key` makes a key and its hash";
                return Err(format!("[[gateway.keys]] {}: `hash` {what}", config.name));
            }
            let key = Key {
                name: config.name.clone(),
                scopes: config.scopes.clone(),
                rate: config.requests_per_minute.map(|count| RateLimiter::direct(Quota::per_minute(count))),
                places: config
                    .concurrent
                    .map(|count| (count, Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))))),
            };
            if keys.insert(hash, key).is_some() {
                return Err(format!("[[gateway.keys]] {}: another key has the same hash", config.name));
            }
        }
        Ok(Self(keys))
    }

    pub(crate) fn enter(&self, headers: &HeaderMap, scope: Scope) -> Result<Entry, ApiError> {
        match self.key_of(headers)? {
            None => Ok(Entry { owner: Owner(None), _place: None }),
            Some(key) => key.enter(scope),
        }
    }

    pub(crate) fn check_scope(&self, headers: &HeaderMap, scope: Scope) -> Result<(), ApiError> {
        self.key_of(headers)?.map_or(Ok(()), |key| key.check_scope(scope))
    }

    /// The key of a request; none where none is asked for.
    fn key_of(&self, headers: &HeaderMap) -> Result<Option<&Key>, ApiError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let unauthorized = |message| ApiError::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message);
        let Some(given) = bearer(headers) else {
            return Err(unauthorized("no key was given: send it as `Authorization: Bearer <key>`"));
        };
        // Looked up by hash: how long that takes tells nothing about the keys.
        let known = self.0.get(&hash_of(given)).map(Some);
        known.ok_or_else(|| unauthorized("this key is not known here"))
    }
}

impl Key {
    fn check_scope(&self, scope: Scope) -> Result<(), ApiError> {
        let Self { name, scopes, .. } = self;
        if scope != Scope::Models && scopes.as_ref().is_some_and(|scopes| !scopes.contains(&scope)) {
            let message = format!("the key {name} has no right to this: its scopes lack {}", scope.as_str());
            return Err(ApiError::new(StatusCode::FORBIDDEN, "insufficient_scope", message));
        }
        Ok(())
    }

    fn enter(&self, scope: Scope) -> Result<Entry, ApiError> {
        self.check_scope(scope)?;
        let name = &self.name;
        let busy = |message, wait| ApiError::busy(StatusCode::TOO_MANY_REQUESTS, "rate_limit_exceeded", message, wait);
        let place = match &self.places {
            None => None,
            Some((count, places)) => Some(places.clone().try_acquire_owned().map_err(|_| {
                busy(format!("the key {name} may have {count} requests at the same time, and has"), 1000)
            })?),
        };
        if let Some(Err(not_yet)) = self.rate.as_ref().map(RateLimiter::check) {
            let wait = not_yet.wait_time_from(DefaultClock::default().now());
            let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            let quota = not_yet.quota().burst_size();
            return Err(busy(format!("the key {name} may have {quota} requests in a minute, and had"), wait));
        }
        Ok(Entry { owner: Owner(Some(name.clone())), _place: place })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim()).filter(|key| !key.is_empty())
}

fn hash_of(key: &str) -> String {
    format!("{:x}", Sha256::digest(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn keys(settings: &str) -> (String, Keys) {
        let (key, hash) = new_key();
        let config: KeyConfig =
            serde_json::from_str(&format!(r#"{{"name":"n8n","hash":"{hash}"{settings}}}"#)).unwrap();
        (key, Keys::new(&[config]).unwrap())
    }

    fn status(keys: &Keys, authorization: &str, scope: Scope) -> u16 {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        keys.enter(&headers, scope).map_or_else(|error| error.into_response().status().as_u16(), |_| 200)
    }

    #[test]
    fn without_keys_everybody_comes_in_and_with_them_only_who_has_one() {
        assert_eq!(status(&Keys::new(&[]).unwrap(), "Bearer anything", Scope::Chat), 200);
        let (key, keys) = keys("");
        assert_eq!(status(&keys, &format!("Bearer {key}"), Scope::Chat), 200);
        assert_eq!(status(&keys, &format!("bearer {key}"), Scope::Metrics), 200);
        for wrong in ["", "Bearer", "Bearer ", "Bearer mb-x", &key, &format!("Basic {key}")] {
            assert_eq!(status(&keys, wrong, Scope::Chat), 401, "{wrong}");
        }
    }

    #[test]
    fn a_key_may_do_what_its_scopes_say_and_see_the_models() {
        let (key, keys) = keys(r#","scopes":["embed"]"#);
        let bearer = format!("Bearer {key}");
        assert_eq!(
            [Scope::Embed, Scope::Models, Scope::Chat].map(|scope| status(&keys, &bearer, scope)),
            [200, 200, 403]
        );
    }

    #[test]
    fn a_place_is_given_back_and_a_rate_is_not() {
        let (key, keys) = keys(r#","concurrent":1,"requests_per_minute":2"#);
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, format!("Bearer {key}").parse().unwrap());
        let first = keys.enter(&headers, Scope::Chat).unwrap();
        let refused = keys.enter(&headers, Scope::Chat).err().unwrap();
        assert!(refused.message().contains("at the same time"), "{}", refused.message());
        drop(first);
        drop(keys.enter(&headers, Scope::Chat).unwrap());
        let response = keys.enter(&headers, Scope::Chat).err().unwrap().into_response();
        let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(response.status() == 429 && (1..=30).contains(&wait), "{wait}");
    }

    #[test]
    fn a_hash_that_is_none_is_told() {
        let config = |hash: &str| KeyConfig {
            name: Name::new("x").unwrap(),
            hash: hash.into(),
            scopes: None,
            requests_per_minute: None,
            concurrent: None,
        };
        assert!(Keys::new(&[config("mb-secret")]).err().unwrap().contains("megabrain key"));
        let same = config(&"a".repeat(64));
        assert!(Keys::new(&[same.clone(), same]).is_err());
    }
}
