//! How is a message shown that is written for machines? MessagePack as JSON, and what is neither as text or by its size.

use std::fmt;

use megabrain_schemas::{Codec, Data, Fault, Stamp};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// How bytes within a message are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BytesAs {
    /// As the contract writes them in JSON.
    Base64,
    /// `<1234 bytes>`, for people.
    Size,
}

/// A message's body on one line: JSON as it came, MessagePack as JSON, other text as it is, other bytes by their number.
pub(crate) fn body(payload: &[u8], bytes_as: BytesAs) -> String {
    match (to_json(payload, bytes_as), std::str::from_utf8(payload)) {
        (Some(value), Err(_)) => value.to_string(),
        (_, Ok(text)) => text.to_owned(),
        (None, Err(_)) => sized(payload.len()),
    }
}

/// A message's body as a JSON value: of JSON and MessagePack what they say, of anything else its text or bytes.
pub(crate) fn value(payload: &[u8], bytes_as: BytesAs) -> Value {
    to_json(payload, bytes_as).unwrap_or_else(|| match std::str::from_utf8(payload) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => bytes(payload, bytes_as),
    })
}

/// A frame or answer that was read, with what the runtime stamps on it, on one line of JSON: as it came on the wire.
pub(crate) fn stamped<T: Serialize>(stamp: &Stamp, body: &T) -> String {
    // By way of MessagePack, in which a 32-bit float stays one: 0.1 is shown as 0.1.
    let fields = |part: Result<Vec<u8>, Fault>| part.ok().and_then(|packed| to_json(&packed, BytesAs::Base64));
    let mut whole = serde_json::Map::new();
    for part in [fields(Codec::MessagePack.encode(stamp)), fields(Codec::MessagePack.encode(body))] {
        if let Some(Value::Object(map)) = part {
            whole.extend(map);
        }
    }
    Value::Object(whole).to_string()
}

fn to_json(payload: &[u8], bytes_as: BytesAs) -> Option<Value> {
    match Codec::detect(None, payload).ok()? {
        Codec::Json => serde_json::from_slice(payload).ok(),
        codec @ Codec::MessagePack => match bytes_as {
            BytesAs::Base64 => codec.decode::<Shown<true>>(payload).ok().map(|shown| shown.0),
            BytesAs::Size => codec.decode::<Shown<false>>(payload).ok().map(|shown| shown.0),
        },
    }
}

fn bytes(bytes: &[u8], bytes_as: BytesAs) -> Value {
    match bytes_as {
        // Base64 of bytes is text: it cannot fail.
        BytesAs::Base64 => serde_json::to_value(Data(bytes.to_vec())).unwrap_or_default(),
        BytesAs::Size => Value::String(sized(bytes.len())),
    }
}

fn sized(bytes: usize) -> String {
    format!("<{bytes} bytes>")
}

/// Anything that MessagePack can say, as JSON. (`Value` itself refuses bytes.)
struct Shown<const BASE64: bool>(Value);

impl<'de, const BASE64: bool> Deserialize<'de> for Shown<BASE64> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShownVisitor::<BASE64>).map(Self)
    }
}

struct ShownVisitor<const BASE64: bool>;

impl<'de, const BASE64: bool> Visitor<'de> for ShownVisitor<BASE64> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f32<E: Error>(self, value: f32) -> Result<Value, E> {
        // 0.1_f32 is shown as 0.1 and not as the nearest double's 0.10000000149.
        Ok(value.to_string().parse::<f64>().map_or(Value::Null, Value::from))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(bytes(value, if BASE64 { BytesAs::Base64 } else { BytesAs::Size }))
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Shown(item)) = items.next_element::<Shown<BASE64>>()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = serde_json::Map::new();
        while let Some((Shown(key), Shown(value))) = entries.next_entry::<Shown<BASE64>, Shown<BASE64>>()? {
            let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use megabrain_schemas::{EchoReply, Presence};
    use serde_json::json;

    use super::*;

    fn reply() -> Vec<u8> {
        let reply = EchoReply { text: Some("hi".into()), data: Some(Data(vec![1, 2, 255])) };
        Codec::MessagePack.encode(&reply).unwrap()
    }

    fn read(line: &str) -> Value {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn bytes_in_message_pack_are_shown_by_size_or_as_base64() {
        let shown = |bytes_as| read(&body(&reply(), bytes_as));
        assert_eq!(shown(BytesAs::Size), json!({ "data": "<3 bytes>", "text": "hi" }));
        assert_eq!(shown(BytesAs::Base64), json!({ "data": "AQL/", "text": "hi" }));
    }

    #[test]
    fn a_frame_is_shown_with_its_stamp() {
        let stamp = Stamp { seq: Some(3), done: true, ..Stamp::default() };
        let reply = EchoReply { text: Some("hi".into()), data: None };
        assert_eq!(read(&stamped(&stamp, &reply)), json!({ "done": true, "seq": 3, "text": "hi" }));
    }

    #[test]
    fn a_real_message_reads_back_from_what_is_shown() {
        let name = megabrain_schemas::Name::new("fast").unwrap();
        let presence = Presence { progress: Some(0.1), tokens_per_second: 12.5, ..Presence::unknown(&name, &name) };
        let shown = body(&Codec::MessagePack.encode(&presence).unwrap(), BytesAs::Base64);
        assert!(shown.contains(r#""progress":0.1"#), "{shown}");
        assert_eq!(serde_json::from_str::<Presence>(&shown).unwrap(), presence);
    }

    #[test]
    fn json_and_text_are_shown_as_they_are_and_other_bytes_by_their_number() {
        assert_eq!(body(br#"{"a": 1}"#, BytesAs::Size), r#"{"a": 1}"#);
        assert_eq!(body(b"plain", BytesAs::Size), "plain");
        assert_eq!(body(&[0xff, 0xfe], BytesAs::Size), "<2 bytes>");
        assert_eq!(body(b"", BytesAs::Size), "");
        assert_eq!(value(&[0xff], BytesAs::Base64), Value::from("/w=="));
    }
}
