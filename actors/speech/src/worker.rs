//! How does one request become one answer?

use std::sync::Arc;
use std::sync::atomic::Ordering;

use megabrain_runtime::Job;
use megabrain_schemas::{Fault, FaultKind, TranscribeFrame, TranscribeReply, TranscribeRequest};

use crate::abort::Stop;
use crate::collect::duration;
use crate::decode::decode;
use crate::engine::Shared;
use crate::transcribe::{Task, Transcriber};

/// Fetches, decodes and transcribes, one job at a time.
pub(crate) struct Worker {
    transcriber: Transcriber,
    shared: Arc<Shared>,
}

impl Worker {
    pub(crate) fn new(transcriber: Transcriber, shared: Arc<Shared>) -> Self {
        Self { transcriber, shared }
    }

    /// Works on a job until it is answered.
    pub(crate) fn work(&mut self, mut job: Job) {
        match self.transcribe(&mut job) {
            Ok(reply) => job.answer(&reply),
            Err(Stop::Fault(fault)) => job.fail(fault),
            Err(Stop::Interrupted) => {
                let fault = job.interruption();
                job.fail(fault.unwrap_or_else(|| Fault::new(FaultKind::Cancelled, "cancelled")));
            }
        }
    }

    fn transcribe(&mut self, job: &mut Job) -> Result<TranscribeReply, Stop> {
        let request = job.request::<TranscribeRequest>()?;
        // What can be refused is refused before anything is fetched.
        let asked = self.shared.languages.choose(request.language.as_deref())?;
        let sound = job.media(&request.audio, "audio")?;
        let interrupt = job.interrupt_handle();
        let is_due = || interrupt.is_due();
        let samples = decode(&sound, &self.shared.limits, &is_due)?;
        let task = Task {
            samples: &samples,
            language: asked.or(self.shared.language),
            limits: &self.shared.limits,
            cores: &self.shared.cores.enter(),
            is_due: &is_due,
        };
        let transcript = self.transcriber.transcribe(&task, &mut |segment| {
            if request.stream {
                job.frame(&TranscribeFrame { segment: segment.clone() });
            }
        })?;
        let rate = transcript.tokens as f32 / transcript.took.as_secs_f32().max(f32::EPSILON);
        self.shared.tokens_per_second.store(rate.to_bits(), Ordering::Relaxed);
        Ok(TranscribeReply {
            text: transcript.text,
            language: transcript.language.to_owned(),
            duration_ms: milliseconds(duration(samples.len())),
            segments: transcript.segments,
            queued_ms: milliseconds(job.queued()),
        })
    }
}

/// As results are written: with a fraction, to the microsecond.
fn milliseconds(time: std::time::Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
