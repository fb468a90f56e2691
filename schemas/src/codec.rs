//! How is a message written down? JSON for people, MessagePack for machines; both carry the same fields.

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize as _, Serialize};

use crate::{Fault, FaultKind};

/// How deep a message may nest: maps and lists within each other.
const MAX_DEPTH: usize = 64;
/// The longest text of an error, in characters. It may quote the message, and must fit into an answer.
const MAX_ERROR_CHARS: usize = 400;

/// One of the two notations of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Codec {
    /// `application/json`, UTF-8; bytes are base64.
    #[default]
    Json,
    /// `application/msgpack`, structs as maps with named fields; bytes are binary.
    MessagePack,
}

/// A message could not be read; says which field, where the codec can tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(String);

impl DecodeError {
    fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.chars().nth(MAX_ERROR_CHARS).is_none() {
            return Self(text);
        }
        Self(text.chars().take(MAX_ERROR_CHARS).chain(std::iter::once('…')).collect())
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        Self::new(FaultKind::InvalidRequest, error.0)
    }
}

impl Codec {
    /// The media type for the `Content-Type` header.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::MessagePack => "application/msgpack",
        }
    }

    /// Tells the codec by the `Content-Type` header or, without one, by the first byte of the body.
    ///
    /// # Errors
    /// Names what was found. It is answered in JSON, since the caller's codec is not known.
    pub fn detect(content_type: Option<&str>, body: &[u8]) -> Result<Self, DecodeError> {
        if let Some(given) = content_type {
            let essence = given.split(';').next().unwrap_or(given).trim();
            return match essence.to_ascii_lowercase().as_str() {
                "application/json" | "text/json" => Ok(Self::Json),
                "application/msgpack" | "application/x-msgpack" | "application/vnd.msgpack" => Ok(Self::MessagePack),
                _ => Err(DecodeError::new(format!(
                    "unknown Content-Type {essence:?}: use application/json or application/msgpack"
                ))),
            };
        }
        match body.first() {
            None => Err(DecodeError::new("the message is empty: expected a JSON object or a MessagePack map")),
            Some(b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n') => Ok(Self::Json),
            Some(0x80..=0x8f | 0xde | 0xdf) => Ok(Self::MessagePack),
            Some(byte) => Err(DecodeError::new(format!(
                "the message begins with byte 0x{byte:02x}: expected a JSON object or a MessagePack map"
            ))),
        }
    }

    /// Writes `value`.
    ///
    /// # Errors
    /// A value that the codec cannot express (a map with keys that are not text, in JSON) is an `engine` fault. A float
    /// that is no number (NaN, infinite) is no error here: JSON has `null` for it, which its reader then refuses.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::with_capacity(256);
        let written = match self {
            Self::Json => serde_json::to_writer(&mut body, value).map_err(|error| error.to_string()),
            Self::MessagePack => {
                let mut serializer = rmp_serde::Serializer::new(&mut body).with_struct_map();
                value.serialize(&mut serializer).map_err(|error| error.to_string())
            }
        };
        match written {
            Ok(()) => Ok(body),
            Err(error) => Err(Fault::engine(format!("could not encode the message: {error}"))),
        }
    }

    /// Writes the fields of `head` and of `body` as one map. Both must serialise as maps.
    ///
    /// Cheaper than a struct that flattens the two: they are written one after the other, and joined as bytes.
    ///
    /// # Errors
    /// As [`Codec::encode`]; an `engine` fault if one of the two is no map.
    pub fn encode_joined<H, B>(self, head: &H, body: &B) -> Result<Vec<u8>, Fault>
    where
        H: Serialize + ?Sized,
        B: Serialize + ?Sized,
    {
        self.join(&self.encode(head)?, &self.encode(body)?)
    }

    /// Two written maps as one.
    ///
    /// # Errors
    /// An `engine` fault if one of the two is no map.
    pub fn join(self, head: &[u8], body: &[u8]) -> Result<Vec<u8>, Fault> {
        let joined = match self {
            Self::Json => join_json(head, body),
            Self::MessagePack => join_message_pack(head, body),
        };
        joined.ok_or_else(|| Fault::engine("could not encode the message: it is no map of fields"))
    }

    /// Reads a `T`: one map, in which unknown fields are ignored.
    ///
    /// # Errors
    /// A missing or ill-typed field is named by its path. A message that is no map, nests deeper than 64 levels or is
    /// followed by more bytes is an error too. The text is short, whatever the message holds: it fits into an answer.
    pub fn decode<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, DecodeError> {
        let plain = match self {
            Self::Json => {
                check_json(body)?;
                serde_json::from_slice(body).ok()
            }
            Self::MessagePack => {
                check_message_pack(body)?;
                let mut reader = message_pack_reader(body);
                T::deserialize(&mut reader).ok().filter(|_| is_at_end(&mut reader))
            }
        };
        // What fails is read a second time, with a slower reader that remembers where it is.
        match plain {
            Some(value) => Ok(value),
            None => self.decode_naming_the_field(body),
        }
    }

    fn decode_naming_the_field<T: DeserializeOwned>(self, body: &[u8]) -> Result<T, DecodeError> {
        match self {
            Self::Json => {
                let mut reader = serde_json::Deserializer::from_slice(body);
                let value = serde_path_to_error::deserialize(&mut reader).map_err(at_path)?;
                reader.end().map_err(|error| DecodeError::new(error.to_string()))?;
                Ok(value)
            }
            Self::MessagePack => {
                let mut reader = message_pack_reader(body);
                let value = serde_path_to_error::deserialize(&mut reader).map_err(at_path)?;
                if is_at_end(&mut reader) {
                    Ok(value)
                } else {
                    Err(DecodeError::new("trailing bytes after the message"))
                }
            }
        }
    }
}

