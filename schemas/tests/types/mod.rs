//! Which types are read off the bus? All of them, by name: add a new one here.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::fmt::Debug;

use megabrain_schemas::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::generated::{self, MessageType};

/// Both codecs.
pub(crate) const CODECS: [Codec; 2] = [Codec::Json, Codec::MessagePack];

/// Tries a body as every type that is read off the bus. Nothing is said of the outcome but that there is one.
pub(crate) fn decode_as_everything(codec: Codec, body: &[u8]) {
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
    let _ = codec.decode::<RerankRequest>(body);
    let _ = codec.decode::<RerankReply>(body);
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
pub(crate) fn read_as(name: &str, codec: Codec, body: &[u8]) -> Result<[Vec<u8>; 2], DecodeError> {
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
        "rerank_request" => again::<RerankRequest>(codec, body),
        "rerank_reply" => again::<RerankReply>(codec, body),
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

/// Looks at every golden message in both codecs.
pub(crate) fn every_golden(mut look: impl FnMut(&MessageType, Codec, &[u8])) {
    for message in generated::messages().unwrap() {
        for golden in &message.golden {
            look(&message, Codec::Json, &golden.json);
            look(&message, Codec::MessagePack, &golden.message_pack);
        }
    }
}

/// Checks that what is written in either codec is read as the same.
pub(crate) fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    for codec in CODECS {
        let body = codec.encode(value).unwrap();
        assert_eq!(Codec::detect(None, &body).unwrap(), codec);
        assert_eq!(&codec.decode::<T>(&body).unwrap(), value);
    }
}
