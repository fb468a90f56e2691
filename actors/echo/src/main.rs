//! `megabrain-echo`: what does an actor look like when it has no model?

mod config;
mod engine;

use std::process::ExitCode;

fn main() -> ExitCode {
    megabrain_runtime::run::<engine::Echo>()
}
