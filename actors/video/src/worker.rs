//! How does one request become frames and one answer?

use std::sync::Arc;

use megabrain_runtime::Job;
use megabrain_schemas::{Fault, FaultKind, Request as _, SplitFrame, SplitReply, SplitRequest, VideoFrame, VideoSound};

use crate::split::{Part, Setup, Stop, split};

/// Works on a job until it is answered.
pub(crate) fn work(setup: &Arc<Setup>, mut job: Job) {
    match answer(setup, &mut job) {
        Ok(reply) => job.answer(&reply),
        Err(Stop::Fault(fault)) => job.fail(fault),
        Err(Stop::Interrupted) => {
            let fault = job.interruption();
            job.fail(fault.unwrap_or_else(|| Fault::new(FaultKind::Cancelled, "cancelled")));
        }
    }
}

fn answer(setup: &Setup, job: &mut Job) -> Result<SplitReply, Stop> {
    let mut request = job.request::<SplitRequest>()?;
    let film = job.media(&request.video, "video")?;
    // A film that came inline is not kept twice.
    request.video.data = None;
    let interrupt = job.interrupt_handle();
    let (mut pictures, mut sounds) = (Vec::new(), Vec::new());
    let reply = split(setup, film, &request, &|| interrupt.is_due(), &mut |part| {
        let frame = store(job, part)?;
        if request.is_stream() {
            job.frame(&frame);
        } else {
            pictures.extend(frame.frame);
            sounds.extend(frame.sound);
        }
        Ok(())
    })?;
    Ok(SplitReply { pictures, sounds, queued_ms: job.queued_ms(), ..reply })
}

/// Puts what came of a film where others find it.
fn store(job: &Job, part: Part) -> Result<SplitFrame, Fault> {
    Ok(match part {
        Part::Picture { jpeg, t_ms } => {
            SplitFrame { frame: Some(VideoFrame { blob: job.put_blob(&jpeg)?, t_ms }), sound: None }
        }
        Part::Sound { wav, t0_ms, duration_ms } => {
            SplitFrame { frame: None, sound: Some(VideoSound { blob: job.put_blob(&wav)?, t0_ms, duration_ms }) }
        }
    })
}
