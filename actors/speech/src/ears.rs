//! Where does an utterance of live sound begin and end?

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use megabrain_schemas::{Fault, FaultKind, LiveSound};

use crate::activity::{Activity, FRAME};
use crate::collect::{Limits, duration};
use crate::cut;
use crate::hear::Clock;
use crate::inbox::{self, Arrival, Inbox};
use crate::resample::{Resampler, SAMPLE_RATE};

/// Somebody who is silent for so long has ended: 600 ms.
const PAUSE: usize = SAMPLE_RATE * 6 / 10;
/// What is kept of the silence before speech and after it: 300 ms.
const MARGIN: usize = SAMPLE_RATE * 3 / 10;
/// Less speech than this is a click or a cough: 100 ms.
const SHORTEST: usize = SAMPLE_RATE / 10;
/// A microphone's speech is about so loud; one cannot know beforehand.
const PEAK: f32 = 0.35;
/// No more than this is taken out of the inbox while the model computes.
const MOST: usize = 2 * cut::WINDOW;

/// Live sound, from the first sample of the utterance that goes on.
pub(crate) struct Ears {
    inbox: Arc<Inbox>,
    idle: Duration,
    limits: Limits,
    resampler: Option<Resampler>,
    activity: Activity,
    /// Mono, 16 kHz.
    samples: Vec<f32>,
    /// Where the first of them is in the whole sound.
    start: usize,
    /// How many of them were asked for speech, how many of those are speech, and where that ends.
    examined: usize,
    spoken: usize,
    speech_end: usize,
    is_over: bool,
    /// What was wrong with what came: from then on there is nothing to hear.
    fault: Option<Fault>,
}

/// A stretch of speech, cut out.
pub(crate) struct Utterance {
    pub(crate) samples: Vec<f32>,
    /// Where it is in the whole sound, in samples.
    pub(crate) start: usize,
}

impl Clock for Utterance {
    fn span_ms(&self, begin: usize, end: usize) -> (f64, f64) {
        let ms = |sample: usize| ((self.start + sample) as f64 * 1000.0 / SAMPLE_RATE as f64).round();
        (ms(begin), ms(end))
    }
}

impl Ears {
    pub(crate) fn new(live: &LiveSound, inbox: Arc<Inbox>, limits: &Limits) -> Result<Self, Fault> {
        Ok(Self {
            inbox,
            idle: Duration::from_millis(live.idle_ms),
            limits: *limits,
            resampler: Some(Resampler::new(live.rate).map_err(Fault::engine)?),
            activity: Activity::new(PEAK),
            samples: Vec::new(),
            start: 0,
            examined: 0,
            spoken: 0,
            speech_end: 0,
            is_over: false,
            fault: None,
        })
    }

    /// Takes in what has come; waits for it no longer than `patience`.
    ///
    /// # Errors
    /// `invalid_request` for half a sample, `too_large` if it came faster than it can be heard, or is too long; the same
    /// again when called again.
    pub(crate) fn listen(&mut self, patience: Duration) -> Result<(), Fault> {
        if self.fault.is_none() {
            self.fault = self.take_all(patience).err();
        }
        self.fault.clone().map_or(Ok(()), Err)
    }

    fn take_all(&mut self, mut patience: Duration) -> Result<(), Fault> {
        while !self.is_over && self.samples.len() < MOST {
            match self.inbox.take(patience) {
                Arrival::Sound(message) => self.take(&message)?,
                Arrival::Nothing(since) if since < self.idle => break,
                Arrival::Nothing(_) | Arrival::End => self.end()?,
                Arrival::Overrun => {
                    return Err(Fault::new(
                        FaultKind::TooLarge,
                        format!(
                            "the sound comes faster than it can be heard: more than {} s of it wait; publish it as fast \
                             as it is spoken",
                            inbox::MOST.as_secs()
                        ),
                    ));
                }
            }
            patience = Duration::ZERO;
        }
        Ok(())
    }

