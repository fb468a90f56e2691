//! `mb.v1.embed`: texts in, vectors out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Fault, Request, Usage};

/// Texts to be embedded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EmbedRequest {
    /// The texts. At least one, none of them empty.
    pub input: Vec<String>,
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
