//! How do words become phonemes? espeak-ng says, a program of its own.
//!
//! It is a program and not a library here because its licence is the GPL: that way it binds nobody who uses this one.
//! It takes the words on standard input, gets no secrets of this process, and is ended when it takes too long.

use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use megabrain_runtime::LoadError;
use megabrain_schemas::Fault;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::stop::{IsDue, Stop};

/// A clause takes some milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a wait asks whether to end.
const LOOK_UP: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// A clause gives some hundred bytes.
const MOST: usize = 1 << 16;
/// What espeak-ng needs of the environment.
const VARIABLES: [&str; 3] = ["PATH", "ESPEAK_DATA_PATH", "LD_LIBRARY_PATH"];

/// espeak-ng with one of its voices.
#[derive(Clone, Debug)]
pub(crate) struct Espeak {
    program: PathBuf,
    voice: String,
}

impl Espeak {
    /// Tries whether the program is there and has the voice.
    ///
    /// # Errors
    /// `Config`, which says how to get it.
    pub(crate) fn new(program: PathBuf, voice: &str) -> Result<Self, LoadError> {
        let espeak = Self { program, voice: voice.to_owned() };
        let refused = |why: String| {
            LoadError::Config(format!(
                "{why}; {} makes a voice's phonemes: `apt-get install espeak-ng`, or name it with `espeak`",
                espeak.program.display()
            ))
        };
        match espeak.phonemes("a", &|| false) {
            Ok(phonemes) if !phonemes.is_empty() => Ok(espeak),
            Ok(_) => Err(refused(format!("{} has no voice `{voice}`", espeak.program.display()))),
            Err(Stop::Fault(fault)) => Err(refused(fault.message)),
            Err(Stop::Interrupted) => Err(refused("it was interrupted".to_owned())),
        }
    }

    /// The phonemes of a clause in IPA, words with spaces between. Empty where there is nothing to say.
    ///
    /// # Errors
    /// `engine` if the program does not do what it should; [`Stop::Interrupted`] if `is_due` says so.
    pub(crate) fn phonemes(&self, clause: &str, is_due: IsDue<'_>) -> Result<String, Stop> {
        let failed = |error: io::Error| Fault::engine(format!("{} cannot be run: {error}", self.program.display()));
        let mut running = Running(self.command().spawn().map_err(failed)?);
        if let Some(mut words) = running.0.stdin.take() {
            // A pipe has room for a clause. One that nobody reads gives no phonemes, which is told below.
            let _ = words.write_all(clause.as_bytes());
        }
        let output = running.output(is_due)?;
        Ok(String::from_utf8_lossy(&output).split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            // Quiet: no sound. Text on standard input, whole, in UTF-8.
            .args(["-q", "--ipa", "-b", "1", "--stdin", "-v", &self.voice])
            .env_clear()
            .envs(VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }
}

/// The program while it runs. Ended when it is dropped.
struct Running(Child);

impl Running {
    /// Everything that it writes until it closes its output.
    fn output(&mut self, is_due: IsDue<'_>) -> Result<Vec<u8>, Stop> {
        let failed = |error: io::Error| Fault::engine(format!("espeak-ng cannot be read: {error}"));
        let Some(mut stdout) = self.0.stdout.take() else { return Ok(Vec::new()) };
        let (mut output, mut buffer, end) = (Vec::new(), [0; 4096], Instant::now() + PATIENCE);
        loop {
            if is_due() {
                return Err(Stop::Interrupted);
            }
            if Instant::now() >= end {
                return Err(Fault::engine(format!("espeak-ng was not done after {PATIENCE:?}")).into());
            }
            match poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&LOOK_UP)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(failed(error.into()).into()),
            }
            let read = stdout.read(&mut buffer).map_err(failed)?;
            if read == 0 {
                return Ok(output);
            }
            output.extend_from_slice(buffer.get(..read).unwrap_or_default());
            if output.len() > MOST {
                return Err(Fault::engine(format!("espeak-ng wrote more than {MOST} bytes for a clause")).into());
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or is not wanted any more.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
