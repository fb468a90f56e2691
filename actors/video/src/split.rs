//! How is a film taken apart? Put down, probed, and read by two children at once; what they give is put on one clock.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_schemas::{Fault, FaultKind, SplitReply, SplitRequest};

use crate::child::NOT_STARTED;
use crate::config::{Config, MAX_THREADS};
use crate::film::Film;
use crate::note::{note, why};
use crate::pick::Pick;
use crate::pictures::Pictures;
use crate::probe::{probe, too_large};
use crate::running::{Ending, Running};
use crate::scratch::Scratch;
use crate::sound::Listening;
use crate::tools::Tools;
use crate::wav::wav;

/// The signal for too much processor time.
const SIGXCPU: i32 = 24;
/// The film's own word about its length is believed if it is off by no more.
const SLACK_MS: f64 = 1000.0;

/// Asks whether somebody wants to end. Called some dozen times a second.
pub(crate) type IsDue<'a> = &'a dyn Fn() -> bool;

/// Why a film was not taken apart.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Somebody wants it to end: cancelled, past its deadline, caller gone.
    Interrupted,
    /// It failed.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What is the same for every film.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    pub(crate) tools: Tools,
    /// Where films lie while they are taken apart.
    pub(crate) base: PathBuf,
    threads: AtomicUsize,
}

/// One thing that came of a film. Times are in milliseconds from the first instant that is seen or heard.
#[derive(Debug)]
pub(crate) enum Part {
    /// A picture, as JPEG.
    Picture { jpeg: Vec<u8>, t_ms: f64 },
    /// The sound, or a piece of it, as WAV.
    Sound { wav: Vec<u8>, t0_ms: f64, duration_ms: f64 },
}

impl Setup {
    pub(crate) fn new(config: Config, tools: Tools, threads: usize) -> Self {
        Self { config, tools, base: std::env::temp_dir(), threads: AtomicUsize::new(threads) }
    }

    /// Threads to compute on.
    pub(crate) fn threads(&self) -> usize {
        self.threads.load(Ordering::Relaxed)
    }

    pub(crate) fn set_threads(&self, threads: usize) {
        self.threads.store(threads, Ordering::Relaxed);
    }

    /// How every ffmpeg begins: it asks nothing, and tells where it is and what is wrong.
    pub(crate) fn quiet(&self) -> Vec<String> {
        let words = ["-nostdin", "-hide_banner", "-loglevel", "error", "-progress", "pipe:2", "-stats_period", "0.5"];
        words.map(String::from).to_vec()
    }

    /// It reads no more than the longest film.
    pub(crate) fn longest(&self) -> [String; 2] {
        ["-t".to_owned(), format!("{:.3}", self.config.max_film.as_secs_f64())]
    }

    /// It writes into its pipe, each piece at once, with the times as they are.
    pub(crate) fn smjpeg(&self) -> Vec<String> {
        let plain = ["-map_metadata", "-1", "-bitexact", "-avoid_negative_ts", "disabled"];
        let piped = ["-flush_packets", "1", "-f", "smjpeg", "pipe:1"];
        plain.into_iter().chain(piped).map(String::from).collect()
    }
}

/// Takes a film apart, and gives each part as soon as it is there.
///
/// # Errors
/// `invalid_request` if it is no film or nothing of it can be decoded, `too_large` if it is past a limit, `engine` if
/// ffmpeg fails, those of `give`; [`Stop::Interrupted`] soon after `is_due` says so. No child is left then, and no file.
pub(crate) fn split(
    setup: &Setup,
    film: Bytes,
    request: &SplitRequest,
    is_due: IsDue<'_>,
    give: &mut dyn FnMut(Part) -> Result<(), Fault>,
) -> Result<SplitReply, Stop> {
    if film.is_empty() {
        return Err(Fault::invalid("the film is empty: it has no bytes").into());
    }
    let began = Instant::now();
    let scratch = Scratch::with(&film, &setup.base, is_due)?;
    let bytes = film.len() as u64;
    drop(film);
    let film = probe(setup, scratch.path(), bytes, is_due)?;
    let pick = Pick::new(request, &setup.config, film.duration);
    let mut work = Work::start(setup, film, pick, &scratch)?;
    while !work.look(setup, give)? {
        if is_due() {
            return Err(Stop::Interrupted);
        }
        if began.elapsed() > setup.config.max_time {
            let most = humantime::format_duration(setup.config.max_time);
            let message = format!("the film takes longer than {most} (`max_time`)");
            return Err(Fault::new(FaultKind::TooLarge, message).into());
        }
    }
    Ok(work.reply(setup)?)
}

/// The two children that read one film.
struct Work {
    film: Film,
    pick: Pick,
    pictures: Option<Pictures>,
    sound: Option<Listening>,
    /// The film's first instant, by the clock of its file.
    zero_ms: Option<i32>,
}

impl Work {
    fn start(setup: &Setup, film: Film, pick: Pick, scratch: &Scratch) -> Result<Self, Fault> {
        let sound = film.sound.as_ref().map(|sound| Listening::start(setup, &film, sound, scratch.path()));
        let sound = sound.transpose()?;
        let pictures = film.video.as_ref().map(|video| Pictures::start(setup, &film, video, &pick, scratch.path()));
        Ok(Self { pictures: pictures.transpose()?, sound, film, pick, zero_ms: None })
    }

