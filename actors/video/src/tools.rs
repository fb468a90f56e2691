//! Where are ffmpeg and ffprobe, and can they do what is needed?

use std::path::{Path, PathBuf};

use bytes::Bytes;
use megabrain_runtime::LoadError;
use megabrain_schemas::{Media, SplitRequest};

use crate::split::{Setup, Stop, split};

/// A film of one white picture, one pixel large: a GIF.
const TRIAL: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// How to get them.
const HOW: &str = "on Debian and Ubuntu `apt-get install ffmpeg` brings both, `make setup` does too; one elsewhere is \
    named by `ffmpeg = \"/path/to/ffmpeg\"` in the model's table of the brain file";

/// The programs that are run.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    /// This program itself, which then becomes one of the others.
    pub(crate) own: PathBuf,
    pub(crate) ffmpeg: PathBuf,
    pub(crate) ffprobe: PathBuf,
}

impl Tools {
    /// Finds them: ffmpeg where it is said to be and ffprobe beside it, or both in `PATH`.
    ///
    /// # Errors
    /// `Config`, naming what is missing and how to get it; `Engine`, if this program does not know where it lies.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, LoadError> {
        let places: Vec<PathBuf> = match named {
            Some(path) => vec![path.parent().unwrap_or(Path::new("/")).to_owned()],
            None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect(),
        };
        let find = |name: &str| {
            let there = places.iter().map(|place| place.join(name)).find(|path| path.is_file());
            there.and_then(|path| std::path::absolute(path).ok()).ok_or_else(|| {
                let places = named.map_or("in PATH".to_owned(), |path| format!("beside {}", path.display()));
                LoadError::Config(format!("there is no {name} {places}, and films are read by it; {HOW}"))
            })
        };
        let ffmpeg = match named {
            Some(path) if path.is_file() => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            Some(path) => return Err(LoadError::Config(format!("there is no {}; {HOW}", path.display()))),
            None => find("ffmpeg")?,
        };
        let own = std::env::current_exe()
            .map_err(|error| LoadError::Engine(format!("where this program itself lies cannot be told: {error}")))?;
        Ok(Self { own, ffmpeg, ffprobe: find("ffprobe")? })
    }
}

/// Takes a tiny film apart: an ffmpeg that is too old or built without what is needed is found now, not by a caller.
///
/// # Errors
/// `Engine`, with ffmpeg's own words.
pub(crate) fn try_out(setup: &Setup) -> Result<(), LoadError> {
    let request = SplitRequest { video: Media::inline("image/gif", Vec::new()), frames: None, fps: None, stream: None };
    let mut pictures = 0;
    let outcome = split(setup, Bytes::from_static(TRIAL), &request, &|| false, &mut |_| {
        pictures += 1;
        Ok(())
    });
    let why = match outcome {
        Ok(_) if pictures == 1 => return Ok(()),
        Ok(reply) => format!("{pictures} pictures came; {}", reply.note.unwrap_or_default()),
        Err(Stop::Fault(fault)) => fault.message,
        Err(Stop::Interrupted) => "interrupted".to_owned(),
    };
    Err(LoadError::Engine(format!(
        "{} cannot take a trial film apart (5.1 or later is needed, with what is usual in it): {why}",
        setup.tools.ffmpeg.display()
    )))
}
