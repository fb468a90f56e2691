//! How does work on a picture end before it is done?

use megabrain_schemas::Fault;

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum End {
    /// Something is wrong with the picture or the model.
    Fault(Fault),
    /// Nobody waits for it any more, or its time is up.
    Interrupted,
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<megabrain_onnx::Error> for End {
    fn from(error: megabrain_onnx::Error) -> Self {
        match error {
            megabrain_onnx::Error::Stopped => Self::Interrupted,
            error => Self::Fault(error.into()),
        }
    }
}
