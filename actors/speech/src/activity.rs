//! Is somebody speaking? Asked every 16 milliseconds of a detector that hears speech in noise.
//!
//! The detector is the crate `earshot`: a small recurrent network, its weights in the program. What it does not take for
//! speech is left out only where it lasts, so that a syllable that it missed is not.

use earshot::Detector;

/// What the detector hears at a time.
pub(crate) const FRAME: usize = 256;
/// The detector's score from which on it is speech. Its makers advise 0.5; a missed word is worse than a heard noise.
const SPEECH: f32 = 0.35;
/// As loud as this it learned speech: quieter recordings are raised to it.
const LEVEL: f32 = 0.7;
/// A recording quieter than this is noise as much as speech when raised.
const MOST_GAIN: f32 = 30.0;

/// One detector, for one sound.
pub(crate) struct Activity {
    detector: Box<Detector>,
    gain: f32,
    frame: Vec<f32>,
}

impl Activity {
    /// For sound whose loudest sample is `peak`.
    pub(crate) fn new(peak: f32) -> Self {
        let gain = (LEVEL / peak.max(f32::MIN_POSITIVE)).clamp(1.0, MOST_GAIN);
        Self { detector: Detector::default_boxed(), gain, frame: Vec::with_capacity(FRAME) }
    }

    /// True if there is speech in the next frame of the sound. One that is not whole is filled up with silence.
    pub(crate) fn is_speech(&mut self, frame: &[f32]) -> bool {
        self.frame.clear();
        self.frame.extend(frame.iter().take(FRAME).map(|sample| (sample * self.gain).clamp(-1.0, 1.0)));
        self.frame.resize(FRAME, 0.0);
        self.detector.predict_f32(&self.frame) >= SPEECH
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{decode, media};

    /// Of all frames, the part that is taken for speech.
    fn share(samples: &[f32], peak: f32) -> f64 {
        let mut activity = Activity::new(peak);
        let frames = samples.chunks(FRAME);
        let count = frames.len() as f64;
        frames.filter(|frame| activity.is_speech(frame)).count() as f64 / count
    }

    #[test]
    fn speech_is_speech_and_silence_is_not() {
        let question = decode(&media("question.wav")).unwrap();
        assert!(share(&question, 0.7) > 0.6, "{}", share(&question, 0.7));
        assert!(share(&vec![0.0; 160_000], 0.7) < 0.01);
    }

    #[test]
    fn quiet_speech_is_speech_too() {
        let quiet: Vec<f32> = decode(&media("question.wav")).unwrap().iter().map(|sample| sample * 0.03).collect();
        assert!(share(&quiet, 0.03) > 0.6, "{}", share(&quiet, 0.03));
    }
}
