//! What can go wrong with an ONNX model, and what is that to an actor?

use std::path::PathBuf;

use megabrain_runtime::LoadError;
use megabrain_schemas::Fault;

/// Something went wrong with ONNX Runtime or a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The library was not found or is none; the message says what was tried.
    #[error("{0}")]
    Library(String),
    /// The device is not to be had; the message says which are.
    #[error("{0}")]
    Device(String),
    /// A file is missing or not the model that it should be.
    #[error("cannot open the model {}: {reason}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// Why, in a line.
        reason: String,
    },
    /// A run failed.
    #[error("the model failed: {0}")]
    Run(String),
    /// A run was ended by its [`crate::Stop`].
    #[error("stopped")]
    Stopped,
}

impl From<Error> for LoadError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Device(_) => Self::Config(message),
            Error::Model { .. } => Self::Weights(message),
            Error::Library(_) | Error::Run(_) | Error::Stopped => Self::Engine(message),
        }
    }
}

impl From<Error> for Fault {
    /// For a run. One that was stopped is better answered with the reason that the job gives.
    fn from(error: Error) -> Self {
        Self::engine(error.to_string())
    }
}
