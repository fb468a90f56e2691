//! A language model as an actor: llama.cpp on the bus.

mod bare;
mod batcher;
mod config;
mod context;
mod devices;
mod engine;
mod estimate;
mod gguf;
mod load;
mod native;
mod pace;
mod prompt;
mod sampler;
mod sequence;
mod slot;
#[cfg(test)]
mod testing;
mod text;
mod tools;

fn main() -> std::process::ExitCode {
    tools::run().unwrap_or_else(megabrain_runtime::run::<engine::Llm>)
}
