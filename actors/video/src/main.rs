//! Megabrain's eyes for film: ffmpeg as a model actor. Serves `split`.

mod allow;
mod child;
mod config;
mod confine;
mod cut;
mod engine;
mod film;
mod log;
mod note;
mod pick;
mod pictures;
mod probe;
mod running;
mod scratch;
mod smjpeg;
mod sound;
mod split;
mod tools;
mod wav;
mod worker;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(child) = child::Child::asked() {
        return child.run();
    }
    megabrain_runtime::run::<engine::Video>()
}
