//! Which questions is this router working on? So that they can be bounded and cancelled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use megabrain_schemas::{Fault, FaultKind, Name};
use tokio_util::sync::CancellationToken;

/// The open questions, by work. Cheap to clone: a router that is started again goes on with the same.
#[derive(Clone)]
pub struct OpenAsks {
    limit: usize,
    open: Arc<Mutex<HashMap<Name, CancellationToken>>>,
}

/// A place among the open questions; dropping it gives it back.
pub(crate) struct OpenAsk {
    work: Name,
    asks: OpenAsks,
    pub(crate) cancelled: CancellationToken,
}

impl OpenAsks {
    /// None so far, and at most so many at the same time.
    pub fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// # Errors
    /// `overloaded` if the router is full, `invalid_request` if this work is open already.
    pub(crate) fn open(&self, work: &Name) -> Result<OpenAsk, Fault> {
        let mut open = self.lock();
        if open.len() >= self.limit {
            let message = format!("{} questions are being answered, and more are not taken", open.len());
            return Err(Fault::new(FaultKind::Overloaded, message).retry_after(250));
        }
        if open.contains_key(work) {
            return Err(Fault::invalid(format!("work {work} is open already: choose another id")));
        }
        let cancelled = CancellationToken::new();
        open.insert(work.clone(), cancelled.clone());
        Ok(OpenAsk { work: work.clone(), asks: self.clone(), cancelled })
    }

    pub(crate) fn cancel(&self, work: &str) {
        if let Some(token) = self.lock().get(work) {
            token.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenAsk {
    fn drop(&mut self) {
        self.asks.lock().remove(&self.work);
    }
}
