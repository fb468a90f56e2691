//! How is large media named?

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The JetStream object-store bucket that holds media.
pub const BLOB_BUCKET: &str = "mb_blobs";

const PREFIX: &str = "blob:sha256:";

/// `blob:sha256:<hex>`: names bytes by what they are. The object's name in the bucket is the 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobRef(String);

impl BlobRef {
    /// The reference of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hex = String::with_capacity(64);
        for byte in Sha256::digest(bytes) {
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self(hex)
    }

    /// The object's name in the bucket: lower-case hex SHA-256.
    pub fn object_name(&self) -> &str {
        &self.0
    }

    /// The digest that an object store of NATS keeps of these bytes: `SHA-256=` and base64 with the alphabet for URLs.
    pub fn object_digest(&self) -> String {
        let pairs = (0..self.0.len()).step_by(2).filter_map(|at| self.0.get(at..at + 2));
        let bytes: Vec<u8> = pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        format!("SHA-256={}", URL_SAFE.encode(bytes))
    }

    /// True if `bytes` are what this reference names.
    pub fn names(&self, bytes: &[u8]) -> bool {
        Self::of(bytes) == *self
    }
}

impl fmt::Display for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

impl FromStr for BlobRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text
            .strip_prefix(PREFIX)
            .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        hex.map(|hex| Self(hex.into())).ok_or_else(|| {
            format!(
                "{:?} is not a blob reference: expected {PREFIX} and 64 lower-case hex digits",
                text.chars().take(100).collect::<String>()
            )
        })
    }
}

impl Serialize for BlobRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BlobRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for BlobRef {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "BlobRef".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^blob:sha256:[0-9a-f]{64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_the_one_that_an_object_store_keeps() {
        // printf '' | openssl dgst -sha256 -binary | basenc --base64url
        assert_eq!(BlobRef::of(b"").object_digest(), "SHA-256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=");
    }
}
