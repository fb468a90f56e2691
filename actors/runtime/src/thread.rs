//! What if a thread of an engine panics? The process ends.
//!
//! An engine that panics is no engine: the node answers for the process and starts it again. Were only the thread lost,
//! the model would go on saying that it is ready.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};

use crate::LoadError;

/// The exit status of a process one of whose threads panicked: that of a Rust program that panics.
const PANICKED: i32 = 101;

/// Starts a thread that works for an engine. If it panics, the process ends.
///
/// # Errors
/// `Engine`: the system has no thread left.
pub fn spawn_worker(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, LoadError> {
    Builder::new()
        .name(name)
        .spawn(|| exit_on_panic(work))
        .map_err(|error| LoadError::Engine(format!("cannot start a thread: {error}")))
}

/// Does this, on a thread of an engine. If it panics, the reason is logged and the process ends.
pub fn exit_on_panic<R>(work: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let thread = std::thread::current();
        let reason = reason(&*panic);
        tracing::error!(thread = thread.name().unwrap_or_default(), reason, "a thread panicked: the process ends");
        std::process::exit(PANICKED)
    })
}

/// What a panic says of itself.
fn reason(panic: &(dyn Any + Send)) -> &str {
    let literal = panic.downcast_ref::<&str>().copied();
    literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("it gives no reason")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Set in the process that is to end.
    const PANICS: &str = "MEGABRAIN_TEST_PANICS";

    #[test]
    fn a_worker_that_panics_ends_its_process() {
        if std::env::var_os(PANICS).is_some() {
            let worker = spawn_worker("worker".to_owned(), || panic!("out of luck")).unwrap();
            let _ = worker.join();
            return;
        }
        let own = std::env::current_exe().unwrap();
        let test = "thread::tests::a_worker_that_panics_ends_its_process";
        let ended = Command::new(own).args(["--exact", test]).env(PANICS, "1").output().unwrap();
        assert_eq!(ended.status.code(), Some(PANICKED), "{ended:?}");
    }

    #[test]
    fn a_panic_is_told_in_its_own_words() {
        let told = |panics: fn()| reason(&*catch_unwind(panics).unwrap_err()).to_owned();
        assert_eq!(told(|| panic!("out of luck")), "out of luck");
        assert_eq!(told(|| panic!("out of {}", "luck")), "out of luck");
    }
}
