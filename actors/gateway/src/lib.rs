//! How do people reach the brain who know of no bus? By HTTP, as OpenAI's and Ollama's clients speak it.
//!
//! ```text
//! request ─▶ access: whose page, which key ─▶ translation: named parameters only ─▶ bus ─▶ one answer, or lines as they come
//! ```
//! The gateway runs in the node, as the router does, and has no more rights on its own bus than any client, but for
//! jobs: those are kept by the bus with the node's rights. The gateway itself keeps nothing between requests. A client that
//! goes away takes its work on the bus with it, if it is no job.

mod access;
mod admit;
mod answer;
mod answering;
mod body;
mod config;
mod console;
mod conversation;
mod doors;
mod encoded;
mod error;
mod health;
mod jobs;
mod kept;
#[cfg(test)]
mod known;
mod media;
mod metrics;
mod metrics_models;
mod models;
mod multipart;
mod ollama;
mod openai;
mod openapi;
mod outbound;
mod parameters;
mod path;
mod present;
mod room;
mod routes;
mod server;
mod share;
mod stream;
mod values;
mod work;

pub use access::{KeyConfig, Scope, new_key};
pub use config::Config;
pub use server::{Gateway, StartError};
