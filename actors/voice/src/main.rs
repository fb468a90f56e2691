//! Megabrain's mouth: a Piper voice as a model actor. Serves `speak`.

mod alphabet;
mod clauses;
mod config;
mod encode;
mod engine;
mod espeak;
mod paragraphs;
mod phonemes;
mod running;
mod sentences;
mod speakers;
mod speech;
mod stop;
mod synthesis;
mod voice;
mod worker;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    megabrain_runtime::run::<engine::Mouth>()
}
