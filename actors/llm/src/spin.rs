//! How long do llama.cpp's threads spin while they wait for each other?
//!
//! They meet several hundred times a token. By default libgomp lets a waiting thread spin for milliseconds, which is
//! right for a machine of one's own: where others compute on the same cores, a thread spins while the one that it waits
//! for has no core. Measured on 2 cores, SmolLM2-135M, tokens a second, with nothing else and with eight other busy
//! processes: by default 155 and 4, with 300 rounds 153 and 23, without spinning 63 and 44.

use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What libgomp reads, once, when it is loaded with the program.
const SPIN_COUNT: &str = "GOMP_SPINCOUNT";
/// Some microseconds.
const ROUNDS: &str = "300";

/// Makes this process one whose threads spin briefly, by starting its program once more in the same process, unless
/// `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` says otherwise. Call it first.
pub(crate) fn briefly() {
    if env::var_os(SPIN_COUNT).is_some() || env::var_os("OMP_WAIT_POLICY").is_some() {
        return;
    }
    if let Ok(program) = env::current_exe() {
        // Returns only if it fails, and then the default holds.
        let _ = Command::new(program).args(env::args_os().skip(1)).env(SPIN_COUNT, ROUNDS).exec();
    }
}
