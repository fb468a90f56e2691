//! What is left of a sound without its long silences, and when was that in the whole?
//!
//! Whisper takes as long for thirty seconds of silence as for thirty of speech, and hears words in it that nobody said.

use std::ops::Range;

use crate::abort::{IsDue, Stop};
use crate::activity::{Activity, FRAME};
use crate::collect::{duration, peak};
use crate::hear::Clock;
use crate::resample::SAMPLE_RATE;

/// Silence up to this stays as it is: 1 s. It is part of how somebody speaks, and Whisper hears better with it.
const SHORTEST: usize = SAMPLE_RATE;
/// What stays of a longer one, on either side of it: 300 ms.
const MARGIN: usize = SAMPLE_RATE * 3 / 10;

/// Silence from this on parts what is said from what is said next: 300 ms.
const PAUSE: usize = SAMPLE_RATE * 3 / 10;

/// The end of a stretch of speech is over where it is 30 dB below the loudest of it.
const FADED: f32 = 0.001;

/// Speech begins a little before it is known for speech, and ends a little after: 30 ms, as Silero's detector has it.
const PAD: usize = SAMPLE_RATE * 3 / 100;

/// After a segment's end, speech up to this is its last word's: Whisper often ends a segment in the midst of it.
const LAST_WORD: usize = SAMPLE_RATE / 2;

/// Whisper's times reach over a joint by no more than this: its silence, and the last syllable before it.
const REACH: usize = SAMPLE_RATE * 7 / 10;

/// Sound without its long silences.
#[derive(Debug)]
pub(crate) struct Condensed {
    samples: Vec<f32>,
    joints: Vec<Joint>,
    /// Where somebody speaks, in samples of the whole, in order; empty if that is not known.
    speech: Vec<Range<usize>>,
    whole: usize,
}

/// A stretch of what is left.
pub(crate) struct Stretch<'a> {
    sound: &'a Condensed,
    place: Range<usize>,
}

/// A place where something was left out.
#[derive(Clone, Copy, Debug)]
struct Joint {
    /// Where it is in what is left.
    at: usize,
    /// How much was left out up to here, in samples.
    left_out: usize,
}

impl Condensed {
    /// The whole sound.
    pub(crate) fn whole(samples: Vec<f32>) -> Self {
        Self { whole: samples.len(), joints: Vec::new(), speech: Vec::new(), samples }
    }

    /// Leaves out where nobody speaks for long. A sound in which nobody speaks at all stays whole: let the model judge.
    pub(crate) fn of(samples: Vec<f32>, is_due: IsDue<'_>) -> Result<Self, Stop> {
        let speech = speech(&samples, is_due)?;
        let mut condensed = Self::whole(samples);
        if speech.is_empty() {
            return Ok(condensed);
        }
        let mut kept = 0;
        for span in spans(&speech, condensed.whole) {
            let length = span.end - span.start;
            if span.start > kept + condensed.left_out() {
                condensed.joints.push(Joint { at: kept, left_out: span.start - kept });
            }
            condensed.samples.copy_within(span, kept);
            kept += length;
        }
        condensed.samples.truncate(kept);
        condensed.samples.shrink_to_fit();
        condensed.speech = speech;
        Ok(condensed)
    }

    fn left_out(&self) -> usize {
        self.joints.last().map_or(0, |joint| joint.left_out)
    }

    /// What is left: mono, 16 kHz.
    pub(crate) fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// A stretch of what is left, with the clock of the whole.
    pub(crate) fn stretch(&self, place: Range<usize>) -> Stretch<'_> {
        Stretch { sound: self, place }
    }

    /// How long the whole is.
    pub(crate) fn length(&self) -> std::time::Duration {
        duration(self.whole)
    }

    /// When in the whole a stretch of what is left is, from its first sample to past its last, in milliseconds.
    ///
    /// Whisper's times are not exact. A stretch that reaches a little over a joint is on one side of it: what begins right
    /// before it comes after it, and what ends right after it came before. What begins or ends in silence begins or ends
    /// where speech does.
    fn span_ms(&self, begin: usize, end: usize) -> (f64, f64) {
        self.span_within(begin, end, 0)
    }

    /// The same for a segment, which ends with the speech it is of: Whisper often ends one in the midst of its last word.
    fn segment_ms(&self, begin: usize, end: usize) -> (f64, f64) {
        self.span_within(begin, end, PAUSE)
    }

    /// When a stretch is that ends with speech, if that goes on after it for less than `pause` samples.
    fn span_within(&self, mut begin: usize, mut end: usize, pause: usize) -> (f64, f64) {
        let within =
            |begin, end| self.joints.iter().map(|joint| joint.at).filter(move |at| (begin + 1..end).contains(at));
        if let Some(first) = within(begin, end).next()
            && first - begin <= REACH.min(end - first)
        {
            begin = first;
        }
        if let Some(last) = within(begin, end).next_back()
            && end - last <= REACH
        {
            end = last;
        }
        let begin = begin + self.left_out_by(begin);
        // What ends at a joint ends before what is left out there.
        let end = end + self.left_out_by(end.saturating_sub(1));
        let (begin, end) = self.spoken(begin, end.max(begin), pause);
        (self.milliseconds(begin), self.milliseconds(end))
    }

    /// From the first speech within these samples of the whole to past the last; they themselves if there is none.
    fn spoken(&self, begin: usize, end: usize, pause: usize) -> (usize, usize) {
        let mut padded = self.speech.iter().map(|span| span.start.saturating_sub(PAD)..span.end + PAD);
        let ends = |span: Range<usize>| if span.end <= end + pause { span.end } else { end };
        let last = padded.clone().rfind(|span| span.start < end).map_or(end, ends);
        let first = padded.find(|span| span.end > begin).map_or(begin, |span| span.start.max(begin));
        if first < last { (first, last) } else { (begin, end) }
    }

    /// How much is left out before a sample of what is left.
    fn left_out_by(&self, sample: usize) -> usize {
        let passed = self.joints.iter().take_while(|joint| joint.at <= sample);
        passed.last().map_or(0, |joint| joint.left_out)
    }

    fn milliseconds(&self, place: usize) -> f64 {
        (duration(place.min(self.whole)).as_secs_f64() * 1000.0).round()
    }
}

