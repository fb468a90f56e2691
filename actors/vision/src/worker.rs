//! How does one request become one answer?

use std::sync::Arc;

use megabrain_onnx::{Runtime, Stop};
use megabrain_runtime::Job;
use megabrain_schemas::{Fault, FaultKind, SeeReply, SeeRequest};

use crate::end::End;
use crate::eyes::{Eyes, Sight};
use crate::running::Running;

/// Fetches, decodes and looks, one job at a time.
#[derive(Debug)]
pub(crate) struct Worker {
    slot: usize,
    runtime: Runtime,
    running: Arc<Running>,
    eyes: Eyes,
}

impl Worker {
    pub(crate) fn new(slot: usize, runtime: Runtime, running: Arc<Running>, eyes: Eyes) -> Self {
        Self { slot, runtime, running, eyes }
    }

    /// Works on a job until it is answered.
    pub(crate) fn work(&mut self, job: Job) {
        let outcome = self.see(&job);
        self.running.end(self.slot);
        match outcome {
            Ok(reply) => job.answer(&reply),
            Err(End::Fault(fault)) => job.fail(fault),
            Err(End::Interrupted) => {
                let fault = job.interruption();
                job.fail(fault.unwrap_or_else(|| Fault::new(FaultKind::Cancelled, "cancelled")));
            }
        }
    }

    fn see(&mut self, job: &Job) -> Result<SeeReply, End> {
        let request = job.request::<SeeRequest>()?;
        let tasks = self.eyes.tasks(request.tasks.as_deref())?;
        let stop = Stop::new(&self.runtime)?;
        let interrupt = job.interrupt_handle();
        self.running.begin(self.slot, interrupt.clone(), stop.clone());
        let mut sight = Sight::new(tasks, request.top_k);
        for (index, media) in request.images.iter().enumerate() {
            if interrupt.is_due() {
                return Err(End::Interrupted);
            }
            let what = format!("images[{index}]");
            let bytes = job.media(media, &what)?;
            self.eyes.look(&bytes, &what, &mut sight, &stop)?;
        }
        Ok(SeeReply { results: self.eyes.finish(sight, &stop)?, queued_ms: job.queued_ms() })
    }
}
