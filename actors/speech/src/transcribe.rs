//! How does a whole sound become text? Piece by piece, on whichever state of the model is free.

use std::time::{Duration, Instant};

use megabrain_schemas::Segment;

use crate::abort::{IsDue, Overseer, Stop};
use crate::collect::Limits;
use crate::condense::Condensed;
use crate::cores::Cores;
use crate::cut::{SHORTEST, WINDOW, pause_near, piece_from};
use crate::hear::{Heard, Transcriber, Wish};
use crate::pool::{Length, Pool};

/// What is asked of one transcription.
pub(crate) struct Task<'a> {
    /// What is to be heard.
    pub(crate) sound: &'a Condensed,
    /// How it is to be written down.
    pub(crate) wish: Wish,
    /// Says what is silence.
    pub(crate) limits: &'a Limits,
    /// The states of the model, shared with the other sounds.
    pub(crate) pool: &'a Pool<Transcriber>,
    /// The threads, shared as well.
    pub(crate) cores: &'a Cores,
    /// Says whether to end.
    pub(crate) is_due: IsDue<'a>,
    /// True if others go first, however short it is.
    pub(crate) is_patient: bool,
}

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    pub(crate) text: String,
    /// The language spoken, once it is known.
    pub(crate) language: Option<&'static str>,
    pub(crate) segments: Vec<Segment>,
    /// Tokens of text, and the time that the model took.
    pub(crate) tokens: usize,
    pub(crate) took: Duration,
}

impl Transcript {
    /// Adds what was heard next.
    pub(crate) fn add(&mut self, heard: Heard) {
        self.text.push_str(&heard.text);
        self.language = self.language.or(heard.language);
        self.segments.extend(heard.segments);
        self.tokens += heard.tokens;
        self.took += heard.took;
    }
}

/// Transcribes; `emit` is called with each segment as soon as its piece is heard.
pub(crate) fn transcribe(task: &Task<'_>, emit: &mut dyn FnMut(&Segment)) -> Result<Transcript, Stop> {
    let samples = task.sound.samples();
    let length = if task.is_patient || samples.len() > WINDOW { Length::Long } else { Length::Short };
    let mut transcript = Transcript { language: task.wish.language, ..Transcript::default() };
    let mut next = 0;
    while let Some(piece) = piece_from(samples, next) {
        next = piece.end;
        let stretch = samples.get(piece.clone()).unwrap_or_default();
        // In silence Whisper hears what is not there.
        if task.limits.is_silent(stretch) {
            continue;
        }
        // What the first piece was spoken in, the others are.
        let wish = Wish { language: transcript.language, ..task.wish };
        let heard = task.pool.with(length, task.is_due, |transcriber| {
            let (busy, began) = (task.cores.enter(), Instant::now());
            let clock = task.sound.stretch(piece.clone());
            let overseer = Overseer { is_due: task.is_due, threads: &|| busy.threads(), is_one_window: true };
            let heard = transcriber.hear(stretch, wish, &overseer, &clock)?;
            // The model may leave the last sentence to the next window: that begins there, and is thirty seconds again.
            if clock.goes_on(heard.end) {
                next = pause_near(samples, piece.start + heard.end).clamp(piece.start + SHORTEST, piece.end);
            }
            Ok(Heard { took: began.elapsed(), ..heard })
        })?;
        heard.segments.iter().for_each(&mut *emit);
        transcript.add(heard);
    }
    Ok(transcript)
}
