//! Who looks at pictures while the model answers others? A thread with the projector.
//!
//! To fetch, decode and look at a picture may take seconds. So it is not done between the steps of the conversations, but
//! beside them.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use megabrain_runtime::{Job, LoadError, spawn_worker};
use megabrain_schemas::{ChatRequest, Fault, FaultKind, Media};

use crate::line::Line;
use crate::piece::Piece;
use crate::plan::Plan;
use crate::projector::{Picture, Projector, Room, Unread};
use crate::showing::Showing;

/// The sides of a picture, the longer by the shorter. Of one beyond this, nothing is left once it is scaled, and some
/// projectors cannot scale it.
const MOST_STRETCHED: u32 = 200;

/// Who asks for a look.
#[derive(Debug)]
pub(crate) enum Asker {
    /// A conversation with pictures in it, and what it makes of the model.
    Chat(Box<Job>, Box<(ChatRequest, Plan)>),
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

    /// Who is too long, if this is.
    fn subject(&self) -> &'static str {
        match self {
            Self::Chat(..) => "`messages` have",
            Self::See(_) => "the picture and `prompt` have",
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

/// What a prompt with pictures may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Width times height, of all its pictures together.
    pub(crate) pixels: u64,
    /// Tokens.
    pub(crate) room: Room,
}

/// The thread, seen from the engine.
#[derive(Debug)]
pub(crate) struct Looker {
    marker: String,
    line: Arc<Line<Errand>>,
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
        bounds: Bounds,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, LoadError> {
        let marker = projector.marker().to_owned();
        let line: Arc<Line<Errand>> = Arc::new(Line::new());
        let (outbox, looked) = channel();
        let inbox = line.clone();
        let work = move || {
            while let Some(errand) = inbox.next() {
                let result = look(&mut projector, &errand, bounds);
                if outbox.send(Looked { asker: errand.asker, result }).is_err() {
                    return;
                }
                wake();
            }
        };
        let thread = spawn_worker("looker".to_owned(), work)?;
        Ok(Self { marker, line, looked, thread: Some(thread) })
    }

    /// What stands in a prompt for a picture.
    pub(crate) fn marker(&self) -> &str {
        &self.marker
    }

    /// Sends somebody's pictures to be looked at. As many wait as there are slots, for nobody else has work.
    pub(crate) fn send(&self, errand: Errand) {
        self.line.put(errand);
    }

    /// Answers those who wait and are interrupted: nobody looks for them any more.
    pub(crate) fn end_interrupted(&self) {
        for Errand { asker, .. } in self.line.take_out(|errand| errand.asker.job().interruption().is_some()) {
            if let Some(fault) = asker.job().interruption() {
                asker.fail(fault);
            }
        }
    }

    /// What was looked at since the last call.
    pub(crate) fn take(&self) -> Vec<Looked> {
        self.looked.try_iter().collect()
    }
}

impl Drop for Looker {
    /// Waits for what is being looked at; what waits is dropped.
    fn drop(&mut self) {
        self.line.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(projector: &mut Projector, errand: &Errand, bounds: Bounds) -> Result<Sight, Fault> {
    let Errand { asker, text, begins_document, pictures } = errand;
    let job = asker.job();
    let mut decoded = Vec::with_capacity(pictures.len());
    let mut pixels = bounds.pixels;
    for (what, media) in pictures {
        job.interruption().map_or(Ok(()), Err)?;
        let picture = decode(&job.media(media, what)?, pixels, bounds.pixels, what)?;
        pixels = pixels.saturating_sub(u64::from(picture.width) * u64::from(picture.height));
        decoded.push(picture);
    }
    let interrupt = job.interrupt_handle();
    let read = projector.read(text, *begins_document, &decoded, bounds.room, move || interrupt.is_due());
    let pieces = read.map_err(|unread| match unread {
        Unread::Ended => job.interruption().unwrap_or_else(|| Fault::new(FaultKind::Cancelled, "it was to end")),
        Unread::TooLong(tokens) => Fault::invalid(format!(
            "{} {tokens} tokens, the model's context has {}",
            asker.subject(),
            bounds.room.prompt
        )),
        Unread::Failed(fault) => fault,
    })?;
    Ok(Sight { pieces, sizes: decoded.iter().map(|picture| (picture.width, picture.height)).collect() })
}

/// Decodes a picture of up to `pixels`, which are left of `most` for all.
fn decode(bytes: &[u8], pixels: u64, most: u64, what: &str) -> Result<Picture, Fault> {
    let picture = megabrain_picture::decode(bytes, pixels, what).map_err(|fault| match fault.kind {
        FaultKind::TooLarge if pixels < most => {
            let message = format!("{}; {most} pixels in all, less those of the pictures before it", fault.message);
            Fault { message, ..fault }
        }
        _ => fault,
    })?;
    let (width, height) = picture.dimensions();
    if width.max(height) / width.min(height).max(1) > MOST_STRETCHED {
        return Err(Fault::invalid(format!(
            "{what} has {width} × {height} pixels: no side is more than {MOST_STRETCHED} times the other"
        )));
    }
    Ok(Picture { width, height, rgb: picture.into_raw() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A black picture.
    fn bmp(width: u32, height: u32) -> Vec<u8> {
        let row = (width * 3).next_multiple_of(4);
        let mut bytes = b"BM".to_vec();
        for number in [54 + row * height, 0, 54, 40, width, height, 1 | 24 << 16, 0, row * height, 2835, 2835, 0, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.resize(54 + (row * height) as usize, 0);
        bytes
    }

    #[test]
    fn pictures_share_their_pixels_and_are_no_stripes() {
        assert_eq!(decode(&bmp(20, 10), 200, 200, "it").unwrap().rgb.len(), 600);
        let alone = decode(&bmp(20, 11), 200, 200, "it").unwrap_err();
        assert!(alone.kind == FaultKind::TooLarge && !alone.message.contains("before it"), "{alone}");
        let after = decode(&bmp(20, 10), 199, 400, "it").unwrap_err();
        assert!(after.kind == FaultKind::TooLarge && after.message.contains("400 pixels in all"), "{after}");
        assert!(decode(&bmp(1600, 8), 1_000_000, 1_000_000, "it").is_ok());
        let stripe = decode(&bmp(8, 1608), 1_000_000, 1_000_000, "it").unwrap_err();
        assert!(stripe.kind == FaultKind::InvalidRequest && stripe.message.contains("8 × 1608"), "{stripe}");
    }
}
