//! Who looks at pictures while the model answers others? A thread with the projector.
//!
//! To fetch, decode and look at a picture may take seconds, and cannot be cut short within one picture. So it is not
//! done between the steps of the conversations, but beside them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use megabrain_runtime::{Job, LoadError};
use megabrain_schemas::{ChatRequest, Fault, Media};

use crate::piece::Piece;
use crate::projector::{Picture, Projector};
use crate::showing::Showing;

/// Who asks for a look.
#[derive(Debug)]
pub(crate) enum Asker {
    /// A conversation with pictures in it.
    Chat(Job, Box<ChatRequest>),
    /// Pictures to be described.
    See(Box<Showing>),
}

impl Asker {
    /// The job.
    pub(crate) fn job(&self) -> &Job {
        match self {
            Self::Chat(job, _) => job,
            Self::See(showing) => showing.job(),
        }
    }

    /// Ends the job.
    pub(crate) fn fail(self, fault: Fault) {
        match self {
            Self::Chat(job, _) => job.fail(fault),
            Self::See(showing) => showing.fail(fault),
        }
    }
}

/// A prompt with pictures.
#[derive(Debug)]
pub(crate) struct Errand {
    /// For whom.
    pub(crate) asker: Asker,
    /// The prompt, with a marker for each picture.
    pub(crate) text: String,
    /// True if what begins every document is to be put before it.
    pub(crate) begins_document: bool,
    /// The pictures, and what the request calls them.
    pub(crate) pictures: Vec<(String, Media)>,
}

/// What came of an errand.
#[derive(Debug)]
pub(crate) struct Looked {
    /// For whom.
    pub(crate) asker: Asker,
    /// The prompt as the model reads it.
    pub(crate) result: Result<Sight, Fault>,
}

/// A prompt with pictures, ready to be read.
#[derive(Debug)]
pub(crate) struct Sight {
    /// What the model reads.
    pub(crate) pieces: Vec<Piece>,
    /// Width and height of every picture, in pixels.
    pub(crate) sizes: Vec<(u32, u32)>,
}

/// The thread, seen from the engine.
#[derive(Debug)]
pub(crate) struct Looker {
    marker: String,
    errands: Option<Sender<Errand>>,
    looked: Receiver<Looked>,
    thread: Option<JoinHandle<()>>,
}

impl Looker {
    /// Starts the thread. It calls `wake` whenever it has looked.
    ///
    /// # Errors
    /// The system has no thread left.
    pub(crate) fn start(
        mut projector: Projector,
        max_pixels: u64,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, LoadError> {
        let marker = projector.marker().to_owned();
        let (errands, inbox) = channel::<Errand>();
        let (outbox, looked) = channel();
        let work = move || {
            for Errand { asker, text, begins_document, pictures } in inbox {
                let result = look(&mut projector, asker.job(), &text, begins_document, &pictures, max_pixels);
                if outbox.send(Looked { asker, result }).is_err() {
                    return;
                }
                wake();
            }
        };
        let thread = thread::Builder::new().name("looker".into()).spawn(work);
        let thread = thread.map_err(|error| LoadError::Engine(format!("cannot start a thread: {error}")))?;
        Ok(Self { marker, errands: Some(errands), looked, thread: Some(thread) })
    }

    /// What stands in a prompt for a picture.
    pub(crate) fn marker(&self) -> &str {
        &self.marker
    }

    /// Sends somebody's pictures to be looked at. As many wait as there are slots, for nobody else has work.
    pub(crate) fn send(&self, errand: Errand) {
        // Were the thread gone, the job would be dropped, which answers `worker_lost`.
        if let Some(errands) = &self.errands {
            let _ = errands.send(errand);
        }
    }

    /// What was looked at since the last call.
    pub(crate) fn take(&self) -> Vec<Looked> {
        self.looked.try_iter().collect()
    }
}

impl Drop for Looker {
    /// Waits for the picture that is being looked at.
    fn drop(&mut self) {
        self.errands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(
    projector: &mut Projector,
    job: &Job,
    text: &str,
    begins_document: bool,
    pictures: &[(String, Media)],
    max_pixels: u64,
) -> Result<Sight, Fault> {
    let go_on = || job.interruption().map_or(Ok(()), Err);
    let mut decoded = Vec::with_capacity(pictures.len());
    for (what, media) in pictures {
        go_on()?;
        let bytes = job.media(media, what)?;
        let picture = megabrain_picture::decode(&bytes, max_pixels, what)?;
        let (width, height) = picture.dimensions();
        decoded.push(Picture { width, height, rgb: picture.into_raw() });
    }
    let pieces = projector.read(text, begins_document, &decoded, go_on)?;
    Ok(Sight { pieces, sizes: decoded.iter().map(|picture| (picture.width, picture.height)).collect() })
}
