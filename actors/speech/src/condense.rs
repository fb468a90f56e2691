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

/// Which end of a stretch of speech a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Begin,
    End,
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

    /// When in the whole a sample of what is left is, in milliseconds.
    ///
    /// Whisper's times are not exact. On both sides of a joint nobody speaks, so what begins right before it is what comes
    /// after it, and what ends right after it is what came before.
    pub(crate) fn time_ms(&self, edge: Edge, sample: usize) -> f64 {
        let left_out = |until: usize| {
            let passed = self.joints.partition_point(|joint| joint.at <= until);
            passed.checked_sub(1).and_then(|last| self.joints.get(last)).copied()
        };
        let place = match edge {
            Edge::Begin => match left_out(sample + MARGIN) {
                Some(joint) => joint.left_out + sample.max(joint.at),
                None => sample,
            },
            Edge::End => match left_out(sample) {
                Some(joint) if joint.at > 0 && sample - joint.at <= MARGIN => {
                    joint.at + left_out(joint.at - 1).map_or(0, |before| before.left_out)
                }
                Some(joint) => joint.left_out + sample,
                None => sample,
            },
        };
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
        assert_eq!(condensed.time_ms(Edge::Begin, 16_000), 1000.0);
        assert_eq!(condensed.time_ms(Edge::End, samples.len()), (samples.len() as f64 / 16.0).round());
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
            let at = [Edge::Begin, Edge::End].map(|edge| (condensed.time_ms(edge, index) * 16.0) as usize);
            let near = condensed.joints.iter().any(|joint| joint.at.abs_diff(index) <= MARGIN);
            assert!(
                near || at
                    .iter()
                    .any(|at| samples[at.saturating_sub(16)..(at + 16).min(samples.len())].contains(sample))
            );
        }
    }

    #[test]
    fn what_begins_before_a_joint_comes_after_it_and_what_ends_after_it_came_before() {
        let condensed = Condensed {
            samples: vec![0.0; 100_000],
            joints: vec![Joint { at: 0, left_out: 16_000 }, Joint { at: 50_000, left_out: 176_000 }],
            whole: 300_000,
        };
        let ms = |edge, sample| condensed.time_ms(edge, sample) * 16.0;
        assert_eq!((ms(Edge::Begin, 0), ms(Edge::Begin, 32_000)), (16_000.0, 48_000.0));
        assert_eq!((ms(Edge::Begin, 48_000), ms(Edge::Begin, 51_200)), (226_000.0, 227_200.0));
        assert_eq!((ms(Edge::End, 48_000), ms(Edge::End, 51_200)), (64_000.0, 66_000.0));
        assert_eq!((ms(Edge::End, 0), ms(Edge::End, 80_000)), (16_000.0, 256_000.0));
        assert_eq!(ms(Edge::End, 999_999), 300_000.0);
    }

    #[test]
    fn a_sound_in_which_nobody_speaks_stays_whole() {
        let condensed = condense(vec![0.0; 40 * SAMPLE_RATE]);
        assert_eq!(condensed.samples().len(), 40 * SAMPLE_RATE);
    }
}
