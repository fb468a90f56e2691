//! How are the pictures of a film taken? By one child, which decodes all of them and hands on those that are picked.

use std::collections::VecDeque;
use std::path::Path;

use megabrain_schemas::Fault;

use crate::config::threads;
use crate::film::{Film, Video, input};
use crate::pick::Pick;
use crate::running::Running;
use crate::smjpeg::Reader;
use crate::split::Setup;

/// Pictures that wait at most, while it is not known when the film begins.
const WAITING: usize = 8;

/// The child, and what came of it.
#[derive(Debug)]
pub(crate) struct Pictures {
    pub(crate) running: Running,
    reader: Reader,
    /// Pictures that were not handed on yet, with their times by the file's clock.
    waiting: VecDeque<(i32, Vec<u8>)>,
    /// The first one's time.
    first_ms: Option<i32>,
    /// How many came, of how many.
    count: u32,
    most: u32,
}

impl Pictures {
    /// Starts to take the pictures of the film in `folder`.
    pub(crate) fn start(setup: &Setup, film: &Film, video: &Video, pick: &Pick, folder: &Path) -> Result<Self, Fault> {
        let arguments = arguments(setup, film, video, pick);
        let running = Running::start(&setup.tools, &setup.tools.ffmpeg, &arguments, folder, setup.config.limits())?;
        let waiting = VecDeque::new();
        Ok(Self { running, reader: Reader::default(), waiting, first_ms: None, count: 0, most: pick.frames })
    }

    /// Takes what has come.
    pub(crate) fn read(&mut self) -> Result<(), Fault> {
        let Self { running, reader, waiting, first_ms, count, most } = self;
        running.read(&mut |bytes| {
            reader.take(bytes, &mut |chunk| {
                if *count < *most {
                    first_ms.get_or_insert(chunk.at_ms);
                    waiting.push_back((chunk.at_ms, chunk.bytes.to_vec()));
                    *count += 1;
                }
                Ok(())
            })
        })?;
        self.running.hold(self.waiting.len() >= WAITING);
        Ok(())
    }

    /// The next picture, and its time by the file's clock.
    pub(crate) fn next(&mut self) -> Option<(i32, Vec<u8>)> {
        let next = self.waiting.pop_front();
        self.running.hold(self.waiting.len() >= WAITING);
        next
    }

    /// When the first one is shown, by the file's clock.
    pub(crate) fn first_ms(&self) -> Option<i32> {
        self.first_ms
    }

    /// How many were taken.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }
}

/// The film's clock must be the same to this child and to the one for the sound. ffmpeg takes a file's times from the
/// first one of those streams that it reads; so each child reads the other's stream too, and writes nothing of it.
fn arguments(setup: &Setup, film: &Film, video: &Video, pick: &Pick) -> Vec<String> {
    let Video { index, .. } = video;
    let (width, height) = video.size(setup.config.edge);
    let picked = pick.expression(setup.config.scene);
    // `all` is what tells how far the film could be decoded.
    let graph = format!("[0:{index}]split[all][some];[some]select='{picked}',scale={width}:{height},setsar=1[picked]");
    let threads = threads(setup.threads()).to_string();
    let times = ["-fps_mode", "passthrough", "-enc_time_base", "1:1000"];
    let mut words = setup.quiet();
    words.extend(["-threads", &threads].map(String::from));
    words.extend(setup.longest());
    words.extend(input(setup.config.max_pixels));
    words.extend(["-filter_complex", &graph, "-map", "[picked]", "-c:v", "mjpeg", "-q:v", "3"].map(String::from));
    words.extend(["-pix_fmt", "yuvj420p"].map(String::from));
    words.extend(times.map(String::from));
    words.extend(setup.smjpeg());
    words.extend(["-map", "[all]"].map(String::from));
    words.extend(times.map(String::from));
    if let Some(sound) = &film.sound {
        words.extend(["-map", &format!("0:{}", sound.index), "-c:a", "copy", "-frames:a", "0"].map(String::from));
    }
    words.extend(["-f", "null", "-"].map(String::from));
    words
}
