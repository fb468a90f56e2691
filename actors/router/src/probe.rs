//! How does the router learn that the reader of a stream is gone? Now and then a frame makes the server tell.

use std::time::{Duration, Instant};

use megabrain_schemas::Name;

/// A frame is sent with a probe this often.
const EVERY: Duration = Duration::from_millis(250);

/// The subject that the server reports the vanished caller of a work on.
pub(crate) struct Probe {
    subject: String,
    last: Instant,
}

impl Probe {
    /// One that is due after its time for the first time: the first frame is not probed with.
    pub(crate) fn new(prefix: &str, work: &Name) -> Self {
        Self { subject: format!("{prefix}.{work}"), last: Instant::now() }
    }

    /// The subject, if it is time to probe again.
    pub(crate) fn due(&mut self) -> Option<String> {
        if self.last.elapsed() < EVERY {
            return None;
        }
        self.last = Instant::now();
        Some(self.subject.clone())
    }
}
