//! `mb.v1.embed`: texts in, vectors out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::null_is_absent;
use crate::{Fault, Name, Request, Usage};

/// Texts to be embedded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmbedRequest {
    /// The model's name, where the subject does not name one. Without it the router picks. Vectors of different models
    /// cannot be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The texts. At least one, none of them empty.
    pub input: Vec<String>,
    /// True: of a text longer than the model's context the beginning is embedded; else it is `invalid_request`, naming
    /// both lengths.
    #[serde(default, deserialize_with = "null_is_absent")]
    #[schemars(with = "Option<bool>")]
    pub truncate: bool,
    /// Time allowed, in milliseconds; the header wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// The work id that the caller chose; the header wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Name>,
}

impl Request for EmbedRequest {
    const CAPABILITY: &'static str = "embed";
    type Reply = EmbedReply;
    type Frame = EmbedReply;
    fn check(&self) -> Result<(), Fault> {
        if self.input.is_empty() {
            return Err(Fault::invalid("`input` is empty"));
        }
        match self.input.iter().position(String::is_empty) {
            Some(index) => Err(Fault::invalid(format!("input[{index}] is empty"))),
            None => Ok(()),
        }
    }
}

/// One vector a text, in the order of the texts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmbedReply {
    /// The vectors, all of one length, each of Euclidean norm 1.
    pub embeddings: Vec<Vec<f32>>,
    /// Tokens read.
    pub usage: Usage,
}
