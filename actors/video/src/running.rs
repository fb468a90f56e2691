//! How is a child listened to without waiting for it? Its pipes are read when they have something, and it is killed
//! the moment nobody wants it any more.

use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, ExitStatus};
use std::time::{Duration, Instant};

use megabrain_schemas::Fault;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};

use crate::child::{self, Limits};
use crate::log::Log;
use crate::tools::Tools;

/// At least this often it is asked whether somebody wants to end.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// A pipe's worth of bytes.
const BUFFER: usize = 64 * 1024;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By itself, with this status.
    Exit(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// It gave no sign of life and was killed.
    Hung,
}

/// A child that works. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    output: Option<ChildStdout>,
    errors: Option<ChildStderr>,
    log: Log,
    ending: Option<Ending>,
    /// For how long it was listened to and said nothing.
    quiet: Duration,
    /// Somebody wants no output from it now: it may have to wait with what it has.
    is_held: bool,
}

impl Running {
    /// Starts `program`, one of these tools, as a child in `folder`.
    ///
    /// # Errors
    /// `engine`, if the system has no process or no pipe left.
    pub(crate) fn start(
        tools: &Tools,
        program: &Path,
        arguments: &[String],
        folder: &Path,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let start = || {
            let mut child = child::command(&tools.own, program, folder, limits).args(arguments).spawn()?;
            let (output, errors) = (child.stdout.take(), child.stderr.take());
            let (log, quiet) = (Log::default(), Duration::ZERO);
            let running = Self { child, output, errors, log, ending: None, quiet, is_held: false };
            for pipe in running.pipes() {
                fcntl_setfl(pipe, OFlags::NONBLOCK)?;
            }
            Ok(running)
        };
        start().map_err(|error: io::Error| Fault::engine(format!("cannot start {}: {error}", program.display())))
    }

    /// Waits until one of these has something to say, or some milliseconds.
    pub(crate) fn wait(children: &mut [&mut Self]) {
        let began = Instant::now();
        let pipes: Vec<BorrowedFd<'_>> = children.iter().flat_map(|child| child.pipes()).collect();
        if pipes.is_empty() {
            // Only the ends of the children are left to come.
            std::thread::sleep(Duration::from_millis(1));
        } else {
            let mut polled: Vec<PollFd<'_>> = pipes.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
            // Interrupted by a signal, it is just asked again.
            let _ = poll(&mut polled, Some(&LOOK_UP));
        }
        for child in children {
            child.quiet += began.elapsed();
        }
    }

    /// Reads what is there. Gives output to `take`, keeps the rest in the log, and notes how the child ended.
    ///
    /// # Errors
    /// Those of `take`.
    pub(crate) fn read<E>(&mut self, take: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut buffer = [0; BUFFER];
        if !self.is_held
            && let Some(bytes) = self.output.as_mut().map(|pipe| pipe.read(&mut buffer))
        {
            match self.quieten(bytes) {
                Some(0) => self.output = None,
                Some(length) => take(buffer.get(..length).unwrap_or_default())?,
                None => {}
            }
        }
        if let Some(bytes) = self.errors.as_mut().map(|pipe| pipe.read(&mut buffer)) {
            match self.quieten(bytes) {
                Some(0) => self.errors = None,
                Some(length) => self.log.take(buffer.get(..length).unwrap_or_default()),
                None => {}
            }
        }
        if self.ending.is_none()
            && self.output.is_none()
            && self.errors.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            self.log.end_line();
            self.ending = Some(Ending::of(status));
        }
        Ok(())
    }

    /// Takes no output for now, or takes it again: a child that must wait for that does not hang.
    pub(crate) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Kills the child if it gave no sign of life for longer than `patience`.
    pub(crate) fn kill_if_hung(&mut self, patience: Duration) {
        if self.is_held {
            self.quiet = Duration::ZERO;
        }
        if self.ending.is_none() && self.quiet > patience {
            self.kill();
            self.ending = Some(Ending::Hung);
        }
    }

    /// How it ended, if it has and all that it said was read.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// What it said.
    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// The length of what was read; `None` if there is nothing now. An error is the end, as it is to whoever writes.
    fn quieten(&mut self, read: io::Result<usize>) -> Option<usize> {
        match read {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => None,
            read => {
                self.quiet = Duration::ZERO;
                Some(read.unwrap_or(0))
            }
        }
    }

    fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let output = self.output.as_ref().filter(|_| !self.is_held).map(AsFd::as_fd);
        output.into_iter().chain(self.errors.as_ref().map(AsFd::as_fd))
    }

    fn kill(&mut self) {
        // It may have ended already; either way it is reaped, within some milliseconds.
        let _ = self.child.kill();
        let _ = self.child.wait();
        (self.output, self.errors) = (None, None);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ending.is_none() {
            self.kill();
        }
    }
}

impl Ending {
    fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, signal) => Self::Signal(signal.unwrap_or_default()),
        }
    }
}
