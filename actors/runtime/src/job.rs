//! What does an engine get to work on, and how does it answer?

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use megabrain_bus::Responder;
use megabrain_schemas::{AttachmentRequest, BlobRef, Capability, Codec, Fault, FaultKind, Media, Name, Request};
use serde::Serialize;

use crate::Listening;
use crate::host::Host;
use crate::open::{Open, OpenWork};

/// One accepted request. It is answered exactly once: by [`Job::answer`], [`Job::fail`], or, if it is dropped, with
/// `worker_lost`. Afterwards its slot is free.
pub struct Job {
    pub(crate) capability: Capability,
    pub(crate) payload: Bytes,
    pub(crate) responder: Option<Responder>,
    pub(crate) open: Arc<OpenWork>,
    pub(crate) ledger: Arc<Open>,
    pub(crate) host: Host,
    pub(crate) started: Option<Instant>,
    pub(crate) span: Option<tracing::Span>,
}

impl Job {
    /// What is asked for.
    pub fn capability(&self) -> &Capability {
        &self.capability
    }

    /// The work's id.
    pub fn work(&self) -> &Name {
        &self.open.work
    }

    /// True if the caller lets others go first: it gave a priority below 0, as the router does for the parts of films.
    pub fn is_patient(&self) -> bool {
        self.open.is_patient()
    }

    /// Reads the request as an `R`.
    ///
    /// # Errors
    /// `invalid_request`, naming the field that is missing, ill-typed or out of its range.
    pub fn request<R: Request>(&self) -> Result<R, Fault> {
        let request: R = self.codec().decode(&self.payload)?;
        request.check()?;
        Ok(request)
    }

    /// Reads the request as an attachment that the router sent to a media type in [`crate::Profile::accepts`].
    ///
    /// Blocks as [`Job::media`] does.
    ///
    /// # Errors
    /// As [`Job::request`] and [`Job::media`].
    pub fn attachment(&self) -> Result<Attached, Fault> {
        let request: AttachmentRequest = self.codec().decode(&self.payload)?;
        request.check()?;
        let bytes = self.media(&request.attachment, "attachment")?;
        Ok(Attached { bytes, mime: request.attachment.mime, prompt: request.prompt })
    }

    /// The bytes of a piece of media: its inline data, or fetched from the blob store and checked against its name.
    ///
    /// Blocks while it fetches: not for a thread that other jobs wait for.
    ///
    /// # Errors
    /// `invalid_request` if the media names no source or two, `not_found` if the blob is gone, `unavailable` if the
    /// bus is away; what [`Job::interruption`] says, soon after it does.
    pub fn media(&self, media: &Media, what: &str) -> Result<Bytes, Fault> {
        media.check(what)?;
        match (&media.data, &media.blob) {
            (Some(data), _) => Ok(Bytes::copy_from_slice(&data.0)),
            (None, Some(blob)) => self.host.blob(blob, &self.open),
            (None, None) => Err(Fault::invalid(format!("{what} is empty"))),
        }
    }

    /// Media for an answer or a frame: inline while a message has room for it, else put into the blob store.
    ///
    /// Blocks while it stores: not for a thread that other jobs wait for.
    ///
    /// # Errors
    /// As [`Job::put_blob`].
    pub fn attach(&self, mime: &str, bytes: Vec<u8>) -> Result<Media, Fault> {
        if self.host.has_room(bytes.len()) {
            return Ok(Media::inline(mime, bytes));
        }
        let blob = self.put_blob(&bytes)?;
        Ok(Media::by_reference(Some(mime.to_owned()), blob))
    }

    /// Puts bytes that came of this job into the blob store, for frames or the answer to name.
    ///
    /// Blocks while it stores: not for a thread that other jobs wait for.
    ///
    /// # Errors
    /// `overloaded` if the bucket is full, `unavailable` if the bus is away; what [`Job::interruption`] says, soon after
    /// it does: what was stored by then stays to the end of its life.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<BlobRef, Fault> {
        self.host.put_blob(bytes, &self.open)
    }

    /// Hears what the caller publishes for this job while it runs, on [`megabrain_schemas::subject::live`] of its work.
    /// The server knows of it when this returns, so the caller may be told to begin.
    ///
    /// `heard` gets every message in order, on the thread that serves the whole process: it only puts it aside. There is
    /// no bound but the one it keeps.
    ///
    /// # Errors
    /// `unavailable` if the bus is away; what [`Job::interruption`] says, soon after it does.
    pub fn listen(&self, heard: impl FnMut(Bytes) + Send + 'static) -> Result<Listening, Fault> {
        self.host.listen(&self.open, heard)
    }

    /// Why this job should end now without an answer, if it should: cancelled, past its deadline, caller gone.
    ///
    /// Costs some nanoseconds: made for being asked at every step, from any thread.
    pub fn interruption(&self) -> Option<Fault> {
        self.open.interruption()
    }

    /// What [`Job::interruption`] looks at, to be kept by a callback that outlives a borrow of the job.
    pub fn interrupt_handle(&self) -> Interrupt {
        Interrupt(self.open.clone())
    }

    /// When the request arrived at this process.
    pub fn arrived(&self) -> Instant {
        self.open.arrived
    }

    /// How long the job waited for a slot.
    pub fn queued(&self) -> Duration {
        self.started.unwrap_or_else(Instant::now).duration_since(self.open.arrived)
    }

    /// The same in milliseconds, to the microsecond: as answers tell it.
    pub fn queued_ms(&self) -> f64 {
        self.queued().as_micros() as f64 / 1000.0
    }

    /// Sends one frame of a stream. `frame` must serialise as a map.
    ///
    /// Does not wait for anybody: a caller that does not read loses frames and is told so by the gap in their numbers.
    pub fn frame<T: Serialize>(&mut self, frame: &T) {
        let probe = self.ledger.probe_subject(&self.open);
        if let Some(responder) = &mut self.responder {
            responder.frame(frame, probe);
        }
    }

    /// Answers. `reply` must serialise as a map; the runtime adds `work` and `model`, and in a stream `seq` and `done`.
    pub fn answer<T: Serialize>(mut self, reply: &T) {
        if let Some(responder) = self.responder.take() {
            responder.answer(reply);
            self.ledger.finished(&self.open, None);
        }
    }

    /// Answers with a fault.
    pub fn fail(mut self, fault: Fault) {
        self.fail_once(fault);
    }

    fn fail_once(&mut self, fault: Fault) {
        if let Some(responder) = self.responder.take() {
            if let Some(span) = &self.span {
                span.record("fault", fault.kind.as_str());
            }
            responder.fail(&fault);
            self.ledger.finished(&self.open, Some(fault.kind));
        }
    }

    /// The largest answer that the bus takes now, in bytes.
    pub fn room(&self) -> usize {
        self.host.room()
    }

    /// What the caller writes in, and its answer is written in.
    pub fn codec(&self) -> Codec {
        self.responder.as_ref().map(Responder::codec).unwrap_or_default()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.fail_once(Fault::new(FaultKind::WorkerLost, "the engine dropped this work without an answer"));
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("work", &self.open.work)
            .field("capability", &self.capability)
            .finish_non_exhaustive()
    }
}

/// What somebody attached to a question.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its media type, where the caller told it.
    pub mime: Option<String>,
    /// The question that it came with.
    pub prompt: Option<String>,
}

/// Tells whether a job should end, without the job itself: for callbacks of native engines.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<OpenWork>);

impl Interrupt {
    /// As [`Job::interruption`], without building the fault.
    pub fn is_due(&self) -> bool {
        self.0.is_interrupted()
    }
}
