//! What comes of decoded sound? Mono at 16 kHz, as long as it keeps to the limits.

use std::time::Duration;

use humantime::format_duration;
use megabrain_schemas::{Fault, FaultKind};
use symphonia::core::audio::GenericAudioBufferRef;

use crate::resample::{Resampler, SAMPLE_RATE};

/// More channels than any microphone array has; a header that says more is damaged or hostile.
const MAX_CHANNELS: usize = 64;
/// Rates that sound is recorded at, in Hz, with room on both sides.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=384_000;

/// What sound may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest that is taken.
    pub(crate) max_audio: Duration,
    /// A peak below this is silence, in dB below full scale.
    pub(crate) silence_dbfs: f32,
}

impl Limits {
    /// True if nothing in these samples is loud enough to be heard.
    pub(crate) fn is_silent(&self, samples: &[f32]) -> bool {
        peak(samples) < 10.0_f32.powf(self.silence_dbfs / 20.0)
    }

    /// Refuses sound that is longer than what is taken.
    pub(crate) fn check_length(&self, length: Duration) -> Result<(), Fault> {
        if length <= self.max_audio {
            return Ok(());
        }
        let [length, most] = [length, self.max_audio].map(|time| format_duration(rounded(time)));
        Err(Fault::new(
            FaultKind::TooLarge,
            format!("the sound is {length} long or longer, and this model takes at most {most}"),
        ))
    }
}

/// Refuses what no sound has, before anything is allocated for it.
pub(crate) fn check_shape(rate: u32, channels: usize) -> Result<(), Fault> {
    if !RATES.contains(&rate) {
        let (least, most) = RATES.into_inner();
        return Err(Fault::invalid(format!("the sound says that it has {rate} Hz: {least} to {most} are taken")));
    }
    if channels == 0 || channels > MAX_CHANNELS {
        return Err(Fault::invalid(format!(
            "the sound says that it has {channels} channels: 1 to {MAX_CHANNELS} are taken"
        )));
    }
    Ok(())
}

/// How long so many samples last at 16 kHz.
pub(crate) fn duration(samples: usize) -> Duration {
    Duration::from_secs_f64(samples as f64 / SAMPLE_RATE as f64)
}

/// Gathers decoded sound.
pub(crate) struct Collector<'a> {
    limits: &'a Limits,
    /// The rate at present, and what leads from there to 16 kHz.
    stage: Option<(u32, Resampler)>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    samples: Vec<f32>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, stage: None, interleaved: Vec::new(), mono: Vec::new(), samples: Vec::new() }
    }

    /// True if nothing was taken yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.stage.is_none() && self.samples.is_empty()
    }

    /// Takes a packet's worth. Rate and channels may change from one to the next, as in chained Ogg.
    pub(crate) fn take(&mut self, buffer: &GenericAudioBufferRef<'_>) -> Result<(), Fault> {
        let (rate, channels) = (buffer.spec().rate(), buffer.spec().channels().count());
        check_shape(rate, channels)?;
        buffer.copy_to_vec_interleaved(&mut self.interleaved);
        self.mono.clear();
        self.mono.extend(self.interleaved.chunks_exact(channels).map(|frame| {
            let mean = frame.iter().sum::<f32>() / channels as f32;
            // A float format may hold infinities, which would spread over a whole window of the model.
            if mean.is_finite() { mean.clamp(-1.0, 1.0) } else { 0.0 }
        }));
        if self.stage.as_ref().is_some_and(|(current, _)| *current != rate) {
            self.flush()?;
        }
        let stage = match self.stage.take() {
            Some(stage) => stage,
            None => (rate, Resampler::new(rate).map_err(Fault::engine)?),
        };
        let (_, resampler) = self.stage.insert(stage);
        resampler.push(&self.mono, &mut self.samples).map_err(Fault::engine)?;
        self.limits.check_length(duration(self.samples.len()))
    }

    /// Ends, and gives everything if it can be heard.
    pub(crate) fn finish(mut self) -> Result<Vec<f32>, Fault> {
        self.flush()?;
        if self.samples.is_empty() {
            return Err(Fault::invalid("the sound holds no samples"));
        }
        if self.limits.is_silent(&self.samples) {
            let peak = 20.0 * peak(&self.samples).log10();
            let threshold = self.limits.silence_dbfs;
            return Err(Fault::invalid(format!(
                "the sound is silent (peak {peak:.0} dBFS, below {threshold:.0} dBFS nothing is heard)"
            )));
        }
        Ok(self.samples)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        match self.stage.take() {
            Some((_, resampler)) => resampler.finish(&mut self.samples).map_err(Fault::engine),
            None => Ok(()),
        }
    }
}

pub(crate) fn peak(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |peak, sample| peak.max(sample.abs()))
}

/// Hours and seconds, without the nanoseconds.
fn rounded(time: Duration) -> Duration {
    let unit = if time < Duration::from_secs(60) { 10 } else { 1000 };
    Duration::from_millis(time.as_millis().div_ceil(unit) as u64 * unit as u64)
}
