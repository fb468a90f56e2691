//! How do bytes and media travel in a message?

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{BlobRef, Fault};

/// Bytes: binary in MessagePack, base64 (standard alphabet, padded) in JSON.
///
/// Text is read as base64 in MessagePack too: a flattened field no longer tells which codec it came by.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Data(pub Vec<u8>);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.0.len())
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

struct DataVisitor;

impl Visitor<'_> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes (base64 text in JSON, binary in MessagePack)")
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Data, E> {
        STANDARD.decode(text).map(Data).map_err(|error| E::custom(format_args!("not base64: {error}")))
    }
    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Data, E> {
        Ok(Data(bytes.to_vec()))
    }
    fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Data, E> {
        Ok(Data(bytes))
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Both codecs describe themselves, so the wire tells which form it is.
        deserializer.deserialize_any(DataVisitor)
    }
}

impl JsonSchema for Data {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Data".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
}

/// One piece of media, inline (`data`) or by reference (`blob`): exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Media {
    /// Media type, for example `audio/wav`. Needed with `data`; with `blob` it may be left out and is then sniffed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime: Option<String>,
    /// The bytes themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// Reference to bytes in the blob store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<BlobRef>,
}

impl Media {
    /// Media carried inline.
    pub fn inline(mime: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { mime: Some(mime.into()), data: Some(Data(bytes)), blob: None }
    }

    /// Media carried by reference.
    pub fn by_reference(mime: Option<String>, blob: BlobRef) -> Self {
        Self { mime, data: None, blob: Some(blob) }
    }

    /// True if it is none: not even a type is told.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Checks what can be told without opening the media: exactly one source, and not empty.
    ///
    /// `what` names the field in the fault's message. The fault is `invalid_request`.
    pub fn check(&self, what: &str) -> Result<(), Fault> {
        match (&self.data, &self.blob) {
            (Some(_), Some(_)) => Err(Fault::invalid(format!("{what} has both `data` and `blob`: give one"))),
            (None, None) => Err(Fault::invalid(format!("{what} has neither `data` nor `blob`: give one"))),
            (Some(data), None) if data.0.is_empty() => Err(Fault::invalid(format!("{what}: `data` is empty"))),
            _ => Ok(()),
        }
    }
}
