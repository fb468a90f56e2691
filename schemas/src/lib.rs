//! What may cross the bus? The contract: subjects, headers, codecs, faults and one message set per capability.
//!
//! This crate knows neither NATS nor tokio. A program that speaks it can be written in any language: the JSON
//! Schemas in `schemas/json/`, `schemas/asyncapi.yaml` and the golden messages in `schemas/golden/` are made from it.

mod ask;
mod blob;
mod chat;
mod check;
mod codec;
mod contract;
mod data;
mod echo;
mod embed;
mod event;
mod fault;
pub mod headers;
mod name;
mod rerank;
mod see;
mod speak;
mod split;
pub mod subject;
mod subtitles;
mod transcribe;

pub use ask::{
    Answer, Ask, AskFrame, AskReply, Attachment, AttachmentReply, AttachmentRequest, Evidence, LegReport, LegStatus,
    Modality, Need, NeedWord, Policy,
};
pub use blob::{BLOB_BUCKET, BlobRef};
pub use chat::{
    ChatFrame, ChatReply, ChatRequest, FinishReason, FunctionCall, FunctionCallDelta, FunctionName, FunctionTool,
    JsonSchemaFormat, Message, NamedTool, ResponseFormat, Role, Timings, Tool, ToolCall, ToolCallDelta, ToolChoice,
    ToolKind, ToolMode, Usage,
};
pub use codec::{Codec, DecodeError};
pub use contract::{Capability, Request, Stamp};
pub use data::{Data, Media};
pub use echo::{ECHO_MIME, EchoReply, EchoRequest};
pub use embed::{EmbedReply, EmbedRequest};
pub use event::{Cancel, Card, CoreShares, ModelState, NodePresence, Presence, WorkReport};
pub use fault::{Fault, FaultKind, FaultReply};
pub use name::{Name, NameError};
pub use rerank::{Ranked, RerankReply, RerankRequest};
pub use see::{Classified, Description, Read, SeeReply, SeeRequest, SeeTask, Seen};
pub use speak::{AudioFormat, SpeakReply, SpeakRequest};
pub use split::{SplitFrame, SplitReply, SplitRequest, VideoFrame, VideoSound};
pub use transcribe::{LiveSound, Segment, TextFormat, TranscribeFrame, TranscribeReply, TranscribeRequest, Word};
