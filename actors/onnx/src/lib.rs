//! How do actors run ONNX models? With ONNX Runtime, a shared library that is found when the program runs.
//!
//! [`Runtime::load`] finds and loads it, once a process. [`Runtime::open`] opens a model on a [`Device`];
//! [`Session::run`] computes, and ends early when somebody pulls its [`Stop`]. This is the one crate that names `ort`.

mod device;
mod error;
mod library;
mod session;
mod stop;

#[cfg(test)]
mod tests;

pub use device::Device;
pub use error::Error;
pub use library::{LIBRARY_VARIABLE, Runtime};
pub use session::{Input, Outputs, Session};
pub use stop::Stop;
