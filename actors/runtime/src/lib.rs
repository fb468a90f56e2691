//! What does every model actor share? Everything but the model.
//!
//! An actor's program is its [`Engine`] and one call of [`run`]. The runtime gives it subjects, admission, a queue,
//! deadlines, cancel, drain, statistics, presence and trace. The node's side is in [`supervision`]: the actor that keeps
//! a model's process alive, and the guard that answers for it when it dies.

mod about;
pub mod conformance;
mod deadlines;
mod driver;
mod engine;
mod host;
mod intake;
mod job;
mod live;
mod open;
mod options;
mod report;
mod run;
pub mod supervision;
mod thread;

use megabrain_schemas::Name;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

pub use about::resident_bytes;
pub use engine::{Engine, Gauges, LoadError, Profile, STEP_BOUND, Step};
pub use host::{Host, Waker};
pub use job::{Attached, Interrupt, Job};
pub use live::Listening;
pub use options::{Options, bus_credentials};
pub use run::run;
pub use thread::{exit_on_panic, spawn_worker};

/// The key of a request in work reports: the 64-bit xxh3 hash of its reply subject and, where a header names it, of its
/// work. Open requests share one only if their caller gives them one inbox and no names.
pub fn work_key(reply: &str, work: Option<&Name>) -> u64 {
    let key = xxh3_64(reply.as_bytes());
    work.map_or(key, |work| xxh3_64_with_seed(work.as_str().as_bytes(), key))
}