    fn take(&mut self, message: &Bytes) -> Result<(), Fault> {
        if !message.len().is_multiple_of(2) {
            return Err(Fault::invalid("a message of the sound ends within a sample: samples are 16 bits"));
        }
        let pairs = message.chunks_exact(2).filter_map(|pair| <[u8; 2]>::try_from(pair).ok());
        let samples: Vec<f32> = pairs.map(|pair| f32::from(i16::from_le_bytes(pair)) / 32768.0).collect();
        if let Some(resampler) = &mut self.resampler {
            resampler.push(&samples, &mut self.samples).map_err(Fault::engine)?;
        }
        self.examine();
        self.limits.check_length(self.length())
    }

    fn end(&mut self) -> Result<(), Fault> {
        if let Some(resampler) = self.resampler.take() {
            resampler.finish(&mut self.samples).map_err(Fault::engine)?;
        }
        self.examine();
        self.is_over = true;
        Ok(())
    }

    fn examine(&mut self) {
        while let Some(frame) = self.samples.get(self.examined..self.examined + FRAME) {
            let is_speech = self.activity.is_speech(frame);
            self.examined += FRAME;
            if is_speech {
                self.spoken += FRAME;
                self.speech_end = self.examined;
            }
        }
        let is_quiet = self.spoken == 0 || (self.spoken < SHORTEST && self.has_paused());
        if is_quiet && self.examined > MARGIN {
            self.drop_first(self.examined - MARGIN);
        }
    }

    fn has_paused(&self) -> bool {
        self.examined - self.speech_end >= PAUSE
    }

    /// Gives up the first samples.
    fn drop_first(&mut self, count: usize) {
        self.samples.drain(..count.min(self.samples.len()));
        self.start += count;
        self.examined = self.examined.saturating_sub(count);
        self.speech_end = self.speech_end.saturating_sub(count);
        if self.speech_end == 0 {
            self.spoken = 0;
        }
    }

    /// True once there is an utterance to be cut out.
    pub(crate) fn has_utterance(&self) -> bool {
        self.samples.len() > cut::WINDOW || (self.spoken >= SHORTEST && (self.has_paused() || self.is_over))
    }

    /// Cuts out the utterance that has ended; of one that goes on for longer than the model hears at once, the first part.
    pub(crate) fn utterance(&mut self) -> Option<Utterance> {
        if !self.has_utterance() {
            return None;
        }
        let is_whole = self.speech_end + MARGIN <= cut::WINDOW;
        let length = if is_whole {
            (self.speech_end + MARGIN).min(self.samples.len())
        } else {
            cut::piece_from(&self.samples, 0).map_or(0, |piece| piece.len())
        };
        let utterance =
            Utterance { samples: self.samples.get(..length).unwrap_or_default().to_vec(), start: self.start };
        self.drop_first(length);
        Some(utterance)
    }

    /// The utterance that goes on, if there is enough of it to be understood.
    pub(crate) fn so_far(&self) -> Option<Utterance> {
        let samples = self.samples.get(..self.examined).filter(|_| self.spoken >= SAMPLE_RATE / 2)?;
        Some(Utterance { samples: samples.to_vec(), start: self.start })
    }

