//! How does a run end before it is done?

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ort::session::RunOptions;

use crate::{Error, Runtime};

/// Ends runs from another thread: the one that computes, between two of its operators, and every later one. Cheap to
/// clone; the clones are one.
#[derive(Clone)]
pub struct Stop(Arc<Inner>);

struct Inner {
    options: RunOptions,
    is_pulled: AtomicBool,
}

impl Stop {
    /// One that nobody has pulled.
    ///
    /// # Errors
    /// ONNX Runtime has no memory for it.
    pub fn new(_runtime: &Runtime) -> Result<Self, Error> {
        let made = || {
            let mut options = RunOptions::new()?;
            // Else one large picture would keep its memory for good.
            options.set("memory.enable_memory_arena_shrinkage", "cpu:0")?;
            Ok(options)
        };
        let options = made().map_err(|error: ort::Error| Error::Run(error.to_string()))?;
        Ok(Self(Arc::new(Inner { options, is_pulled: AtomicBool::new(false) })))
    }

    /// Ends the runs. Does not wait for that.
    pub fn pull(&self) {
        self.0.is_pulled.store(true, Ordering::Release);
        // Fails only without memory for the flag, which was taken when it was made.
        let _ = self.0.options.terminate();
    }

    /// True once somebody pulled it.
    pub fn is_pulled(&self) -> bool {
        self.0.is_pulled.load(Ordering::Acquire)
    }

    pub(crate) fn options(&self) -> &RunOptions {
        &self.0.options
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("is_pulled", &self.is_pulled()).finish()
    }
}
