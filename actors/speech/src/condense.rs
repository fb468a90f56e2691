//! What is left of a sound without its long silences, and when was that in the whole?
//!
//! Whisper takes as long for thirty seconds of silence as for thirty of speech, and hears words in it that nobody said.

use crate::abort::{IsDue, Stop};
use crate::activity::{Activity, FRAME};
use crate::collect::{duration, peak};
use crate::resample::SAMPLE_RATE;

/// Silence up to this stays as it is: 1 s. It is part of how somebody speaks, and Whisper hears better with it.
const SHORTEST: usize = SAMPLE_RATE;
/// What stays of a longer one, on either side of it: 300 ms.
const MARGIN: usize = SAMPLE_RATE * 3 / 10;

/// Whisper's times reach over a joint by no more than this: its silence, and the last syllable before it.
const REACH: usize = SAMPLE_RATE * 7 / 10;

/// Sound without its long silences.
#[derive(Debug)]
pub(crate) struct Condensed {
    samples: Vec<f32>,
    joints: Vec<Joint>,
    whole: usize,
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
        Self { whole: samples.len(), joints: Vec::new(), samples }
    }

    /// Leaves out where nobody speaks for long. A sound in which nobody speaks at all stays whole: let the model judge.
    pub(crate) fn of(samples: Vec<f32>, is_due: IsDue<'_>) -> Result<Self, Stop> {
        let spans = spans(&samples, is_due)?;
        let mut condensed = Self::whole(samples);
        if spans.is_empty() {
            return Ok(condensed);
        }
        let mut kept = 0;
        for span in spans {
            let length = span.end - span.start;
            if span.start > kept + condensed.left_out() {
                condensed.joints.push(Joint { at: kept, left_out: span.start - kept });
            }
            condensed.samples.copy_within(span, kept);
            kept += length;
        }
        condensed.samples.truncate(kept);
        condensed.samples.shrink_to_fit();
        Ok(condensed)
    }

    fn left_out(&self) -> usize {
        self.joints.last().map_or(0, |joint| joint.left_out)
    }

    /// What is left: mono, 16 kHz.
    pub(crate) fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// How long the whole is.
    pub(crate) fn length(&self) -> std::time::Duration {
        duration(self.whole)
    }

    /// When in the whole a stretch of what is left is, from its first sample to past its last, in milliseconds.
    ///
    /// Whisper's times are not exact. A stretch that reaches a little over a joint is on one side of it: what begins right
    /// before it comes after it, and what ends right after it came before.
    pub(crate) fn span_ms(&self, mut begin: usize, mut end: usize) -> (f64, f64) {
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
        let t0_ms = self.milliseconds(begin + self.left_out_by(begin));
        // What ends at a joint ends before what is left out there.
        let t1_ms = self.milliseconds(end + self.left_out_by(end.saturating_sub(1)));
        (t0_ms, t1_ms.max(t0_ms))
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

/// Where somebody speaks, in order, with some silence on both sides, and no long one within.
fn spans(samples: &[f32], is_due: IsDue<'_>) -> Result<Vec<std::ops::Range<usize>>, Stop> {
    let mut activity = Activity::new(peak(samples));
    let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
    for (index, frame) in samples.chunks(FRAME).enumerate() {
        if index % 256 == 0 && is_due() {
            return Err(Stop::Interrupted);
        }
        if !activity.is_speech(frame) {
            continue;
        }
        let (start, end) = (index * FRAME, index * FRAME + frame.len());
        match spans.last_mut() {
            Some(last) if start - last.end < SHORTEST => last.end = end,
            _ => spans.push(start..end),
        }
    }
    for span in &mut spans {
        // A short silence at either end of the sound stays, as one between words does.
        span.start = if span.start < SHORTEST { 0 } else { span.start - MARGIN };
        span.end = if samples.len() - span.end < SHORTEST { samples.len() } else { span.end + MARGIN };
    }
    Ok(spans)
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
        assert_eq!(condensed.span_ms(16_000, samples.len()), (1000.0, (samples.len() as f64 / 16.0).round()));
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
    fn a_sound_in_which_nobody_speaks_stays_whole() {
        let condensed = condense(vec![0.0; 40 * SAMPLE_RATE]);
        assert_eq!(condensed.samples().len(), 40 * SAMPLE_RATE);
    }
}
