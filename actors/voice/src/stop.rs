//! Why does a work end without speech?

use megabrain_schemas::Fault;

/// Why a work ended without speech.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Somebody wants it to end: cancelled, past its deadline, caller gone.
    Interrupted,
    /// It failed.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Asks whether to end. Costs some nanoseconds.
pub(crate) type IsDue<'a> = &'a dyn Fn() -> bool;
