//! May this web page call? A browser sends along whose page it was, and under which name it found us.
//!
//! A page of anybody's can have a browser call this machine, and it can have its own name point here ("DNS rebinding"),
//! so that the browser takes both for one. So pages of other origins must be allowed by name, and where no key is asked
//! for, this machine answers only to names that no stranger can own: addresses, `localhost`, names without a dot.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::error::ApiError;

/// The pages that may call, and the names that we answer to.
pub(crate) struct Origins {
    allowed: Vec<HeaderValue>,
    hosts: Vec<String>,
    any_host: bool,
}

impl Origins {
    pub(crate) fn new(origins: &[String], hosts: &[String], any_host: bool) -> Result<Self, String> {
        let read = |origin: &String| {
            let is_one = origin == "*" || (origin.contains("://") && !origin.ends_with('/'));
            let value = HeaderValue::from_str(origin).ok().filter(|_| is_one);
            value.ok_or_else(|| format!("[gateway] origins: {origin:?} is no origin; write it as https://example.org"))
        };
        let allowed = origins.iter().map(read).collect::<Result<_, _>>()?;
        Ok(Self { allowed, hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(), any_host })
    }

    pub(crate) fn allowed(&self) -> &[HeaderValue] {
        &self.allowed
    }

    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        if !self.any_host && !self.is_ours(name_of(host)) {
            let name: String = name_of(host).chars().take(80).collect();
            return Err(refused(format!("this machine does not answer to {name:?}: [gateway] hosts can allow it")));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let same = origin.to_str().is_ok_and(|origin| origin.split_once("://").is_some_and(|(_, of)| of == host));
        if same || self.allowed.iter().any(|allowed| allowed == origin || allowed == "*") {
            return Ok(());
        }
        Err(refused("pages of this origin may not call: [gateway] origins can allow it"))
    }

    fn is_ours(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let is_address = name.parse::<IpAddr>().is_ok();
        is_address || !name.contains('.') || name.ends_with(".localhost") || self.hosts.contains(&name)
    }
}

/// A host without its port; an IPv6 address without its brackets.
fn name_of(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(origins: &Origins, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        origins.check(&headers).is_ok()
    }

    #[test]
    fn programs_and_our_own_page_may_call_and_other_pages_only_when_allowed() {
        let closed = Origins::new(&[], &[], false).unwrap();
        assert!(passes(&closed, "127.0.0.1:8080", None));
        assert!(passes(&closed, "localhost:8080", Some("http://localhost:8080")));
        for other in ["https://evil.example", "null", "http://localhost:3000", "http://127.0.0.1:8080"] {
            assert!(!passes(&closed, "localhost:8080", Some(other)), "{other}");
        }
        let one = Origins::new(&["https://app.example".into()], &[], false).unwrap();
        assert!(passes(&one, "localhost", Some("https://app.example")));
        assert!(!passes(&one, "localhost", Some("https://app.example.evil")));
        let all = Origins::new(&["*".into()], &[], false).unwrap();
        assert!(passes(&all, "localhost", Some("https://evil.example")));
        assert!(Origins::new(&["app.example".into()], &[], false).is_err());
    }

    #[test]
    fn a_name_that_a_stranger_can_own_is_not_ours_unless_it_is_said() {
        let closed = Origins::new(&[], &["brain.example".into()], false).unwrap();
        for ours in ["127.0.0.1", "[::1]:8080", "megabrain:8080", "brain.localhost", "Brain.example:80", "10.0.0.7:1"] {
            assert!(passes(&closed, ours, None), "{ours}");
        }
        // As if the page's own name pointed here: to the browser it is the same origin.
        assert!(!passes(&closed, "evil.example:8080", Some("http://evil.example:8080")));
        assert!(passes(&Origins::new(&[], &[], true).unwrap(), "evil.example", None));
    }
}
