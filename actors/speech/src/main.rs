//! Megabrain's ears: Whisper as a model actor. Serves `transcribe`.

mod abort;
mod activity;
mod bare;
mod collect;
mod condense;
mod config;
mod cores;
mod cut;
mod decode;
mod desk;
mod ears;
mod engine;
mod hear;
mod inbox;
mod language;
mod live;
mod log;
mod part;
mod pool;
mod resample;
mod transcribe;
mod weights;
mod words;
mod worker;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(bare) = bare::Bare::asked() {
        return bare.run();
    }
    megabrain_runtime::run::<engine::Speech>()
}
