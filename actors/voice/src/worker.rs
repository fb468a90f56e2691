//! How does one request become one answer?

use std::sync::Arc;

use megabrain_onnx::Stop as Brake;
use megabrain_runtime::Job;
use megabrain_schemas::{AudioFormat, Fault, FaultKind, SpeakReply, SpeakRequest};

use crate::encode::encode;
use crate::engine::Shared;
use crate::sentences::pieces;
use crate::speech::Speech;
use crate::stop::{IsDue, Stop};
use crate::synthesis::Synthesizer;

/// Speaks one text at a time.
pub(crate) struct Worker {
    slot: usize,
    synthesizer: Synthesizer,
    shared: Arc<Shared>,
}

impl Worker {
    pub(crate) fn new(slot: usize, synthesizer: Synthesizer, shared: Arc<Shared>) -> Self {
        Self { slot, synthesizer, shared }
    }

    /// Works on a job until it is answered.
    pub(crate) fn work(&mut self, mut job: Job) {
        match self.speak(&mut job) {
            Ok(reply) => job.answer(&reply),
            Err(Stop::Fault(fault)) => job.fail(fault),
            Err(Stop::Interrupted) => {
                let fault = job.interruption();
                job.fail(fault.unwrap_or_else(|| Fault::new(FaultKind::Cancelled, "cancelled")));
            }
        }
    }

    fn speak(&mut self, job: &mut Job) -> Result<SpeakReply, Stop> {
        let request = job.request::<SpeakRequest>()?;
        self.shared.check_length(&request.text)?;
        let manner = self.shared.manner(&request)?;
        let brake = Brake::new(&self.shared.runtime).map_err(Fault::from)?;
        let interrupt = job.interrupt_handle();
        let shared = self.shared.clone();
        let _running = shared.running.enter(self.slot, interrupt.clone(), brake.clone());
        let is_due = || interrupt.is_due();
        let sample_rate = shared.reader.voice.sample_rate();
        let mut speech = Speech::new(sample_rate, shared.pause);
        for sentence in pieces(&request.text) {
            if is_due() {
                return Err(Stop::Interrupted);
            }
            let Some(phonemes) = shared.reader.read(&sentence, &is_due)? else { continue };
            let samples = self.synthesizer.speak(&phonemes, &manner, &brake)?;
            let (range, segment) = speech.say(&sentence, &samples);
            if request.stream {
                let samples = speech.samples().get(range).unwrap_or_default();
                let (mime, file) = encode(request.format, samples, sample_rate, &is_due)?;
                let duration_ms = speech.milliseconds(samples.len());
                let audio = job.attach(mime, file)?;
                job.frame(&SpeakReply { audio, duration_ms, segments: vec![segment] });
            }
        }
        whole(job, request.format, speech, sample_rate, &is_due)
    }
}

/// All that was said, in one file.
fn whole(
    job: &Job,
    format: AudioFormat,
    speech: Speech,
    sample_rate: u32,
    is_due: IsDue<'_>,
) -> Result<SpeakReply, Stop> {
    if speech.samples().is_empty() {
        return Err(Fault::invalid("`text` has nothing in it that this voice can say").into());
    }
    let (mime, file) = encode(format, speech.samples(), sample_rate, is_due)?;
    let duration_ms = speech.milliseconds(speech.samples().len());
    Ok(SpeakReply { audio: job.attach(mime, file)?, duration_ms, segments: speech.into_segments() })
}