impl Stretch<'_> {
    /// Whether somebody speaks after this sample of the stretch, for longer than the last word before it may go on.
    pub(crate) fn goes_on(&self, at: usize) -> bool {
        if self.sound.speech.is_empty() {
            return self.place.len().saturating_sub(at) > LAST_WORD;
        }
        let begin = self.place.start + at.min(self.place.len());
        let begin = begin + self.sound.left_out_by(begin);
        let end = self.place.end + self.sound.left_out_by(self.place.end.saturating_sub(1));
        let spoken = self.sound.speech.iter().map(|span| span.end.min(end).saturating_sub(span.start.max(begin)));
        spoken.sum::<usize>() > LAST_WORD
    }

    /// When in the whole it ends: before what is left out after it.
    fn end_ms(&self) -> f64 {
        let end = self.place.end;
        self.sound.milliseconds(end + self.sound.left_out_by(end.saturating_sub(1)))
    }
}

impl Clock for Stretch<'_> {
    fn span_ms(&self, begin: usize, end: usize) -> (f64, f64) {
        self.sound.span_ms(self.place.start + begin, self.place.start + end)
    }

    /// What goes on after the stretch is of the next one.
    fn segment_ms(&self, begin: usize, end: usize) -> (f64, f64) {
        let (t0_ms, t1_ms) = self.sound.segment_ms(self.place.start + begin, self.place.start + end);
        (t0_ms, t1_ms.min(self.end_ms()).max(t0_ms))
    }

    fn joints(&self) -> Vec<usize> {
        let within = self.sound.joints.iter().filter(|joint| self.place.contains(&joint.at));
        within.map(|joint| joint.at - self.place.start).collect()
    }
}

/// Where somebody speaks, in order, with a pause between one stretch and the next.
fn speech(samples: &[f32], is_due: IsDue<'_>) -> Result<Vec<Range<usize>>, Stop> {
    let mut activity = Activity::new(peak(samples));
    let mut speech: Vec<Range<usize>> = Vec::new();
    for (index, frame) in samples.chunks(FRAME).enumerate() {
        if index % 256 == 0 && is_due() {
            return Err(Stop::Interrupted);
        }
        if !activity.is_speech(frame) {
            continue;
        }
        let (start, end) = (index * FRAME, index * FRAME + frame.len());
        match speech.last_mut() {
            Some(last) if start - last.end < PAUSE => last.end = end,
            _ => speech.push(start..end),
        }
    }
    speech.iter_mut().for_each(|span| span.end = audible_end(samples, span));
    Ok(speech)
}

/// Where a stretch of speech can no longer be heard: the detector says so a syllable later.
fn audible_end(samples: &[f32], span: &Range<usize>) -> usize {
    let power = |frame: &[f32]| frame.iter().map(|sample| sample * sample).sum::<f32>();
    let powers: Vec<f32> = samples.get(span.clone()).unwrap_or_default().chunks(FRAME).map(power).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    let quiet = powers.iter().rev().take_while(|power| **power < loudest * FADED).count();
    span.end - (quiet * FRAME).min(span.end - span.start)
}

