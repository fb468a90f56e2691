//! How does live sound become text? Partial while somebody speaks, final when they pause.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use megabrain_schemas::{Segment, TranscribeFrame};

use crate::abort::{IsDue, Overseer, Stop};
use crate::cores::Cores;
use crate::ears::{Ears, Utterance};
use crate::hear::{Heard, Transcriber, Wish};
use crate::pool::{Length, Pool};
use crate::transcribe::Transcript;

/// How long a worker waits for sound before it looks up.
const LOOK_UP: Duration = Duration::from_millis(20);
/// The least time between two partial segments.
const BETWEEN_PARTIALS: Duration = Duration::from_secs(1);
/// The most between two frames while nothing is said: with a frame it shows whether the caller is still there.
const BETWEEN_FRAMES: Duration = Duration::from_secs(1);

/// What is asked of one live transcription.
pub(crate) struct LiveTask<'a> {
    /// How it is to be written down.
    pub(crate) wish: Wish,
    /// The states of the model, shared with the other sounds.
    pub(crate) pool: &'a Pool<Transcriber>,
    /// The threads, shared as well.
    pub(crate) cores: &'a Cores,
    /// Says whether to end.
    pub(crate) is_due: IsDue<'a>,
}

/// Transcribes until the sound is over; `emit` is called with each frame. While there is nothing to tell, that is one with
/// nothing in it about once a second.
///
/// While the model computes, the worker goes on listening: between two nodes of a graph it takes in what has come. So a
/// partial segment is given up as soon as its speaker pauses, or somebody else needs the state.
pub(crate) fn follow(
    task: &LiveTask<'_>,
    ears: Ears,
    emit: &mut dyn FnMut(TranscribeFrame),
) -> Result<(Transcript, Duration), Stop> {
    let ears = RefCell::new(ears);
    let mut transcript = Transcript { language: task.wish.language, ..Transcript::default() };
    let mut next_partial = Instant::now();
    let last_frame = Cell::new(Instant::now());
    let mut emit = |frame| {
        last_frame.set(Instant::now());
        emit(frame);
    };
    loop {
        if (task.is_due)() {
            return Err(Stop::Interrupted);
        }
        if last_frame.get().elapsed() >= BETWEEN_FRAMES {
            emit(TranscribeFrame::default());
        }
        ears.borrow_mut().listen(LOOK_UP)?;
        let utterance = ears.borrow_mut().utterance();
        if let Some(utterance) = utterance {
            let is_due = || {
                listen(&ears);
                (task.is_due)()
            };
            let heard = hear(task, &utterance, transcript.language, &is_due)?;
            for segment in heard.segments.clone() {
                emit(TranscribeFrame::of(segment));
            }
            transcript.add(heard);
            next_partial = Instant::now() + BETWEEN_PARTIALS;
        } else if ears.borrow().is_over() {
            let length = ears.borrow().length();
            return Ok((transcript, length));
        } else if Instant::now() >= next_partial && !task.pool.is_busy() {
            let Some(so_far) = ears.borrow().so_far() else { continue };
            let is_due = || {
                listen(&ears);
                (task.is_due)() || ears.borrow().has_utterance() || task.pool.is_wanted()
            };
            let began = Instant::now();
            match hear(task, &so_far, transcript.language, &is_due) {
                Ok(heard) => emit_partial(heard, &mut emit),
                // Of the task itself it is told above.
                Err(Stop::Interrupted) => {}
                Err(stop) => return Err(stop),
            }
            // Half of the time is left to others, and to the final segments.
            next_partial = Instant::now() + BETWEEN_PARTIALS.max(began.elapsed());
        }
    }
}

/// Takes in what has come. What is wrong with it is told when it is listened to the next time.
fn listen(ears: &RefCell<Ears>) {
    let _ = ears.borrow_mut().listen(Duration::ZERO);
}

fn hear(
    task: &LiveTask<'_>,
    utterance: &Utterance,
    language: Option<&'static str>,
    is_due: IsDue<'_>,
) -> Result<Heard, Stop> {
    let wish = Wish { language, ..task.wish };
    task.pool.with(Length::Short, is_due, |transcriber| {
        let (busy, began) = (task.cores.enter(), Instant::now());
        let overseer = Overseer { is_due, threads: &|| busy.threads(), is_one_window: false };
        let heard = transcriber.hear(&utterance.samples, wish, &overseer, utterance)?;
        Ok(Heard { took: began.elapsed(), ..heard })
    })
}

/// All of an utterance in one segment, since where it is parted may change with the next word.
fn emit_partial(heard: Heard, emit: &mut dyn FnMut(TranscribeFrame)) {
    let (Some(first), Some(last)) = (heard.segments.first(), heard.segments.last()) else { return };
    let segment = Segment {
        t0_ms: first.t0_ms,
        t1_ms: last.t1_ms,
        text: heard.text.trim().to_owned(),
        confidence: first.confidence,
        words: heard.segments.iter().flat_map(|segment| segment.words.clone()).collect(),
    };
    emit(TranscribeFrame { segment: Some(segment), partial: true, publish_to: None });
}
