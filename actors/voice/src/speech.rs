//! What has been said so far? Samples, and who reads along: which sentence is where.

use std::ops::Range;
use std::time::Duration;

use megabrain_schemas::Segment;

/// Speech as it grows, sentence by sentence.
#[derive(Debug)]
pub(crate) struct Speech {
    sample_rate: u32,
    /// Samples of silence between two sentences.
    pause: usize,
    samples: Vec<i16>,
    segments: Vec<Segment>,
}

impl Speech {
    /// None yet.
    pub(crate) fn new(sample_rate: u32, pause: Duration) -> Self {
        let pause = (pause.as_secs_f64() * f64::from(sample_rate)) as usize;
        Self { sample_rate, pause, samples: Vec::new(), segments: Vec::new() }
    }

    /// Adds a sentence, after a pause if it is not the first. Gives where its samples are, the pause included.
    pub(crate) fn say(&mut self, text: &str, samples: &[i16]) -> (Range<usize>, Segment) {
        let before = self.samples.len();
        if !self.segments.is_empty() {
            self.samples.resize(before + self.pause, 0);
        }
        let start = self.samples.len();
        self.samples.extend_from_slice(samples);
        let end = self.samples.len();
        let segment = Segment {
            t0_ms: self.milliseconds(start),
            t1_ms: self.milliseconds(end),
            text: text.to_owned(),
            ..Segment::default()
        };
        self.segments.push(segment.clone());
        (before..end, segment)
    }

    pub(crate) fn samples(&self) -> &[i16] {
        &self.samples
    }

    pub(crate) fn into_segments(self) -> Vec<Segment> {
        self.segments
    }

    /// How long so many samples are.
    pub(crate) fn milliseconds(&self, samples: usize) -> f64 {
        // To the microsecond, as results are written.
        (samples as f64 * 1e6 / f64::from(self.sample_rate)).round() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_pauses_between_and_times_of_the_whole() {
        let mut speech = Speech::new(1000, Duration::from_millis(20));
        let (first, one) = speech.say("One.", &[1; 100]);
        let (second, two) = speech.say("Two.", &[2; 50]);
        assert_eq!((first, second), (0..100, 100..170));
        assert_eq!((one.t0_ms, one.t1_ms), (0.0, 100.0));
        assert_eq!((two.t0_ms, two.t1_ms), (120.0, 170.0));
        assert_eq!(speech.samples(), [vec![1; 100], vec![0; 20], vec![2; 50]].concat());
        assert_eq!(speech.into_segments(), [one, two]);
    }
}
