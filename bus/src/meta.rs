//! What travels in a message's headers beside its body?

use std::time::{Duration, Instant};

use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use megabrain_schemas::{Codec, DecodeError, Fault, Name, headers};
use serde::{Deserialize, Serialize};

/// What a request says about itself, from its headers and, where those are silent, from its body.
#[derive(Clone, Debug)]
pub struct Meta {
    /// The work's id.
    pub work: Name,
    /// The leg's path within its work.
    pub leg: Option<String>,
    /// When the time is up.
    pub deadline: Option<Instant>,
    /// The higher goes first in a queue.
    pub priority: i32,
    /// W3C trace context, as it came.
    pub traceparent: Option<String>,
}

/// Bodies up to this size are looked into for what headers could tell: past it, reading a body twice costs more.
pub(crate) const LOOK_INSIDE: usize = 64 * 1024;

impl Meta {
    /// A new work with a fresh id, no deadline, priority 0.
    pub fn new() -> Self {
        Self { work: crate::connect::new_work(), leg: None, deadline: None, priority: 0, traceparent: None }
    }

    /// Time left; `None` without a deadline.
    pub fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Writes a request, and whatever headers it needs.
    ///
    /// The work and its deadline go in the body, as a plain client's do: headers cost every process on the way a table
    /// of texts. They carry what a body cannot, and what a large body would hide.
    pub(crate) fn envelope<R: Serialize>(
        &self,
        codec: Codec,
        request: &R,
    ) -> Result<(Option<HeaderMap>, Bytes), Fault> {
        let body = codec.encode(request)?;
        let is_plain = self.leg.is_none() && self.priority == 0 && self.traceparent.is_none();
        let fits = is_plain && body.len() <= LOOK_INSIDE && codec.decode::<Fields>(&body)?.is_empty();
        if !fits {
            return Ok((Some(self.to_headers()), body.into()));
        }
        let fields = Fields { work: Some(self.work.clone()), deadline_ms: self.milliseconds_left() };
        Ok((None, codec.join(&codec.encode(&fields)?, &body)?.into()))
    }

    fn milliseconds_left(&self) -> Option<u64> {
        self.time_left().map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// The headers that carry this on to the next hop. The deadline goes as what is left of it now.
    pub(crate) fn to_headers(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        map.insert(headers::WORK, value(self.work.as_str()));
        if let Some(leg) = &self.leg {
            map.insert(headers::LEG, value(leg));
        }
        if let Some(left) = self.milliseconds_left() {
            map.insert(headers::DEADLINE_MS, value(&left.to_string()));
        }
        if self.priority != 0 {
            map.insert(headers::PRIORITY, value(&self.priority.to_string()));
        }
        if let Some(traceparent) = &self.traceparent {
            map.insert(headers::TRACEPARENT, value(traceparent));
        }
        map
    }

    /// Reads headers, and the body where they do not name the work. An id is made where nobody gave one.
    ///
    /// # Errors
    /// `invalid_request`, naming the header or field.
    pub(crate) fn read(map: Option<&HeaderMap>, codec: Codec, body: &[u8]) -> Result<Self, Fault> {
        let text = |name: &str| map.and_then(|map| map.get(name)).map(HeaderValue::as_str);
        let work = text(headers::WORK)
            .map(Name::new)
            .transpose()
            .map_err(|error| Fault::invalid(format!("header {}: {error}", headers::WORK)))?;
        // A program that sends the work header sends the others too: its body need not be read twice.
        let (work, deadline_ms) = match work {
            Some(work) => (work, None),
            None => {
                let fields: Fields = codec.decode(body)?;
                (fields.work.unwrap_or_else(crate::connect::new_work), fields.deadline_ms)
            }
        };
        let deadline_ms = number::<u64>(text(headers::DEADLINE_MS), headers::DEADLINE_MS)?.or(deadline_ms);
        let deadline = deadline_ms
            // Past a year it is no deadline, and an Instant cannot hold everything that a u64 can.
            .filter(|milliseconds| *milliseconds < 31_536_000_000)
            .and_then(|milliseconds| Instant::now().checked_add(Duration::from_millis(milliseconds)));
        Ok(Self {
            work,
            leg: text(headers::LEG).map(str::to_owned),
            deadline,
            priority: number::<i32>(text(headers::PRIORITY), headers::PRIORITY)?.unwrap_or(0),
            traceparent: text(headers::TRACEPARENT).map(str::to_owned),
        })
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self::new()
    }
}

/// The fields of any request that a header could have carried.
#[derive(Serialize, Deserialize)]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u64>,
}

impl Fields {
    fn is_empty(&self) -> bool {
        self.work.is_none() && self.deadline_ms.is_none()
    }
}

/// Tells the codec of a message.
pub(crate) fn codec_of(map: Option<&HeaderMap>, body: &[u8]) -> Result<Codec, DecodeError> {
    let content_type = map.and_then(|map| map.get(headers::CONTENT_TYPE)).map(HeaderValue::as_str);
    Codec::detect(content_type, body)
}

/// The work that a header names, if it is a name.
pub(crate) fn work_of(map: Option<&HeaderMap>) -> Option<Name> {
    map.and_then(|map| map.get(headers::WORK)).and_then(|value| Name::new(value.as_str()).ok())
}

fn number<T: std::str::FromStr>(text: Option<&str>, name: &str) -> Result<Option<T>, Fault> {
    text.map(|text| {
        text.trim()
            .parse()
            .map_err(|_| Fault::invalid(format!("header {name}: {text:?} is not a whole number in range")))
    })
    .transpose()
}

/// A header's value; control characters, which would break the protocol, become spaces.
pub(crate) fn value(text: &str) -> HeaderValue {
    if text.bytes().any(|byte| byte == b'\r' || byte == b'\n') {
        HeaderValue::from(text.replace(['\r', '\n'], " "))
    } else {
        HeaderValue::from(text)
    }
}
