//! What does the contract promise of its two codecs?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod generated;
mod types;

use megabrain_schemas::*;
use serde::{Deserialize, Serialize};
use types::{CODECS, every_golden, read_as, round_trips};

#[test]
fn the_two_golden_notations_are_one_message() {
    for message in generated::messages().unwrap() {
        for golden in &message.golden {
            let from_json = read_as(message.name, Codec::Json, &golden.json).unwrap();
            let from_message_pack = read_as(message.name, Codec::MessagePack, &golden.message_pack).unwrap();
            assert_eq!(from_json, from_message_pack, "{}", golden.name);
        }
    }
}

#[test]
fn a_truncated_message_is_an_error_wherever_it_ends() {
    every_golden(|message, codec, body| {
        let end = body.trim_ascii_end().len();
        let whole = if codec == Codec::Json { end } else { body.len() };
        for length in 0..whole {
            assert!(read_as(message.name, codec, &body[..length]).is_err(), "{} {codec:?} {length}", message.name);
        }
    });
}

#[test]
fn trailing_bytes_are_an_error() {
    every_golden(|message, codec, body| {
        for trailing in [b"x".as_slice(), b"{}", b"\x00", b"\xc1", b"\xd9\xff", b"\x80"] {
            let body = [body, trailing].concat();
            assert!(read_as(message.name, codec, &body).is_err(), "{} {codec:?} {trailing:?}", message.name);
        }
    });
}

#[test]
fn unknown_fields_are_ignored_but_in_a_chat_where_each_changes_the_answer() {
    every_golden(|message, codec, body| {
        let longer = match codec {
            Codec::Json => {
                let mut map: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).unwrap();
                map.insert("from_the_future".into(), serde_json::json!({"a": [1, {"b": null}], "c": "]}\\\""}));
                serde_json::to_vec(&map).unwrap()
            }
            Codec::MessagePack => {
                let (count, fields) = match body[0] {
                    small @ 0x80..=0x8f => (u16::from(small & 0x0f), &body[1..]),
                    0xde => (u16::from_be_bytes([body[1], body[2]]), &body[3..]),
                    other => panic!("{other:x} is no map"),
                };
                let field = b"\xaffrom_the_future\x82\xa1a\x92\x01\x81\xa1b\xc0\xa1c\xc4\x02\xff\x00";
                [&[0xde], (count + 1).to_be_bytes().as_slice(), field, fields].concat()
            }
        };
        let read = read_as(message.name, codec, &longer);
        if message.name == "chat_request" {
            let error = read.unwrap_err().to_string();
            assert!(error.contains("unknown field `from_the_future`"), "{error}");
        } else {
            assert_eq!(read, read_as(message.name, codec, body), "{}", message.name);
        }
    });
}

