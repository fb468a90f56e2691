//! Megabrain's eyes: ONNX models as a model actor. Serves `see`: what a picture shows, and the text in it.

mod boxes;
mod classify;
mod config;
mod crop;
mod describe;
mod detect;
mod end;
mod engine;
mod eyes;
mod line;
mod pixels;
mod read;
mod rectangle;
mod running;
mod worker;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    megabrain_runtime::run::<engine::Vision>()
}
