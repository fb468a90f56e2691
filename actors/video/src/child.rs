//! How does ffmpeg run so that it can do no harm? As a child that dies with its parent and keeps within limits.
//!
//! `megabrain-video child … -- PROGRAM` is this program started by itself. It asks the kernel for a signal at its
//! parent's death, gives up what it does not need, and then becomes PROGRAM. The signal comes when the *thread* that
//! spawned the child ends, so children are spawned from threads that live as long as the engine.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use rustix::process::{Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit};
use rustix::thread::set_no_new_privs;

use crate::confine::confine;

/// Exit status of a child that could not become its program. No program of ours ends with it otherwise.
pub(crate) const NOT_STARTED: i32 = 125;

/// Files and pipes that a child may have open: its libraries, the film, three pipes, what the C library wants.
const OPEN_FILES: u64 = 64;

/// The first word of a command line that asks for a child.
const WORD: &str = "child";

/// What a child may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Address space, in bytes.
    pub(crate) memory: u64,
    /// Processor time, in seconds.
    pub(crate) cpu: u64,
}

/// Become a program that dies with its parent and keeps within limits (used by the actor itself).
#[derive(Debug, Parser)]
pub(crate) struct Child {
    /// The parent's process id: if it is another by now, the parent is dead already.
    #[arg(long)]
    parent: i32,
    /// Address space, in bytes.
    #[arg(long)]
    memory: u64,
    /// Processor time, in seconds.
    #[arg(long)]
    cpu: u64,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

impl Child {
    /// What the command line asks to become, if it does.
    pub(crate) fn asked() -> Option<Self> {
        let words = || std::env::args_os().skip(1);
        (words().next()? == WORD).then(|| Self::parse_from(words()))
    }

    /// Becomes the program; returns only if that fails.
    pub(crate) fn run(self) -> ExitCode {
        let Err(error) = self.become_program();
        eprintln!("cannot start: {error}");
        ExitCode::from(u8::try_from(NOT_STARTED).unwrap_or(u8::MAX))
    }

    fn become_program(self) -> io::Result<std::convert::Infallible> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(self.parent) {
            return Err(io::Error::other("the parent has ended already"));
        }
        // It writes to pipes only: no byte into any file, no core.
        limit(Resource::Fsize, 0)?;
        limit(Resource::Core, 0)?;
        limit(Resource::Nofile, OPEN_FILES)?;
        // The gentler signal comes first, and tells which limit it was.
        setrlimit(Resource::Cpu, Rlimit { current: Some(self.cpu), maximum: Some(self.cpu.saturating_add(1)) })?;
        limit(Resource::As, self.memory)?;
        let mut words = self.program.iter();
        let program = words.next().ok_or_else(|| io::Error::other("no program"))?;
        set_no_new_privs(true)?;
        confine(Path::new(program), &std::env::current_dir()?)?;
        Err(Command::new(program).args(words).exec())
    }
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// The command by which `own`, this program, becomes `program` as such a child in `folder`: no input, output and errors
/// in pipes, none of the environment but what it needs to find its libraries.
pub(crate) fn command(own: &Path, program: &Path, folder: &Path, limits: Limits) -> Command {
    let mut command = Command::new(own);
    command
        .arg(WORD)
        .args(["--parent", &std::process::id().to_string()])
        .args(["--memory", &limits.memory.to_string()])
        .args(["--cpu", &limits.cpu.to_string()])
        .arg("--")
        .arg(program)
        .current_dir(folder)
        .env_clear()
        .envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)))
        // Each further arena of the C library reserves address space, which is what is limited.
        .env("MALLOC_ARENA_MAX", "2")
        .env("AV_LOG_FORCE_NOCOLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
