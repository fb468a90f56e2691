//! How is the sound of a film taken? By a child of its own, which does not wait until the pictures are decoded.

use std::collections::VecDeque;
use std::path::Path;

use megabrain_schemas::Fault;

use crate::cut::{Cutter, Piece, RATE};
use crate::film::{Film, Sound, input};
use crate::running::Running;
use crate::smjpeg::Reader;
use crate::split::Setup;

/// The child, and what came of it.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) running: Running,
    reader: Reader,
    cutter: Cutter,
    /// Pieces that were not handed on yet.
    waiting: VecDeque<Piece>,
    /// When the sound begins, by the file's clock.
    first_ms: Option<i32>,
    is_audible: bool,
}

impl Listening {
    /// Starts to take the sound of the film in `folder`.
    pub(crate) fn start(setup: &Setup, film: &Film, sound: &Sound, folder: &Path) -> Result<Self, Fault> {
        let running = Running::start(
            &setup.tools,
            &setup.tools.ffmpeg,
            &arguments(setup, film, sound),
            folder,
            setup.config.limits(),
        )?;
        let (reader, cutter) = (Reader::default(), Cutter::new(setup.config.piece));
        Ok(Self { running, reader, cutter, waiting: VecDeque::new(), first_ms: None, is_audible: false })
    }

    /// Takes what has come.
    pub(crate) fn read(&mut self) -> Result<(), Fault> {
        let Self { running, reader, cutter, first_ms, .. } = self;
        running.read(&mut |bytes| {
            reader.take(bytes, &mut |chunk| {
                first_ms.get_or_insert(chunk.at_ms);
                cutter.take(chunk.bytes);
                Ok(())
            })
        })?;
        let is_over = self.running.ending().is_some();
        while let Some(piece) = self.cutter.piece().or_else(|| is_over.then(|| self.cutter.rest()).flatten()) {
            // What is silent says nothing, and nobody is bothered with it.
            if !piece.is_silent() {
                self.is_audible = true;
                self.waiting.push_back(piece);
            }
        }
        self.running.hold(!self.waiting.is_empty());
        Ok(())
    }

    /// The next piece, and its time by the file's clock.
    pub(crate) fn next(&mut self) -> Option<(f64, Piece)> {
        let piece = self.waiting.pop_front();
        self.running.hold(!self.waiting.is_empty());
        piece.map(|piece| (self.time_of(piece.start), piece))
    }

    /// When the sound begins, by the file's clock.
    pub(crate) fn first_ms(&self) -> Option<i32> {
        self.first_ms
    }

    /// When it ends, by the file's clock; `None` if none came.
    pub(crate) fn end_ms(&self) -> Option<f64> {
        self.first_ms.map(|_| self.time_of(self.cutter.length()))
    }

    /// True if anything of it could be heard.
    pub(crate) fn is_audible(&self) -> bool {
        self.is_audible
    }

    fn time_of(&self, samples: u64) -> f64 {
        f64::from(self.first_ms.unwrap_or(0)) + samples as f64 * 1000.0 / f64::from(RATE)
    }
}

/// Gaps in the track become silence and what overlaps is left out, so that the number of a sample is its time. As to the
/// pictures' stream, see [`crate::pictures`].
fn arguments(setup: &Setup, film: &Film, sound: &Sound) -> Vec<String> {
    let mut words = setup.quiet();
    words.extend(["-threads", "1"].map(String::from));
    words.extend(setup.longest());
    words.extend(input(setup.config.max_pixels));
    words.extend(
        ["-map", &format!("0:{}", sound.index), "-af", "aresample=async=1:min_hard_comp=0.05"].map(String::from),
    );
    words.extend(["-ac", "1", "-ar", &RATE.to_string(), "-c:a", "pcm_s16le"].map(String::from));
    words.extend(setup.smjpeg());
    if let Some(video) = &film.video {
        words.extend(["-map", &format!("0:{}", video.index), "-c:v", "copy", "-frames:v", "0"].map(String::from));
        words.extend(["-f", "null", "-"].map(String::from));
    }
    words
}
