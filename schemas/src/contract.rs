//! What ties a request to its reply?

use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Fault, Name, NameError, subject};

/// What a model can do. A token on the wire: `chat`, `transcribe` … and whatever a new actor announces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Capability(Name);

impl Capability {
    /// Takes any token. Those that the contract keeps for itself are told by [`Capability::is_reserved`].
    ///
    /// # Errors
    /// The text is not a [`Name`].
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        Name::new(text).map(Self)
    }

    /// Makes a capability of any text, as [`Name::sanitized`] does: for a word that stands in a program.
    pub fn sanitized(text: &str) -> Self {
        Self(Name::sanitized(text))
    }

    /// The capability that request type `R` belongs to.
    pub fn of<R: Request>() -> Self {
        Self::sanitized(R::CAPABILITY)
    }

    /// True for the words of the contract that no model may serve.
    pub fn is_reserved(&self) -> bool {
        subject::RESERVED.contains(&self.as_str())
    }

    /// The capability as a subject token.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A request, and what it is answered with.
pub trait Request: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The token of the capability, as in `mb.v1.<capability>`.
    const CAPABILITY: &'static str;
    /// The terminal answer.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
    /// One frame of a stream before the terminal answer.
    type Frame: Serialize + DeserializeOwned + Send + 'static;

    /// True if the caller asked for frames before the terminal answer.
    fn is_stream(&self) -> bool {
        false
    }
    /// Checks what the types cannot say and what can be told without a model: lists that must not be empty, ranges,
    /// media with one source. Decoding does not call it: whoever is about to do the work does.
    ///
    /// # Errors
    /// `invalid_request`, naming the field.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }
}

/// What the runtime adds to every answer and frame beside the capability's own fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// The work that this belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Name>,
    /// The model that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
    /// Number of the frame in its stream, from 0. Absent from an answer that was not streamed, from the answer to a stream
    /// without frames, and from a fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// True on the terminal answer: the last frame of a stream, and an answer that was not streamed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub done: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Reads `null` as if the field were absent, as every optional field does: what Go and others write for an empty list.
pub(crate) fn null_is_absent<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}