#[test]
fn deep_nesting_is_an_error_and_no_stack_overflow() {
    for depth in [65, 128, 1024, 10_000, 1_000_000] {
        for field in ["text", "from_the_future", "attachments"] {
            let json = format!("{{\"{field}\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
            let error = Codec::Json.decode::<Ask>(json.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("64 levels"), "{error}");
            let json = format!("{{\"{field}\":{}1{}}}", "{\"a\":".repeat(depth), "}".repeat(depth));
            assert!(Codec::Json.decode::<Ask>(json.as_bytes()).is_err());

            let mut packed = vec![0x81, 0xa0 | u8::try_from(field.len()).unwrap()];
            packed.extend(field.as_bytes());
            packed.extend(std::iter::repeat_n(0x91, depth));
            packed.push(0xc0);
            assert!(Codec::MessagePack.decode::<Ask>(&packed).is_err(), "{field} {depth}");
        }
    }
}

#[test]
fn nesting_is_counted_alike_in_both_codecs() {
    for (levels, fits) in [(63, true), (64, false)] {
        let json = format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(Codec::Json.decode::<Cancel>(json.as_bytes()).is_ok(), fits, "{levels}");
        let packed = [b"\x81\xa1x".as_slice(), &vec![0x91; levels - 1], b"\x90"].concat();
        assert_eq!(Codec::MessagePack.decode::<Cancel>(&packed).is_ok(), fits, "{levels}");
    }
}

#[test]
fn brackets_in_text_are_no_nesting() {
    let text = format!("{}\\\" {} \\\\", "[".repeat(500), "{".repeat(500));
    let body = serde_json::to_vec(&Ask { text: Some(text.clone()), ..Ask::default() }).unwrap();
    assert_eq!(Codec::Json.decode::<Ask>(&body).unwrap().text, Some(text));
}

#[test]
fn text_that_is_not_utf_8_is_an_error() {
    assert!(Codec::Json.decode::<Ask>(b"{\"text\":\"\xff\xfe\"}").is_err());
    assert!(Codec::MessagePack.decode::<Ask>(b"\x81\xa4text\xa2\xff\xfe").is_err());
    assert!(Codec::Json.decode::<Ask>(b"{\"te\xff\":1}").is_err());
}

#[test]
fn what_is_wrong_is_named() {
    for (body, named) in [
        (r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":5}]}"#, "`messages[1].content`"),
        (r#"{"messages":[{"role":"pirate","content":"a"}]}"#, "`messages[0].role`"),
        (r#"{"messages":[{"role":"user"}]}"#, "missing field `content`"),
        (r#"{"max_tokens":4}"#, "missing field `messages`"),
        (r#"{"messages":[],"max_tokens":-1}"#, "`max_tokens`"),
        (r#"{"messages":[],"max_tokens":"64"}"#, "`max_tokens`"),
        (r#"{"messages":[],"deadline_ms":1.5}"#, "`deadline_ms`"),
        (r#"{"messages":[],"work":"a.b"}"#, "`work`"),
    ] {
        let value: serde_json::Value = serde_json::from_str(body).unwrap();
        for codec in CODECS {
            let error = codec.decode::<ChatRequest>(&codec.encode(&value).unwrap()).unwrap_err().to_string();
            assert!(error.contains(named), "{codec:?}: {error}");
        }
    }
    for (body, named) in [
        (r#"{"attachments":[{"mime":"audio/wav","data":"not base64!"}]}"#, "`attachments[0].data`"),
        (r#"{"attachments":[{"blob":"blob:sha256:00"}]}"#, "`attachments[0].blob`"),
        (r#"{"policy":"vote"}"#, "`policy`"),
    ] {
        let error = Codec::Json.decode::<Ask>(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn an_error_is_short_however_long_the_message() {
    let body = format!("{{\"policy\":\"{}\"}}", "é".repeat(1_000_000));
    let fault = Fault::from(Codec::Json.decode::<Ask>(body.as_bytes()).unwrap_err());
    assert_eq!(fault.kind, FaultKind::InvalidRequest);
    assert!(fault.message.starts_with("`policy`") && fault.message.len() < 1000);
    let fault = Fault::from(Codec::detect(Some(&"x".repeat(100_000)), b"{}").unwrap_err());
    assert!(fault.message.len() < 1000);
}

#[test]
fn a_message_is_a_map() {
    for body in ["[]", r#"["What is a tide?"]"#, "5", "null", r#""text""#, "", " \n"] {
        assert!(Codec::Json.decode::<Ask>(body.as_bytes()).is_err(), "{body}");
    }
    for body in [b"\x90".as_slice(), b"\x91\xa1a", b"\x05", b"\xc0", b"\xa1a", b""] {
        assert!(Codec::MessagePack.decode::<Ask>(body).is_err(), "{body:?}");
    }
    assert!(Codec::Json.decode::<Ask>(b" \r\n\t{}").is_ok());
}

#[test]
fn null_is_the_same_as_absent() {
    let body = r#"{"text":"a","attachments":null,"models":null,"policy":null,"stream":null,"work":null}"#;
    assert_eq!(Codec::Json.decode::<Ask>(body.as_bytes()).unwrap(), Ask { text: Some("a".into()), ..Ask::default() });
    let body = r#"{"messages":[],"stop":null,"stream":null}"#;
    assert_eq!(Codec::Json.decode::<ChatRequest>(body.as_bytes()).unwrap(), ChatRequest::default());
}

#[test]
fn the_codec_is_told_by_header_or_first_byte() {
    for first in 0..=255_u8 {
        let expected = match first {
            b'{' | b'[' | b' ' | b'\t' | b'\r' | b'\n' => Some(Codec::Json),
            0x80..=0x8f | 0xde | 0xdf => Some(Codec::MessagePack),
            _ => None,
        };
        assert_eq!(Codec::detect(None, &[first, b'x']).ok(), expected, "{first:x}");
    }
    assert!(Codec::detect(None, b"").is_err());
    for (header, expected) in [
        ("application/json", Some(Codec::Json)),
        ("Application/JSON; charset=utf-8", Some(Codec::Json)),
        ("application/msgpack", Some(Codec::MessagePack)),
        ("application/x-msgpack", Some(Codec::MessagePack)),
        ("text/html", None),
        ("", None),
    ] {
        assert_eq!(Codec::detect(Some(header), b"\x80").ok(), expected, "{header}: the header wins over the body");
    }
    for codec in CODECS {
        assert_eq!(Codec::detect(Some(codec.content_type()), b"").ok(), Some(codec));
    }
}

#[test]
fn data_is_read_from_a_flattened_struct() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Flat<T> {
        #[serde(flatten)]
        stamp: Stamp,
        #[serde(flatten)]
        body: T,
    }
    let stamp = Stamp { work: Some(Name::sanitized("w")), seq: Some(3), ..Stamp::default() };
    let bytes: Vec<u8> = (0..=255).collect();
    round_trips(&Flat { stamp: stamp.clone(), body: EchoReply { text: None, data: Some(Data(bytes.clone())) } });
    let audio = Media::inline("audio/wav", bytes.clone());
    let spoken = Flat { stamp, body: SpeakReply { audio, duration_ms: 1.5, segments: vec![] } };
    round_trips(&spoken);
    let packed = Codec::MessagePack.encode(&spoken).unwrap();
    assert!(packed.windows(bytes.len()).any(|window| window == bytes), "the bytes travel as they are");
}

#[test]
fn every_fault_kind_is_written_as_it_is_called() {
    for kind in FaultKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}
