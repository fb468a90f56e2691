//! `mb.v1.rerank`: a query and documents in, how well each answers it out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::contract::null_is_absent;
use crate::{Fault, Name, Request, Usage};

/// Documents to be ranked by how well they answer a query.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RerankRequest {
    /// The model's name, where the subject does not name one. Without it the router picks. Scores of different models
    /// cannot be compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The query. Not empty.
    pub query: String,
    /// The documents. At least one, none of them empty.
    pub documents: Vec<String>,
    /// So many results, the best; without it all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_n: Option<u32>,
    /// True: of a document that is longer than the model's context beside the query, the beginning is read; else it is
    /// `invalid_request`, naming both lengths.
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

impl Request for RerankRequest {
    const CAPABILITY: &'static str = "rerank";
    type Reply = RerankReply;
    type Frame = RerankReply;
    fn check(&self) -> Result<(), Fault> {
        if self.query.is_empty() {
            return Err(Fault::invalid("`query` is empty"));
        }
        if self.documents.is_empty() {
            return Err(Fault::invalid("`documents` is empty"));
        }
        if self.top_n == Some(0) {
            return Err(Fault::invalid("`top_n` is 0: expected 1 or more"));
        }
        match self.documents.iter().position(String::is_empty) {
            Some(index) => Err(Fault::invalid(format!("documents[{index}] is empty"))),
            None => Ok(()),
        }
    }
}

/// The documents, best first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RerankReply {
    /// One a document, or the best `top_n`. Those that score the same keep their order.
    pub results: Vec<Ranked>,
    /// Tokens read: with each document the query is read again.
    pub usage: Usage,
}

/// How well a document answers the query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ranked {
    /// The document's place in the request, from 0.
    pub index: u32,
    /// 0 to 1: the logistic function of what the model says. Good for the order, and for a bound of one's own; it is no
    /// probability.
    pub relevance_score: f32,
}
