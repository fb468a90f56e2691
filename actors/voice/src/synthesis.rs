//! How do phonemes become sound? The model says, and Piper's way of making it as loud as can be.

use megabrain_onnx::{Error, Input, Session};
use megabrain_schemas::Fault;

use crate::stop::Stop;
use crate::voice::Inference;

/// What is below this is silence, and not made louder. Piper's own bound.
const FAINTEST: f32 = 0.01;

/// A model that speaks one sentence at a time.
#[derive(Debug)]
pub(crate) struct Synthesizer {
    session: Session,
    has_speakers: bool,
}

/// Who speaks, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Manner {
    pub(crate) speaker: i64,
    pub(crate) inference: Inference,
}

impl Synthesizer {
    /// Takes an open model.
    pub(crate) fn new(session: Session, has_speakers: bool) -> Self {
        Self { session, has_speakers }
    }

    /// Speaks a sentence at full volume.
    ///
    /// # Errors
    /// [`Stop::Interrupted`] if somebody pulled `brake`, within an operator of the model; `engine` if the model fails.
    pub(crate) fn speak(
        &mut self,
        phonemes: &[i64],
        manner: &Manner,
        brake: &megabrain_onnx::Stop,
    ) -> Result<Vec<i16>, Stop> {
        let failed = |error| match error {
            Error::Stopped => Stop::Interrupted,
            error => Stop::Fault(error.into()),
        };
        let Inference { noise_scale, length_scale, noise_w } = manner.inference;
        let shape = [1, phonemes.len()];
        let length = [i64::try_from(phonemes.len()).unwrap_or(i64::MAX)];
        let (scales, speaker) = ([noise_scale, length_scale, noise_w], [manner.speaker]);
        let mut inputs =
            vec![Input::Integers(&shape, phonemes), Input::Integers(&[1], &length), Input::Floats(&[3], &scales)];
        if self.has_speakers {
            inputs.push(Input::Integers(&[1], &speaker));
        }
        let outputs = self.session.run(&inputs, brake).map_err(failed)?;
        let (_, samples) = outputs.floats(0).map_err(failed)?;
        Ok(loud(samples)?)
    }
}

/// Scales to the full range of 16 bits, as Piper does with each sentence.
fn loud(samples: &[f32]) -> Result<Vec<i16>, Fault> {
    if samples.iter().any(|sample| !sample.is_finite()) {
        return Err(Fault::engine("the model gave no sound"));
    }
    let peak = samples.iter().fold(FAINTEST, |peak, sample| peak.max(sample.abs()));
    let scale = f32::from(i16::MAX) / peak;
    // The cast keeps to the range.
    Ok(samples.iter().map(|sample| (sample * scale).round() as i16).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_full_volume_and_silence_stays_silent() {
        assert_eq!(loud(&[0.25, -0.5, 0.125]).unwrap(), [16384, -32767, 8192]);
        assert_eq!(loud(&[0.001, 0.0]).unwrap(), [3277, 0]);
        assert_eq!(loud(&[]).unwrap(), [0_i16; 0]);
        assert!(loud(&[0.1, f32::NAN]).is_err());
    }
}
