//! What does the contract promise of its two codecs?
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod generated;

use std::fmt::Debug;

use generated::MessageType;
use megabrain_schemas::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

const CODECS: [Codec; 2] = [Codec::Json, Codec::MessagePack];

/// Tries a body as every type that is read off the bus. Nothing is said of the outcome but that there is one.
fn decode_as_everything(codec: Codec, body: &[u8]) {
    let _ = codec.decode::<Stamp>(body);
    let _ = codec.decode::<FaultReply>(body);
    let _ = codec.decode::<Ask>(body);
    let _ = codec.decode::<AskReply>(body);
    let _ = codec.decode::<AskFrame>(body);
    let _ = codec.decode::<AttachmentRequest>(body);
    let _ = codec.decode::<AttachmentReply>(body);
    let _ = codec.decode::<ChatRequest>(body);
    let _ = codec.decode::<ChatReply>(body);
    let _ = codec.decode::<ChatFrame>(body);
    let _ = codec.decode::<EmbedRequest>(body);
    let _ = codec.decode::<EmbedReply>(body);
    let _ = codec.decode::<TranscribeRequest>(body);
    let _ = codec.decode::<TranscribeReply>(body);
    let _ = codec.decode::<TranscribeFrame>(body);
    let _ = codec.decode::<SpeakRequest>(body);
    let _ = codec.decode::<SpeakReply>(body);
    let _ = codec.decode::<SeeRequest>(body);
    let _ = codec.decode::<SeeReply>(body);
    let _ = codec.decode::<SplitRequest>(body);
    let _ = codec.decode::<SplitFrame>(body);
    let _ = codec.decode::<SplitReply>(body);
    let _ = codec.decode::<EchoRequest>(body);
    let _ = codec.decode::<EchoReply>(body);
    let _ = codec.decode::<Presence>(body);
    let _ = codec.decode::<NodePresence>(body);
    let _ = codec.decode::<WorkReport>(body);
    let _ = codec.decode::<CoreShares>(body);
    let _ = codec.decode::<Cancel>(body);
}

/// Reads a body as the type of this name; the error, or the body written again in both codecs.
fn read_as(name: &str, codec: Codec, body: &[u8]) -> Result<[Vec<u8>; 2], DecodeError> {
    fn again<T: Serialize + DeserializeOwned>(codec: Codec, body: &[u8]) -> Result<[Vec<u8>; 2], DecodeError> {
        let value: T = codec.decode(body)?;
        Ok(CODECS.map(|codec| codec.encode(&value).unwrap()))
    }
    match name {
        "ask_request" => again::<Ask>(codec, body),
        "ask_reply" => again::<AskReply>(codec, body),
        "ask_frame" => again::<AskFrame>(codec, body),
        "attachment_request" => again::<AttachmentRequest>(codec, body),
        "attachment_reply" => again::<AttachmentReply>(codec, body),
        "chat_request" => again::<ChatRequest>(codec, body),
        "chat_reply" => again::<ChatReply>(codec, body),
        "chat_frame" => again::<ChatFrame>(codec, body),
        "embed_request" => again::<EmbedRequest>(codec, body),
        "embed_reply" => again::<EmbedReply>(codec, body),
        "transcribe_request" => again::<TranscribeRequest>(codec, body),
        "transcribe_reply" => again::<TranscribeReply>(codec, body),
        "transcribe_frame" => again::<TranscribeFrame>(codec, body),
        "speak_request" => again::<SpeakRequest>(codec, body),
        "speak_reply" => again::<SpeakReply>(codec, body),
        "see_request" => again::<SeeRequest>(codec, body),
        "see_reply" => again::<SeeReply>(codec, body),
        "split_request" => again::<SplitRequest>(codec, body),
        "split_frame" => again::<SplitFrame>(codec, body),
        "split_reply" => again::<SplitReply>(codec, body),
        "echo_request" => again::<EchoRequest>(codec, body),
        "echo_reply" => again::<EchoReply>(codec, body),
        "presence_event" => again::<Presence>(codec, body),
        "node_event" => again::<NodePresence>(codec, body),
        "work_event" => again::<WorkReport>(codec, body),
        "cores_event" => again::<CoreShares>(codec, body),
        "cancel" => again::<Cancel>(codec, body),
        "fault" => again::<FaultReply>(codec, body),
        other => panic!("no type for {other}: add it here"),
    }
}

