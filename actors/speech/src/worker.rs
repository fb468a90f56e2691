//! How does one request become one answer?

use std::sync::Arc;
use std::sync::atomic::Ordering;

use megabrain_runtime::{Interrupt, Job};
use megabrain_schemas::{Fault, FaultKind, TranscribeFrame, TranscribeReply, TranscribeRequest};

use crate::abort::Stop;
use crate::collect::duration;
use crate::decode::decode;
use crate::desk::Desk;
use crate::engine::Shared;
use crate::transcribe::{Task, Transcriber, Transcript};

/// Fetches, decodes and transcribes, one job at a time.
pub(crate) struct Worker {
    transcriber: Transcriber,
    desk: Arc<Desk>,
    shared: Arc<Shared>,
}

/// What a job wants transcribed.
struct Sound {
    samples: Vec<f32>,
    language: Option<&'static str>,
    is_stream: bool,
}

impl Worker {
    pub(crate) fn new(transcriber: Transcriber, desk: Arc<Desk>, shared: Arc<Shared>) -> Self {
        Self { transcriber, desk, shared }
    }

    /// Works on a job until it is answered.
    pub(crate) fn work(&mut self, job: Job) {
        let interrupt = job.interrupt_handle();
        let sound = match self.read(&job, &interrupt) {
            Ok(sound) => sound,
            Err(stop) => return end(job, stop),
        };
        self.desk.put(job);
        let outcome = self.transcribe(&sound, &interrupt);
        // Gone from the desk, it is answered already.
        let Some(job) = self.desk.take() else { return };
        match outcome {
            Ok(transcript) => {
                let queued_ms = milliseconds(job.queued());
                job.answer(&TranscribeReply {
                    text: transcript.text,
                    language: transcript.language.to_owned(),
                    duration_ms: milliseconds(duration(sound.samples.len())),
                    segments: transcript.segments,
                    queued_ms,
                });
            }
            Err(stop) => end(job, stop),
        }
    }

    /// Everything but the model's part.
    fn read(&self, job: &Job, interrupt: &Interrupt) -> Result<Sound, Stop> {
        let request = job.request::<TranscribeRequest>()?;
        // What can be refused is refused before anything is fetched.
        let asked = self.shared.languages.choose(request.language.as_deref())?;
        let bytes = job.media(&request.audio, "audio")?;
        let samples = decode(&bytes, &self.shared.limits, &|| interrupt.is_due())?;
        Ok(Sound { samples, language: asked.or(self.shared.language), is_stream: request.stream })
    }

    fn transcribe(&mut self, sound: &Sound, interrupt: &Interrupt) -> Result<Transcript, Stop> {
        let task = Task {
            samples: &sound.samples,
            language: sound.language,
            limits: &self.shared.limits,
            cores: &self.shared.cores.enter(),
            is_due: &|| interrupt.is_due(),
        };
        let transcript = self.transcriber.transcribe(&task, &mut |segment| {
            if sound.is_stream {
                self.desk.with(|job| job.frame(&TranscribeFrame { segment: segment.clone() }));
            }
        })?;
        let rate = transcript.tokens as f32 / transcript.took.as_secs_f32().max(f32::EPSILON);
        self.shared.tokens_per_second.store(rate.to_bits(), Ordering::Relaxed);
        Ok(transcript)
    }
}

/// Answers a job that comes to no text.
fn end(job: Job, stop: Stop) {
    let fault = match stop {
        Stop::Fault(fault) => fault,
        Stop::Interrupted => job.interruption().unwrap_or_else(|| Fault::new(FaultKind::Cancelled, "cancelled")),
    };
    job.fail(fault);
}

/// As results are written: with a fraction, to the microsecond.
fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
