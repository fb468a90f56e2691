//! How do OpenAI's clients speak? One file for each thing that they ask for; what they share is in `messages` and `tools`, and here.

pub(crate) mod chat;
mod chat_stream;
pub(crate) mod completions;
pub(crate) mod embeddings;
mod messages;
pub(crate) mod rerank;
mod responses;
mod responses_head;
pub(crate) mod responses_input;
mod responses_items;
mod responses_stream;
pub(crate) mod speech;
mod tools;
mod transcript;
mod transcript_stream;
mod transcriptions;

pub(crate) use chat::chat;
pub(crate) use completions::completions;
pub(crate) use embeddings::{EMBEDDERS, are_few, embeddings};
pub(crate) use messages::read as read_messages;
pub(crate) use rerank::rerank;
pub(crate) use responses::responses;
pub(crate) use speech::speech;
pub(crate) use tools::of_ollama as take_ollama_tools;
pub(crate) use transcriptions::{transcriptions, translations};

use std::num::NonZeroU32;

use megabrain_schemas::{ChatRequest, Usage};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::parameters::{OneOrMany, Parameters};

/// Takes what says how an answer is to be made; the longest answer is called differently from door to door.
fn settings(parameters: &mut Parameters, longest: &[&str]) -> Result<ChatRequest, ApiError> {
    let mut max_tokens = None;
    for name in longest {
        // Also the one that another wins over.
        let given = parameters.take::<NonZeroU32>(name)?;
        max_tokens = max_tokens.or(given.map(NonZeroU32::get));
    }
    let stop = parameters.take::<OneOrMany>("stop")?.map(OneOrMany::into_vec).unwrap_or_default();
    Ok(ChatRequest { max_tokens, stop, ..parameters.take_sampling()? })
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens),
    })
}
