//! `megabrain-llm`: how does a language model become an actor? llama.cpp, driven step by step.

mod answer;
mod bare;
mod batcher;
mod chat;
mod config;
mod constraint;
mod context;
mod devices;
mod embed;
mod engine;
mod estimate;
mod gguf;
mod line;
mod load;
mod looker;
mod native;
mod pace;
mod passages;
mod piece;
mod plan;
mod projector;
mod prompt;
mod purpose;
mod rate;
mod reader;
mod reading;
mod rerank;
mod sampler;
mod sequence;
mod showing;
mod slot;
mod spin;
#[cfg(test)]
mod testing;
mod text;
mod tools;

use std::process::ExitCode;

fn main() -> ExitCode {
    spin::briefly();
    tools::run().unwrap_or_else(megabrain_runtime::run::<engine::Llm>)
}
