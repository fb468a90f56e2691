//! `mb.v1.echo`: the same back. No model: for tests, benches, and as the template of a new actor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::null_is_absent;
use crate::{Data, Fault, Media, Request};

/// The media type that echo actors accept as an attachment: its bytes are an [`EchoRequest`] in JSON or MessagePack.
pub const ECHO_MIME: &str = "application/x-megabrain-echo";

/// What to send back, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EchoRequest {
    /// Text to send back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes to send back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// An attachment of type [`ECHO_MIME`], as the router sends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Media>,
    /// How long to wait first, in milliseconds.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<u64>")]
    pub delay_ms: u64,
    /// True: `text` is sent back word by word, in numbered frames.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<bool>")]
    pub stream: bool,
}

impl Request for EchoRequest {
    const CAPABILITY: &'static str = "echo";
    type Reply = EchoReply;
    type Frame = EchoReply;
    fn is_stream(&self) -> bool {
        self.stream
    }
    fn check(&self) -> Result<(), Fault> {
        self.attachment.as_ref().map_or(Ok(()), |attachment| attachment.check("attachment"))
    }
}

/// The same back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EchoReply {
    /// The request's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The request's bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
}