fn every_golden(mut look: impl FnMut(&MessageType, Codec, &[u8])) {
    for message in generated::messages().unwrap() {
        for golden in &message.golden {
            look(&message, Codec::Json, &golden.json);
            look(&message, Codec::MessagePack, &golden.message_pack);
        }
    }
}

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    for codec in CODECS {
        let body = codec.encode(value).unwrap();
        assert_eq!(Codec::detect(None, &body).unwrap(), codec);
        assert_eq!(&codec.decode::<T>(&body).unwrap(), value);
    }
}

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
fn unknown_fields_are_ignored() {
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
        assert_eq!(read_as(message.name, codec, &longer), read_as(message.name, codec, body), "{}", message.name);
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

#[test]
fn what_the_types_cannot_say_is_checked() {
    fn refused<R: Request + Debug>(body: &str, named: &str) {
        let fault = Codec::Json.decode::<R>(body.as_bytes()).unwrap().check().unwrap_err();
        assert_eq!(fault.kind, FaultKind::InvalidRequest);
        assert!(fault.message.contains(named), "{fault}");
    }
    refused::<Ask>("{}", "neither `text` nor `attachments`");
    refused::<Ask>(r#"{"text":" "}"#, "neither");
    refused::<Ask>(r#"{"text":"a","models":[]}"#, "`models`");
    refused::<Ask>(r#"{"attachments":[{"mime":"audio/wav","data":""}]}"#, "attachments[0]");
    refused::<Ask>(r#"{"attachments":[{"mime":"audio/wav"}]}"#, "attachments[0]");
    refused::<Ask>(r#"{"text":"a","temperature":3}"#, "`temperature`");
    refused::<ChatRequest>(r#"{"messages":[]}"#, "`messages`");
    refused::<ChatRequest>(r#"{"messages":[{"role":"user","content":"a"}],"max_tokens":0}"#, "`max_tokens`");
    refused::<ChatRequest>(r#"{"messages":[{"role":"user","content":"a"}],"top_p":1.5}"#, "`top_p`");
    refused::<ChatRequest>(r#"{"messages":[{"role":"user","content":"a"}],"stop":[""]}"#, "`stop`");
    refused::<EmbedRequest>(r#"{"input":[]}"#, "`input`");
    refused::<EmbedRequest>(r#"{"input":["a",""]}"#, "input[1]");
    refused::<TranscribeRequest>(r#"{"audio":{}}"#, "audio");
    refused::<SeeRequest>(r#"{"images":[]}"#, "`images`");
    refused::<SeeRequest>(r#"{"images":[{"data":"AA=="}],"tasks":[]}"#, "`tasks`");
    refused::<SpeakRequest>(r#"{"text":""}"#, "`text`");
    refused::<SpeakRequest>(r#"{"text":"a","speed":0}"#, "`speed`");
    refused::<SplitRequest>(r#"{"video":{"data":"AA=="},"fps":0}"#, "`fps`");
    refused::<EchoRequest>(r#"{"attachment":{}}"#, "attachment");
    let not_a_number =
        ChatRequest { messages: vec![Message::user("a")], top_p: Some(f32::NAN), ..ChatRequest::default() };
    assert!(not_a_number.check().is_err());
}

#[test]
fn every_golden_request_passes_its_check() {
    fn passes<R: Request>(name: &str) {
        let body = std::fs::read(generated::root().join("golden").join(name)).unwrap();
        Codec::Json.decode::<R>(&body).unwrap().check().unwrap();
    }
    passes::<Ask>("ask_request.json");
    passes::<Ask>("ask_request-short.json");
    passes::<ChatRequest>("chat_request.json");
    passes::<EmbedRequest>("embed_request.json");
    passes::<TranscribeRequest>("transcribe_request.json");
    passes::<SpeakRequest>("speak_request.json");
    passes::<SeeRequest>("see_request.json");
    passes::<SplitRequest>("split_request.json");
    passes::<EchoRequest>("echo_request.json");
}

fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z0-9_-]{1,64}".prop_map(|text| Name::new(text).unwrap())
}

fn finite() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::ZERO
}

fn small() -> impl Strategy<Value = f32> {
    prop::num::f32::NORMAL | prop::num::f32::ZERO
}

fn data() -> impl Strategy<Value = Data> {
    vec(any::<u8>(), 0..300).prop_map(Data)
}

fn media() -> impl Strategy<Value = Media> {
    (option::of(".*"), option::of(data()), option::of(any::<[u8; 4]>().prop_map(|bytes| BlobRef::of(&bytes))))
        .prop_map(|(mime, data, blob)| Media { mime, data, blob })
}

fn fault() -> impl Strategy<Value = Fault> {
    (0..FaultKind::ALL.len(), ".*", any::<bool>(), option::of(any::<u64>())).prop_map(
        |(kind, message, retryable, retry_after_ms)| Fault {
            kind: FaultKind::ALL[kind],
            message,
            retryable,
            retry_after_ms,
        },
    )
}

fn usage() -> impl Strategy<Value = Usage> {
    any::<(u32, u32)>().prop_map(|(prompt_tokens, completion_tokens)| Usage { prompt_tokens, completion_tokens })
}

fn finish_reason() -> impl Strategy<Value = FinishReason> {
    prop_oneof![Just(FinishReason::Stop), Just(FinishReason::Length)]
}

fn message() -> impl Strategy<Value = Message> {
    (prop_oneof![Just(Role::System), Just(Role::User), Just(Role::Assistant)], ".*")
        .prop_map(|(role, content)| Message { role, content })
}

fn ask() -> impl Strategy<Value = Ask> {
    let words =
        (option::of(".*"), vec(media(), 0..4), option::of(vec(name(), 0..3)), option::of(".*"), option::of(name()));
    let numbers = (
        any::<bool>(),
        any::<bool>(),
        any::<Option<u64>>(),
        any::<Option<u32>>(),
        option::of(small()),
        any::<Option<u32>>(),
    );
    (words, numbers).prop_map(
        |((text, attachments, models, session, work), (all, stream, deadline_ms, max_tokens, temperature, seed))| {
            let policy = if all { Policy::All } else { Policy::First };
            Ask { text, attachments, models, policy, stream, deadline_ms, max_tokens, temperature, seed, session, work }
        },
    )
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let modality = prop_oneof![Just(Modality::Audio), Just(Modality::Image), Just(Modality::Text)];
    (any::<u32>(), modality, name(), option::of(finite()), option::of(finite()), ".*", option::of(small())).prop_map(
        |(attachment, modality, model, t0_ms, t1_ms, text, confidence)| Evidence {
            attachment: attachment as usize,
            modality,
            model,
            t0_ms,
            t1_ms,
            text,
            confidence,
        },
    )
}

fn leg() -> impl Strategy<Value = LegReport> {
    let status = prop_oneof![
        Just(LegStatus::Ok),
        Just(LegStatus::Failed),
        Just(LegStatus::Late),
        Just(LegStatus::Cancelled),
        Just(LegStatus::Skipped)
    ];
    (".*", ".*", option::of(name()), option::of(status), option::of(finite()), finite(), option::of(fault())).prop_map(
        |(leg, subject, model, status, queued_ms, took_ms, error)| LegReport {
            leg,
            subject,
            model,
            status,
            queued_ms,
            took_ms,
            error,
        },
    )
}

fn answer() -> impl Strategy<Value = Answer> {
    (name(), ".*", finish_reason(), usage(), finite()).prop_map(|(model, text, finish_reason, usage, took_ms)| Answer {
        model,
        text,
        finish_reason,
        usage,
        took_ms,
    })
}

fn ask_reply() -> impl Strategy<Value = AskReply> {
    let own =
        (option::of(name()), ".*", option::of(name()), option::of(finish_reason()), option::of(usage()), finite());
    (own, vec(answer(), 0..3), vec(evidence(), 0..3), vec(leg(), 0..3)).prop_map(
        |((work, text, model, finish_reason, usage, took_ms), answers, evidence, legs)| AskReply {
            work,
            text,
            model,
            finish_reason,
            usage,
            answers,
            evidence,
            legs,
            took_ms,
        },
    )
}

fn chat() -> impl Strategy<Value = ChatRequest> {
    let words = (option::of(".*"), vec(message(), 0..4), vec(".*", 0..3), option::of(".*"), option::of(name()));
    let numbers = (
        any::<Option<u32>>(),
        option::of(small()),
        option::of(small()),
        any::<Option<u32>>(),
        any::<bool>(),
        any::<Option<u64>>(),
    );
    (words, numbers).prop_map(
        |((model, messages, stop, session, work), (max_tokens, temperature, top_p, seed, stream, deadline_ms))| {
            ChatRequest {
                model,
                messages,
                max_tokens,
                temperature,
                top_p,
                seed,
                stop,
                stream,
                session,
                deadline_ms,
                work,
            }
        },
    )
}

fn segment() -> impl Strategy<Value = Segment> {
    (finite(), finite(), ".*", option::of(small())).prop_map(|(t0_ms, t1_ms, text, confidence)| Segment {
        t0_ms,
        t1_ms,
        text,
        confidence,
    })
}

fn seen() -> impl Strategy<Value = Seen> {
    let read = (".*", prop::array::uniform8(small()), small()).prop_map(|(text, [a, b, c, d, e, f, g, h], score)| {
        Read { text, corners: [[a, b], [c, d], [e, f], [g, h]], score }
    });
    let label = (".*", small()).prop_map(|(label, score)| Classified { label, score });
    let description = (".*", ".*").prop_map(|(text, by)| Description { text, by });
    (any::<u32>(), any::<u32>(), option::of(vec(label, 0..3)), option::of(vec(read, 0..3)), option::of(description))
        .prop_map(|(width, height, classify, read, describe)| Seen { width, height, classify, read, describe })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn asking_round_trips(ask in ask(), reply in ask_reply(), leg in leg(), evidence in evidence(), fault in fault(), media in media()) {
        round_trips(&ask);
        round_trips(&reply);
        round_trips(&AskFrame { leg: Some(leg), ..AskFrame::default() });
        round_trips(&AskFrame { evidence: Some(evidence), ..AskFrame::default() });
        round_trips(&AskFrame { delta: ask.text.clone(), model: ask.work.clone(), ..AskFrame::default() });
        round_trips(&AttachmentRequest { attachment: media, prompt: ask.text.clone() });
        round_trips(&FaultReply::new(ask.work, fault));
    }

    #[test]
    fn chatting_and_embedding_round_trip(
        chat in chat(), message in option::of(message()), finish_reason in finish_reason(), usage in usage(), times in prop::array::uniform4(finite()),
        vectors in vec(vec(small(), 0..8), 0..4), delta in ".*",
    ) {
        let [queued_ms, prompt_ms, first_token_ms, total_ms] = times;
        round_trips(&EmbedRequest { input: chat.stop.clone() });
        round_trips(&chat);
        round_trips(&ChatReply { message, finish_reason, usage, timings: Timings { queued_ms, prompt_ms, first_token_ms, total_ms } });
        round_trips(&ChatFrame { delta });
        round_trips(&EmbedReply { embeddings: vectors, usage });
    }

    #[test]
    fn media_round_trips(
        media in media(), text in ".*", language in option::of(".*"), segments in vec(segment(), 0..3), number in finite(), speed in option::of(small()),
        stream in any::<bool>(), deadline_ms in any::<Option<u64>>(), work in option::of(name()), count in any::<Option<u32>>(), seen in vec(seen(), 0..3),
    ) {
        round_trips(&TranscribeRequest { model: language.clone(), audio: media.clone(), language: language.clone(), stream, deadline_ms, work });
        round_trips(&TranscribeReply { text: text.clone(), language: text.clone(), duration_ms: number, segments: segments.clone(), queued_ms: number });
        for segment in segments.clone() {
            round_trips(&TranscribeFrame { segment });
        }
        for format in [AudioFormat::Wav, AudioFormat::Flac, AudioFormat::Opus] {
            round_trips(&SpeakRequest { text: text.clone(), voice: language.clone(), speed, format, stream });
        }
        round_trips(&SpeakReply { audio: media.clone(), duration_ms: number, segments });
        let tasks = stream.then(|| vec![SeeTask::Classify, SeeTask::Read, SeeTask::Describe]);
        round_trips(&SeeRequest { images: vec![media.clone()], tasks, prompt: language, top_k: count });
        round_trips(&SeeReply { results: seen });
        round_trips(&SplitRequest { video: media, frames: count, fps: speed });
        let blob = BlobRef::of(text.as_bytes());
        round_trips(&SplitFrame { frame: Some(VideoFrame { blob: blob.clone(), t_ms: number }), sound: None });
        round_trips(&SplitFrame { frame: None, sound: Some(VideoSound { blob, t0_ms: number, duration_ms: number }) });
        round_trips(&SplitReply { frames: count.unwrap_or(0), duration_ms: number });
    }

    #[test]
    fn echoes_and_events_round_trip(
        text in option::of(".*"), data in option::of(data()), attachment in option::of(media()), delay_ms in any::<u64>(), stream in any::<bool>(),
        names in prop::array::uniform3(name()), counts in any::<[u32; 6]>(), bytes in any::<[u64; 3]>(), share in option::of(small()), rate in finite(), keys in vec(any::<u64>(), 0..8),
        stamp in (option::of(name()), option::of(name()), any::<Option<u64>>(), any::<bool>()),
    ) {
        round_trips(&EchoRequest { text: text.clone(), data: data.clone(), attachment, delay_ms, stream });
        round_trips(&EchoReply { text: text.clone(), data: data.clone() });
        round_trips(&AttachmentReply { text: text.clone(), data });
        let [instance, model, other] = names;
        for state in [ModelState::Starting, ModelState::Loading, ModelState::Ready, ModelState::Draining, ModelState::Backoff, ModelState::Failed] {
            round_trips(&Presence {
                node: Some(other.clone()), state, capabilities: vec![Capability::of::<ChatRequest>()], accepts: text.clone().into_iter().collect(),
                device: text.clone(), slots: counts[0], queue_limit: counts[1], context: Some(counts[2]), queued: counts[3], in_flight: counts[4],
                finished: bytes[0], faults: bytes[1], tokens_per_second: rate, memory_bytes: bytes[2], progress: share, reason: text.clone(),
                retry_after_ms: Some(delay_ms), pid: counts[5], ..Presence::unknown(&instance, &model)
            });
        }
        round_trips(&NodePresence { router: stream, asks_in_flight: counts[0], up_ms: bytes[0], ..NodePresence::default() });
        round_trips(&WorkReport { model: model.clone(), taken: keys.clone(), finished: keys });
        round_trips(&CoreShares { threads: [(model, counts[0]), (other, counts[1])].into() });
        let (work, model, seq, done) = stamp;
        round_trips(&Stamp { work, model, seq, done });
        round_trips(&Cancel {});
    }

    #[test]
    fn no_bytes_make_decoding_panic(body in vec(any::<u8>(), 0..512), header in option::of(".*")) {
        let _ = Codec::detect(header.as_deref(), &body);
        for codec in CODECS {
            decode_as_everything(codec, &body);
        }
        // Past the first byte, where it is a map.
        let packed = [b"\x81".as_slice(), &body].concat();
        decode_as_everything(Codec::MessagePack, &packed);
        let json = format!("{{\"text\":{}", String::from_utf8_lossy(&body));
        decode_as_everything(Codec::Json, json.as_bytes());
    }

    #[test]
    fn no_changed_byte_makes_decoding_panic(pick in any::<prop::sample::Index>(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        static GOLDEN: std::sync::LazyLock<Vec<(Codec, Vec<u8>)>> = std::sync::LazyLock::new(|| {
            let mut all = Vec::new();
            every_golden(|_, codec, body| all.push((codec, body.to_vec())));
            all
        });
        let (codec, mut body) = pick.get(&GOLDEN).clone();
        let place = place.index(body.len());
        body[place] = byte;
        decode_as_everything(codec, &body);
    }
}