    /// True if there will be no more sound.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// How much was heard.
    pub(crate) fn length(&self) -> Duration {
        duration(self.start + self.samples.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{LIMITS, decode, media};

    fn bytes(samples: &[f32]) -> Bytes {
        samples.iter().flat_map(|sample| ((sample * 32767.0) as i16).to_le_bytes()).collect()
    }

    /// Gives sound a tenth of a second at a time; what was cut out.
    fn hear(samples: &[f32]) -> (Vec<Utterance>, Ears) {
        let inbox = Arc::new(Inbox::new(16_000));
        let mut ears = Ears::new(&LiveSound::default(), inbox.clone(), &LIMITS).unwrap();
        let mut utterances = Vec::new();
        for part in samples.chunks(SAMPLE_RATE / 10).map(bytes).chain([Bytes::new()]) {
            inbox.put(part);
            ears.listen(Duration::ZERO).unwrap();
            utterances.extend(ears.utterance());
            assert!(ears.samples.len() <= cut::WINDOW + SAMPLE_RATE, "{} are kept", ears.samples.len());
        }
        while let Some(utterance) = ears.utterance() {
            utterances.push(utterance);
        }
        (utterances, ears)
    }

    #[test]
    fn two_questions_are_two_utterances_at_their_times() {
        let question = decode(&media("question.wav")).unwrap();
        let silence = vec![0.0; 3 * SAMPLE_RATE];
        let (utterances, ears) = hear(&[&silence[..], &question, &silence, &question, &silence].concat());
        // A pause within the question may be one between utterances.
        let speech: usize = utterances.iter().map(|utterance| utterance.samples.len()).sum();
        assert!(speech.abs_diff(2 * question.len()) < 2 * SAMPLE_RATE, "{speech} of {}", 2 * question.len());
        let first = utterances.first().unwrap().start;
        assert!(first.abs_diff(silence.len()) < SAMPLE_RATE / 2, "begins at {first}");
        let second = silence.len() * 2 + question.len();
        assert!(utterances.iter().any(|utterance| utterance.start.abs_diff(second) < SAMPLE_RATE / 2));
        let whole = 3 * silence.len() + 2 * question.len();
        assert!(ears.is_over() && ears.length() == duration(whole), "{:?}", ears.length());
    }

    #[test]
    fn who_never_pauses_is_cut_where_the_model_cannot_hear_more() {
        let question = decode(&media("question.wav")).unwrap();
        let speech = &question[SAMPLE_RATE / 4..SAMPLE_RATE * 5 / 4];
        let (utterances, _) = hear(&speech.repeat(70));
        let lengths: Vec<usize> = utterances.iter().map(|utterance| utterance.samples.len()).collect();
        assert!(lengths.iter().all(|length| *length <= cut::WINDOW), "{lengths:?}");
        assert!(lengths.iter().sum::<usize>() > 60 * SAMPLE_RATE, "{lengths:?}");
    }

    #[test]
    fn silence_is_no_utterance_and_is_not_kept() {
        let (utterances, ears) = hear(&vec![0.0; 600 * SAMPLE_RATE]);
        assert!(utterances.is_empty() && ears.samples.len() <= MARGIN + FRAME);
        assert_eq!(ears.length(), Duration::from_secs(600));
    }

    #[test]
    fn half_a_sample_and_sound_that_runs_ahead_are_refused() {
        let inbox = Arc::new(Inbox::new(16_000));
        let mut ears = Ears::new(&LiveSound::default(), inbox.clone(), &LIMITS).unwrap();
        inbox.put(Bytes::from_static(b"abc"));
        assert_eq!(ears.listen(Duration::ZERO).unwrap_err().kind, FaultKind::InvalidRequest);
        assert_eq!(ears.listen(Duration::ZERO).unwrap_err().kind, FaultKind::InvalidRequest);
        let mut ears = Ears::new(&LiveSound::default(), inbox.clone(), &LIMITS).unwrap();
        (0..5).for_each(|_| inbox.put(Bytes::from(vec![0; 1 << 20])));
        let fault = ears.listen(Duration::ZERO).unwrap_err();
        assert!(fault.kind == FaultKind::TooLarge && fault.message.contains("120 s"), "{fault}");
    }

    #[test]
    fn sound_ends_when_nothing_comes_for_long() {
        let inbox = Arc::new(Inbox::new(16_000));
        let live = LiveSound { idle_ms: 30, ..LiveSound::default() };
        let mut ears = Ears::new(&live, inbox, &LIMITS).unwrap();
        ears.listen(Duration::ZERO).unwrap();
        assert!(!ears.is_over());
        std::thread::sleep(Duration::from_millis(40));
        ears.listen(Duration::ZERO).unwrap();
        assert!(ears.is_over());
    }
}
