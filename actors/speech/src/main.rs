//! Megabrain's ears: Whisper as a model actor. Serves `transcribe`.

mod abort;
mod bare;
mod collect;
mod config;
mod cores;
mod cut;
mod decode;
mod desk;
mod engine;
mod language;
mod resample;
mod transcribe;
mod weights;
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