    /// Takes what the children have, waiting for it some milliseconds, and hands it on. True when both have ended.
    fn look(&mut self, setup: &Setup, give: &mut dyn FnMut(Part) -> Result<(), Fault>) -> Result<bool, Fault> {
        let pictures = self.pictures.as_mut().map(|pictures| &mut pictures.running);
        let sound = self.sound.as_mut().map(|sound| &mut sound.running);
        let mut children: Vec<&mut Running> = pictures.into_iter().chain(sound).collect();
        Running::wait(&mut children);
        for child in children {
            child.kill_if_hung(setup.config.patience);
        }
        if let Some(pictures) = &mut self.pictures {
            pictures.read()?;
            check(&pictures.running, "the pictures", &setup.config)?;
        }
        if let Some(sound) = &mut self.sound {
            sound.read()?;
            check(&sound.running, "the sound", &setup.config)?;
        }
        let zero_ms = self.zero_ms.or_else(|| self.find_zero());
        self.zero_ms = zero_ms;
        if let Some(zero_ms) = zero_ms {
            self.give(f64::from(zero_ms), give)?;
        }
        let running = [self.pictures.as_ref().map(|one| &one.running), self.sound.as_ref().map(|one| &one.running)];
        Ok(running.into_iter().flatten().all(|child| child.ending().is_some()))
    }

    /// The first instant that is seen or heard, once it is known of both.
    fn find_zero(&self) -> Option<i32> {
        let pictures = self.pictures.as_ref().map(|one| (one.first_ms(), one.running.ending()));
        let sound = self.sound.as_ref().map(|one| (one.first_ms(), one.running.ending()));
        let both = [pictures, sound].into_iter().flatten();
        let is_known = both.clone().all(|(first, ending)| first.is_some() || ending.is_some());
        is_known.then(|| both.filter_map(|(first, _)| first).min().unwrap_or(0))
    }

    fn give(&mut self, zero_ms: f64, give: &mut dyn FnMut(Part) -> Result<(), Fault>) -> Result<(), Fault> {
        while let Some((time, jpeg)) = self.pictures.as_mut().and_then(Pictures::next) {
            give(Part::Picture { jpeg, t_ms: f64::from(time) - zero_ms })?;
        }
        while let Some((time, piece)) = self.sound.as_mut().and_then(Listening::next) {
            let duration_ms = piece.samples.len() as f64 * 1000.0 / f64::from(crate::cut::RATE);
            give(Part::Sound { wav: wav(&piece.samples)?, t0_ms: time - zero_ms, duration_ms })?;
        }
        Ok(())
    }

    /// What is told at the end.
    fn reply(&self, setup: &Setup) -> Result<SplitReply, Fault> {
        let frames = self.pictures.as_ref().map_or(0, Pictures::count);
        let zero_ms = f64::from(self.zero_ms.unwrap_or(0));
        let heard_ms = self.sound.as_ref().and_then(Listening::end_ms);
        if frames == 0 && heard_ms.is_none() {
            return Err(self.nothing(&setup.config));
        }
        let seen = self.pictures.as_ref().map_or(Duration::ZERO, |pictures| pictures.running.log().reached());
        let there_ms = (heard_ms.unwrap_or(0.0).max(seen.as_secs_f64() * 1000.0) - zero_ms).max(0.0);
        let told_ms = self.film.duration.map(|told| told.as_secs_f64() * 1000.0);
        let there = Duration::from_secs_f64(there_ms / 1000.0);
        let video = self.film.video.as_ref();
        Ok(SplitReply {
            frames,
            duration_ms: told_ms.filter(|told| (told - there_ms).abs() <= SLACK_MS).unwrap_or(there_ms),
            container: Some(self.film.container.clone()),
            width: video.map(|video| video.width),
            height: video.map(|video| video.height),
            video_codec: video.map(|video| video.codec.clone()),
            audio_codec: self.film.sound.as_ref().map(|sound| sound.codec.clone()),
            note: note(&self.film, &self.pick, self.pictures.as_ref(), self.sound.as_ref(), there, &setup.config),
            ..SplitReply::default()
        })
    }

    /// Why nothing came of the film.
    fn nothing(&self, config: &Config) -> Fault {
        let children = [self.pictures.as_ref().map(|one| &one.running), self.sound.as_ref().map(|one| &one.running)];
        let mut children = children.into_iter().flatten();
        // The second is what its decoders say when they get no memory for a picture.
        let out_of_memory = ["Cannot allocate memory", "get_buffer() failed"];
        if children.clone().any(|child| out_of_memory.iter().any(|words| child.log().says(words))) {
            let most = config.memory;
            return Fault::new(FaultKind::TooLarge, format!("decoding the film takes more than {most} (`memory`)"));
        }
        if let Some(size) = children.clone().find_map(|child| child.log().refused_size()) {
            return too_large(&size, config.max_pixels);
        }
        let why = children.find_map(why).unwrap_or_default();
        Fault::invalid(format!("nothing of the film can be decoded{why}"))
    }
}

/// Tells a child that failed from one that found the film damaged.
fn check(child: &Running, what: &str, config: &Config) -> Result<(), Fault> {
    let said = child.log().complaint().map(|complaint| format!(": {complaint}")).unwrap_or_default();
    match child.ending() {
        None | Some(Ending::Exit(0)) => Ok(()),
        Some(Ending::Hung) => Err(Fault::engine(format!("ffmpeg hung while it took {what}, and was killed"))),
        Some(Ending::Signal(SIGXCPU)) => {
            let most = humantime::format_duration(Duration::from_secs(config.limits().cpu));
            let message =
                format!("decoding {what} takes more than {most} of processor time ({MAX_THREADS} × `max_time`)");
            Err(Fault::new(FaultKind::TooLarge, message))
        }
        Some(Ending::Signal(signal)) => {
            Err(Fault::engine(format!("ffmpeg was ended by signal {signal} while it took {what}{said}")))
        }
        Some(Ending::Exit(NOT_STARTED)) => Err(Fault::engine(format!("ffmpeg does not run{said}"))),
        Some(Ending::Exit(_)) => Ok(()),
    }
}
