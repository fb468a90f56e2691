//! How does a model compute? Tensors in, tensors out.

use std::fmt;
use std::path::Path;

use ort::session::SessionInputValue;
use ort::value::{DynValue, TensorRef};

use crate::{Device, Error, Runtime, Stop};

/// Each session has threads of its own, and models that are small enough for actors of this kind gain nothing by more.
const MOST_THREADS: usize = 8;

/// A model that is open on a device. Runs one input at a time: jobs side by side take a session each.
#[derive(Debug)]
pub struct Session {
    session: ort::session::Session,
}

/// A tensor that goes into a model: its shape, and its numbers row by row.
#[derive(Clone, Copy)]
pub enum Input<'a> {
    /// 32-bit floats.
    Floats(&'a [usize], &'a [f32]),
    /// 64-bit integers.
    Integers(&'a [usize], &'a [i64]),
}

impl Runtime {
    /// Opens a model to compute on so many threads, at most 8. Threads that wait sleep, they do not spin, so
    /// that models beside it on the same cores are not held up.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing or no model, or the device does not take it.
    pub fn open(&self, path: &Path, device: &Device, threads: usize) -> Result<Session, Error> {
        let build = || {
            ort::session::Session::builder(&self.environment)?
                .with_execution_providers([device.provider()])?
                .with_intra_threads(threads.clamp(1, MOST_THREADS))?
                .with_intra_op_spinning(false)?
                .with_memory_pattern(false)?
                .commit_from_file(path)
        };
        let session = build().map_err(|error| Error::Model { path: path.to_owned(), reason: one_line(&error) })?;
        Ok(Session { session })
    }
}

impl Session {
    /// What the model's author wrote under this key, as labels and alphabets are.
    pub fn metadata(&self, key: &str) -> Option<String> {
        self.session.metadata().ok()?.custom(key)
    }

    /// Lengths of an input's axes, -1 for one that may be of any length; none if there is no such input.
    pub fn input_shape(&self, index: usize) -> Option<Vec<i64>> {
        let input = self.session.inputs().get(index)?;
        input.dtype().tensor_shape().map(|shape| shape.to_vec())
    }

    /// Computes. Inputs are in the model's order.
    ///
    /// # Errors
    /// [`Error::Stopped`] if `stop` was pulled, [`Error::Run`] if the inputs do not suit the model, or it fails.
    pub fn run(&mut self, inputs: &[Input<'_>], stop: &Stop) -> Result<Outputs, Error> {
        let failed = |error: ort::Error| if stop.is_pulled() { Error::Stopped } else { Error::Run(one_line(&error)) };
        let expected = self.session.inputs().len();
        if inputs.len() != expected {
            return Err(Error::Run(format!("{} inputs were given, {expected} are taken", inputs.len())));
        }
        let values: Result<Vec<SessionInputValue<'_>>, ort::Error> = inputs.iter().map(Input::value).collect();
        let values = values.map_err(failed)?;
        let outputs = self.session.run_with_options(values.as_slice(), stop.options()).map_err(failed)?;
        Ok(Outputs(outputs.into_iter().map(|(_, value)| value).collect()))
    }
}

impl Input<'_> {
    fn value(&self) -> Result<SessionInputValue<'_>, ort::Error> {
        match *self {
            Self::Floats(shape, data) => TensorRef::from_array_view((shape, data)).map(Into::into),
            Self::Integers(shape, data) => TensorRef::from_array_view((shape, data)).map(Into::into),
        }
    }
}

/// What came out of a model. Holds memory of the runtime until it is dropped.
pub struct Outputs(Vec<DynValue>);

impl Outputs {
    /// Shape and numbers of an output that has 32-bit floats, by its place in the model's order.
    ///
    /// # Errors
    /// [`Error::Run`] if there is no such output, or it holds something else.
    pub fn floats(&self, index: usize) -> Result<(&[i64], &[f32]), Error> {
        let missing = || Error::Run(format!("it has {} outputs, and number {index} is asked for", self.0.len()));
        let output = self.0.get(index).ok_or_else(missing)?;
        let (shape, data) = output.try_extract_tensor::<f32>().map_err(|error| Error::Run(one_line(&error)))?;
        Ok((shape, data))
    }
}

impl fmt::Debug for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outputs").field("len", &self.0.len()).finish()
    }
}

/// The first line: what follows are places in ONNX Runtime's source.
fn one_line(error: &ort::Error) -> String {
    error.message().lines().next().unwrap_or("no reason given").trim().to_owned()
}