/// What is to be left of a sound of this length: speech, with some silence on both sides, and no long one within.
fn spans(speech: &[Range<usize>], whole: usize) -> Vec<Range<usize>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for spoken in speech {
        match spans.last_mut() {
            Some(last) if spoken.start - last.end < SHORTEST => last.end = spoken.end,
            _ => spans.push(spoken.clone()),
        }
    }
    for span in &mut spans {
        // A short silence at either end of the sound stays, as one between words does.
        span.start = if span.start < SHORTEST { 0 } else { span.start - MARGIN };
        span.end = if whole - span.end < SHORTEST { whole } else { span.end + MARGIN };
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{decode, media};

    fn condense(samples: Vec<f32>) -> Condensed {
        Condensed::of(samples, &|| false).unwrap()
    }

    #[test]
    fn sound_without_a_long_silence_stays_as_it_is() {
        let samples = decode(&media("question.wav")).unwrap();
        let condensed = condense(samples.clone());
        assert_eq!(condensed.samples(), samples);
        assert!(condensed.joints.is_empty());
    }

    #[test]
    fn what_is_left_of_a_silence_is_short_and_times_are_of_the_whole() {
        let question = decode(&media("question.wav")).unwrap();
        let silence = vec![0.0; 20 * SAMPLE_RATE];
        let samples = [&silence[..], &question, &silence, &question, &silence].concat();
        let condensed = condense(samples.clone());
        let (left, speech) = (condensed.samples().len(), 2 * question.len());
        assert!((speech - SAMPLE_RATE..speech + 2 * SAMPLE_RATE).contains(&left), "{left} of {speech}");
        assert_eq!(condensed.length(), duration(samples.len()));
        assert_eq!(condensed.joints.len(), 2);
        // Every sample that is left is where it was.
        for (index, sample) in condensed.samples().iter().enumerate().step_by(997) {
            let (at, _) = condensed.span_ms(index, index + 1);
            let at = (at * 16.0) as usize;
            assert!(samples[at.saturating_sub(16)..(at + 16).min(samples.len())].contains(sample), "{index} at {at}");
        }
    }

    #[test]
    fn what_reaches_over_a_joint_is_on_one_side_of_it() {
        let condensed = Condensed {
            samples: vec![0.0; 100_000],
            joints: vec![Joint { at: 0, left_out: 16_000 }, Joint { at: 50_000, left_out: 176_000 }],
            speech: Vec::new(),
            whole: 300_000,
        };
        let samples = |begin, end| {
            let (t0_ms, t1_ms) = condensed.span_ms(begin, end);
            (t0_ms * 16.0, t1_ms * 16.0)
        };
        assert_eq!(samples(0, 32_000), (16_000.0, 48_000.0));
        assert_eq!(samples(32_000, 50_000), (48_000.0, 66_000.0), "it ends where something is left out");
        assert_eq!(samples(32_000, 54_400), (48_000.0, 66_000.0), "it ends a little after");
        assert_eq!(samples(44_800, 80_000), (226_000.0, 256_000.0), "it begins a little before");
        assert_eq!(samples(50_000, 80_000), (226_000.0, 256_000.0));
        assert_eq!(samples(16_000, 80_000), (32_000.0, 256_000.0), "speech on both sides");
        assert_eq!(samples(80_000, 999_999), (256_000.0, 300_000.0));
    }

    #[test]
    fn what_begins_or_ends_in_silence_begins_and_ends_with_speech() {
        let sound = Condensed {
            samples: vec![0.0; 160_000],
            joints: Vec::new(),
            speech: vec![16_000..32_000, 48_000..80_000],
            whole: 160_000,
        };
        assert_eq!(sound.span_ms(0, 40_000), (970.0, 2030.0));
        assert_eq!(sound.span_ms(24_000, 160_000), (1500.0, 5030.0));
        assert_eq!(sound.span_ms(36_000, 64_000), (2970.0, 4000.0));
        assert_eq!(sound.span_ms(96_000, 112_000), (6000.0, 7000.0), "no speech is known there");
        assert_eq!(sound.segment_ms(36_000, 76_800), (2970.0, 5030.0), "its last word goes on for 200 ms");
        assert_eq!(sound.segment_ms(36_000, 64_000), (2970.0, 4000.0), "another segment follows");
        assert_eq!(sound.segment_ms(0, 160_000), (970.0, 5030.0));
    }

    #[test]
    fn a_stretch_counts_from_its_own_beginning() {
        let sound = Condensed {
            samples: vec![0.0; 64_000],
            joints: vec![Joint { at: 16_000, left_out: 32_000 }, Joint { at: 48_000, left_out: 64_000 }],
            speech: Vec::new(),
            whole: 128_000,
        };
        let stretch = sound.stretch(32_000..64_000);
        assert_eq!(stretch.joints(), [16_000]);
        assert_eq!(stretch.span_ms(0, 8_000), (4000.0, 4500.0));
    }

    #[test]
    fn a_segment_ends_no_later_than_the_next_stretch_begins() {
        let sound = Condensed {
            samples: vec![0.0; 64_000],
            joints: vec![Joint { at: 0, left_out: 16_000 }],
            speech: vec![16_000..50_000, 56_000..80_000],
            whole: 80_000,
        };
        let (one, next) = (sound.stretch(0..32_000), sound.stretch(32_000..64_000));
        assert_eq!(sound.segment_ms(16_000, 30_000), (2000.0, 3155.0), "its last word goes on for some time");
        assert_eq!(one.segment_ms(16_000, 30_000), (2000.0, 3000.0));
        assert_eq!(one.segment_ms(32_000, 32_000), (3000.0, 3000.0));
        assert_eq!(next.segment_ms(0, 20_000), (3000.0, 4250.0));
    }

    #[test]
    fn a_sound_in_which_nobody_speaks_stays_whole() {
        let condensed = condense(vec![0.0; 40 * SAMPLE_RATE]);
        assert_eq!(condensed.samples().len(), 40 * SAMPLE_RATE);
    }
}
