//! How does a child process die with its parent, whatever kills the parent?
//!
//! `megabrain child -- PROGRAM` asks the kernel for a signal at its parent's death and then becomes PROGRAM. The signal
//! comes when the *thread* that spawned the child ends, so children are spawned from the node's main thread.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Become a program that dies with its parent (used by the node).
#[derive(Args, Debug)]
pub struct ChildArgs {
    /// The parent's process id: if it is another by now, the parent is dead already.
    #[arg(long)]
    parent: Option<i32>,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

/// Becomes the program; returns only if that fails.
///
/// # Errors
/// The program cannot be started.
pub fn run(args: &ChildArgs) -> std::io::Result<std::convert::Infallible> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if args.parent.is_some_and(|parent| getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(parent)) {
        return Err(std::io::Error::other("the parent has ended already"));
    }
    let mut words = args.program.iter();
    let program = words.next().ok_or_else(|| std::io::Error::other("no program"))?;
    Err(Command::new(program).args(words).exec())
}

/// The words before a program that make it our child in this way.
///
/// # Errors
/// This program's own path cannot be told.
pub fn launcher() -> std::io::Result<Vec<String>> {
    let own = std::env::current_exe()?;
    let parent = std::process::id().to_string();
    let words = [&own.display().to_string(), "child", "--parent", &parent, "--"];
    Ok(words.map(ToOwned::to_owned).into())
}
