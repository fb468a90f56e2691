//! How does sound of any rate become 16 kHz, a bit at a time?

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

/// Samples a second that Whisper hears.
pub(crate) const SAMPLE_RATE: usize = 16_000;
/// Samples that are resampled at once.
const CHUNK: usize = 4096;

/// Turns mono sound of one rate into 16 kHz.
pub(crate) enum Resampler {
    /// It is 16 kHz already.
    Same,
    /// It is not.
    Fft(Box<Stream>),
}

/// An FFT resampler and what it still owes.
pub(crate) struct Stream {
    fft: Fft<f32>,
    /// Taken, not yet resampled: less than a chunk.
    pending: Vec<f32>,
    /// Room for what one chunk becomes.
    scratch: Vec<f32>,
    /// Samples at 16 kHz for each one taken.
    ratio: f64,
    /// Samples taken so far.
    taken: u64,
    /// Samples given so far.
    given: u64,
    /// Samples still to be left out at the start: the resampler's delay.
    delay: usize,
}

impl Resampler {
    /// Makes one for sound of `rate` Hz.
    pub(crate) fn new(rate: u32) -> Result<Self, String> {
        let rate = rate as usize;
        if rate == SAMPLE_RATE {
            return Ok(Self::Same);
        }
        let fft = Fft::new(rate, SAMPLE_RATE, CHUNK, 1, FixedSync::Input).map_err(text)?;
        Ok(Self::Fft(Box::new(Stream {
            pending: Vec::new(),
            scratch: vec![0.0; fft.output_frames_max()],
            ratio: SAMPLE_RATE as f64 / rate as f64,
            taken: 0,
            given: 0,
            delay: fft.output_delay(),
            fft,
        })))
    }

    /// Resamples `samples` to the end of `into`; keeps back what does not fill a chunk.
    pub(crate) fn push(&mut self, samples: &[f32], into: &mut Vec<f32>) -> Result<(), String> {
        match self {
            Self::Same => into.extend_from_slice(samples),
            Self::Fft(stream) => {
                stream.taken += samples.len() as u64;
                stream.pending.extend_from_slice(samples);
                stream.drain(into)?;
            }
        }
        Ok(())
    }

    /// Resamples what was kept back. All that was pushed is now in `into`, at its place in time.
    pub(crate) fn finish(self, into: &mut Vec<f32>) -> Result<(), String> {
        let Self::Fft(mut stream) = self else { return Ok(()) };
        let owed = (stream.taken as f64 * stream.ratio).round() as u64;
        while stream.given < owed {
            stream.pending.resize(CHUNK, 0.0);
            stream.drain(into)?;
        }
        into.truncate(into.len() - (stream.given - owed) as usize);
        Ok(())
    }
}

impl Stream {
    fn drain(&mut self, into: &mut Vec<f32>) -> Result<(), String> {
        let mut done = 0;
        while self.pending.len() - done >= CHUNK {
            let input = InterleavedSlice::new(&self.pending, 1, self.pending.len()).map_err(text)?;
            let room = self.scratch.len();
            let mut output = InterleavedSlice::new_mut(&mut self.scratch, 1, room).map_err(text)?;
            let from = Indexing::new().input_offset(done);
            let (_, made) = self.fft.process_into_buffer(&input, &mut output, Some(&from)).map_err(text)?;
            done += CHUNK;
            let late = self.delay.min(made);
            self.delay -= late;
            let fresh = self.scratch.get(late..made).unwrap_or_default();
            self.given += fresh.len() as u64;
            into.extend_from_slice(fresh);
        }
        self.pending.drain(..done);
        Ok(())
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resample(rate: u32, samples: &[f32], step: usize) -> Vec<f32> {
        let (mut resampler, mut out) = (Resampler::new(rate).unwrap(), Vec::new());
        samples.chunks(step).for_each(|part| resampler.push(part, &mut out).unwrap());
        resampler.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn every_rate_keeps_length_pitch_and_place() {
        for rate in [4_000, 8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 44_101, 48_000, 96_000, 192_000, 383_979] {
            // Silence, then 440 Hz from half a second on.
            let tone = |n: u32| (f64::from(n) / f64::from(rate) * 440.0 * std::f64::consts::TAU).sin() as f32;
            let samples: Vec<f32> = (0..rate * 2).map(|n| if n < rate / 2 { 0.0 } else { tone(n) * 0.5 }).collect();
            let out = resample(rate, &samples, 1009);
            assert!(out.len().abs_diff(2 * SAMPLE_RATE) <= 1, "{rate} Hz: {} samples", out.len());
            let onset = out.iter().position(|sample| sample.abs() > 0.1).unwrap();
            assert!(onset.abs_diff(SAMPLE_RATE / 2) < 40, "{rate} Hz: begins at {onset}");
            let steady = &out[SAMPLE_RATE..SAMPLE_RATE * 3 / 2];
            let crossings = steady.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
            assert!(crossings.abs_diff(220) <= 1, "{rate} Hz: {crossings} periods in half a second");
            let peak = steady.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
            assert!((0.48..0.52).contains(&peak), "{rate} Hz: peak {peak}");
        }
    }

    #[test]
    fn less_than_a_chunk_is_not_lost() {
        assert_eq!(resample(48_000, &[0.5; 30], 7).len(), 10);
        assert_eq!(resample(48_000, &[], 1).len(), 0);
    }
}