/// `{…}` and `{…}` as one.
fn join_json(head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let head = head.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let body = body.strip_prefix(b"{")?.strip_suffix(b"}")?;
    let comma: &[u8] = if head.is_empty() || body.is_empty() { b"" } else { b"," };
    Some([b"{", head, comma, body, b"}"].concat())
}

/// Two maps as one: their lengths added, their fields one after the other.
fn join_message_pack(head: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let (mut head, mut body) = (head, body);
    let fields = rmp::decode::read_map_len(&mut head).ok()?.checked_add(rmp::decode::read_map_len(&mut body).ok()?)?;
    let mut joined = Vec::with_capacity(head.len() + body.len() + 5);
    rmp::encode::write_map_len(&mut joined, fields).ok()?;
    joined.extend_from_slice(head);
    joined.extend_from_slice(body);
    Some(joined)
}

/// Reads from the slice itself: media is copied once, into the value.
type MessagePackReader<'a> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'a, [u8]>>;

fn message_pack_reader(body: &[u8]) -> MessagePackReader<'_> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(body);
    // This reader counts a level when it enters a value, scalars included.
    reader.set_max_depth(MAX_DEPTH + 1);
    reader
}

/// This reader does not tell where it stands, but it does tell that there is nothing more to read.
fn is_at_end(reader: &mut MessagePackReader<'_>) -> bool {
    match IgnoredAny::deserialize(reader) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(error)) => error.kind() == std::io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

/// Checks what the reader lets pass: a struct written as a list of its fields, and depth in a field that is ignored.
fn check_json(body: &[u8]) -> Result<(), DecodeError> {
    match body.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        None => return Err(DecodeError::new("the message is empty: expected a JSON object")),
        Some(b'{') => {}
        Some(_) => return Err(DecodeError::new("expected a JSON object")),
    }
    if json_depth(body) > MAX_DEPTH {
        return Err(DecodeError::new(format!("the message nests deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}

fn check_message_pack(body: &[u8]) -> Result<(), DecodeError> {
    match body.first() {
        None => Err(DecodeError::new("the message is empty: expected a MessagePack map")),
        Some(0x80..=0x8f | 0xde | 0xdf) => Ok(()),
        Some(_) => Err(DecodeError::new("expected a MessagePack map")),
    }
}

/// How deep brackets are nested. Leaps over text, which is what a long message consists of.
fn json_depth(body: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let mut rest = body.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => leap_over_text(&mut rest),
            _ => {}
        }
    }
    deepest
}

fn leap_over_text(rest: &mut std::slice::Iter<'_, u8>) {
    loop {
        let Some(at) = memchr::memchr2(b'"', b'\\', rest.as_slice()) else {
            *rest = [].iter();
            return;
        };
        if rest.nth(at) == Some(&b'"') {
            return;
        }
        // The byte after a backslash is part of the text, whatever it is.
        rest.next();
    }
}

fn at_path<E: std::fmt::Display>(error: serde_path_to_error::Error<E>) -> DecodeError {
    let path = error.path().to_string();
    let inner = error.into_inner();
    if path == "." { DecodeError::new(inner.to_string()) } else { DecodeError::new(format!("`{path}`: {inner}")) }
}
