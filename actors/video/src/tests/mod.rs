//! Promises of the engine, on real films and the real ffmpeg. Those of the actor (bus, queue, frames) are in the
//! workspace's `tests/`.

mod bounds;
mod damaged;
mod hostile;
mod odd;
mod times;
mod truth;

use std::path::{Path, PathBuf};
use std::process::Command;

use megabrain_schemas::{Fault, Media, SplitReply, SplitRequest};
use tempfile::TempDir;

use crate::config::Config;
use crate::split::{self, IsDue, Part, Setup, Stop};
use crate::tools::Tools;

/// A setup whose films lie in a folder of the test's own.
pub(crate) struct Bench {
    pub(crate) setup: Setup,
    pub(crate) folder: TempDir,
}

/// What came of a film.
#[derive(Debug, Default)]
pub(crate) struct Came {
    /// Time in milliseconds and JPEG.
    pub(crate) pictures: Vec<(f64, Vec<u8>)>,
    /// Start and length in milliseconds, and samples.
    pub(crate) sounds: Vec<(f64, f64, Vec<i16>)>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut setup = Setup::new(config, tools(), 2);
        setup.base = folder.path().to_owned();
        Self { setup, folder }
    }

    /// Takes a film apart with nobody who interrupts.
    pub(crate) fn split(&self, film: &[u8]) -> Result<(SplitReply, Came), Fault> {
        self.split_as(film, &request(None, None))
    }

    pub(crate) fn split_as(&self, film: &[u8], request: &SplitRequest) -> Result<(SplitReply, Came), Fault> {
        self.split_while(film, request, &|| false).map_err(|stop| match stop {
            Stop::Fault(fault) => fault,
            Stop::Interrupted => unreachable!("nobody interrupts"),
        })
    }

    pub(crate) fn split_while(
        &self,
        film: &[u8],
        request: &SplitRequest,
        is_due: IsDue<'_>,
    ) -> Result<(SplitReply, Came), Stop> {
        let mut came = Came::default();
        let outcome = split::split(&self.setup, film.to_vec().into(), request, is_due, &mut |part| {
            match part {
                Part::Picture { jpeg, t_ms } => {
                    assert!(jpeg.starts_with(b"\xff\xd8\xff") && jpeg.ends_with(b"\xff\xd9"), "not a JPEG");
                    came.pictures.push((t_ms, jpeg));
                }
                Part::Sound { wav, t0_ms, duration_ms } => {
                    let reader = hound::WavReader::new(&wav[..]).unwrap();
                    assert_eq!((reader.spec().channels, reader.spec().sample_rate), (1, 16_000));
                    came.sounds.push((t0_ms, duration_ms, reader.into_samples().map(Result::unwrap).collect()));
                }
            }
            Ok(())
        });
        assert_eq!(self.leftovers(), 0, "a film was left behind");
        outcome.map(|reply| (reply, came))
    }

    /// Folders that lie where films lie.
    pub(crate) fn leftovers(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

pub(crate) fn request(frames: Option<u32>, fps: Option<f32>) -> SplitRequest {
    SplitRequest { video: Media::inline("video/mp4", vec![0]), frames, fps, stream: None }
}

/// The tools of this machine; the program itself is the built one, since a test cannot become ffmpeg.
pub(crate) fn tools() -> Tools {
    let own = std::env::current_exe().unwrap();
    let own = own.ancestors().nth(2).unwrap().join("megabrain-video");
    assert!(own.exists(), "{} is not there: run `make build`", own.display());
    Tools { own, ..Tools::find(None).unwrap() }
}

/// A file of `tests/media`.
pub(crate) fn media(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/media")).join(name)
}

/// The film whose truth is known.
pub(crate) fn film() -> Vec<u8> {
    std::fs::read(media("film.mp4")).unwrap()
}

/// What ffmpeg makes of these arguments, in a file with this name.
pub(crate) fn made(name: &str, arguments: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join(name);
    let output =
        Command::new("ffmpeg").args(["-v", "error", "-nostdin"]).args(arguments).arg(&target).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(target).unwrap()
}

/// The film, made into something else: `before` its name, and what is done with it `after`.
pub(crate) fn remade(name: &str, before: &[&str], after: &[&str]) -> Vec<u8> {
    let source = media("film.mp4").display().to_string();
    made(name, &[before, &["-i", &source], after].concat())
}

/// A colour film of this many seconds with a tone, 160×120.
pub(crate) fn tiny(name: &str, seconds: u32, codecs: &[&str]) -> Vec<u8> {
    let picture = format!("testsrc=s=160x120:r=25:d={seconds}");
    let tone = format!("sine=f=440:d={seconds}");
    made(name, &[&["-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone, "-pix_fmt", "yuv420p"], codecs].concat())
}
