//! Promises of ONNX Runtime as actors see it, on the library of the cache folder and a model of two operators.

use std::path::{Path, PathBuf};

use megabrain_runtime::LoadError;
use tempfile::TempDir;

use crate::library::beside;
use crate::{Device, Error, Input, Runtime, Session, Stop};

/// `y = x * k`: x and y are floats of n rows with 2 columns, k is one integer; `labels` in its metadata are "one", "two".
/// ONNX's own format, opset 13, written by the Python package `onnx`.
const TIMES: &[u8] = b"\x08\x08\x12\x00:m\n\x17\n\x01k\x12\x01f\"\x04Cast*\t\n\x02to\x18\x01\xa0\x01\x02\n\x0e\n\x01x\n\x01f\
    \x12\x01y\"\x03Mul\x12\x05timesZ\x14\n\x01x\x12\x0f\n\r\x08\x01\x12\t\n\x03\x12\x01n\n\x02\x08\x02Z\x0f\n\x01k\x12\n\n\x08\
    \x08\x07\x12\x04\n\x02\x08\x01b\x14\n\x01y\x12\x0f\n\r\x08\x01\x12\t\n\x03\x12\x01n\n\x02\x08\x02B\x04\n\x00\x10\rr\x11\n\
    \x06labels\x12\x07one\ntwo";

/// The folder in which `megabrain pull` puts the library.
fn cache() -> PathBuf {
    let cache = std::env::var_os("MEGABRAIN_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
        std::env::var_os("XDG_CACHE_HOME").map_or(home.join(".cache"), PathBuf::from).join("megabrain")
    });
    cache.join("models")
}

fn runtime() -> Runtime {
    let runtime = Runtime::load(&cache().join("any.onnx"));
    runtime.unwrap_or_else(|error| panic!("{error}: `make pull` fetches it"))
}

fn write(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

fn times(folder: &TempDir) -> Session {
    let (runtime, path) = (runtime(), write(folder, "times.onnx", TIMES));
    runtime.open(&path, &Device::named("auto", &runtime).unwrap(), 2).unwrap()
}

#[test]
fn a_model_computes() {
    let folder = TempDir::new().unwrap();
    let (mut session, stop) = (times(&folder), Stop::new(&runtime()).unwrap());
    for rows in [1, 3] {
        let x: Vec<f32> = (0..rows * 2).map(|number| number as f32).collect();
        let inputs = [Input::Floats(&[rows, 2], &x), Input::Integers(&[1], &[3])];
        let outputs = session.run(&inputs, &stop).unwrap();
        let (shape, y) = outputs.floats(0).unwrap();
        assert_eq!(shape, [rows as i64, 2]);
        assert_eq!(y, x.iter().map(|number| number * 3.0).collect::<Vec<_>>());
        assert!(outputs.floats(1).unwrap_err().to_string().contains("1 outputs"));
    }
}

#[test]
fn a_model_tells_what_its_author_wrote_and_what_it_takes() {
    let folder = TempDir::new().unwrap();
    let session = times(&folder);
    assert_eq!(session.metadata("labels").as_deref(), Some("one\ntwo"));
    assert_eq!(session.metadata("character"), None);
    assert_eq!(session.input_shape(0), Some(vec![-1, 2]));
    assert_eq!(session.input_shape(2), None);
}

#[test]
fn inputs_that_do_not_suit_are_an_error_and_the_model_lives_on() {
    let folder = TempDir::new().unwrap();
    let (mut session, stop) = (times(&folder), Stop::new(&runtime()).unwrap());
    let k = Input::Integers(&[1], &[3]);
    for inputs in [
        vec![k],
        vec![Input::Floats(&[1, 3], &[1.0; 3]), k],
        vec![Input::Floats(&[4, 2], &[1.0; 3]), k],
        vec![Input::Integers(&[1, 2], &[1; 2]), k],
    ] {
        let outcome = session.run(&inputs, &stop);
        assert!(matches!(outcome, Err(Error::Run(_))), "{outcome:?}");
    }
    session.run(&[Input::Floats(&[1, 2], &[1.0; 2]), k], &stop).unwrap();
}

#[test]
fn a_stop_ends_runs_and_only_its_own() {
    let folder = TempDir::new().unwrap();
    let (mut session, runtime) = (times(&folder), runtime());
    let (stop, other) = (Stop::new(&runtime).unwrap(), Stop::new(&runtime).unwrap());
    let inputs = [Input::Floats(&[1, 2], &[1.0; 2]), Input::Integers(&[1], &[3])];
    stop.clone().pull();
    assert!(stop.is_pulled());
    assert!(matches!(session.run(&inputs, &stop), Err(Error::Stopped)));
    session.run(&inputs, &other).unwrap();
}

#[test]
fn what_is_no_model_is_refused_with_its_name() {
    let (folder, runtime) = (TempDir::new().unwrap(), runtime());
    let device = Device::named("ram", &runtime).unwrap();
    let half = TIMES.get(..TIMES.len() / 2).unwrap();
    for (name, content) in [("empty.onnx", &b""[..]), ("text.onnx", b"hello"), ("half.onnx", half)] {
        let error = runtime.open(&write(&folder, name, content), &device, 1).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(matches!(LoadError::from(error), LoadError::Weights(_)));
    }
    let error = runtime.open(Path::new("/nowhere/m.onnx"), &device, 1).unwrap_err();
    assert!(error.to_string().contains("/nowhere/m.onnx"), "{error}");
}

#[test]
fn a_device_that_is_not_there_is_refused_with_those_that_are() {
    let runtime = runtime();
    assert_eq!(Device::named("auto", &runtime).unwrap().to_string(), "ram");
    for name in ["tpu0", "cuda", "vulkan0", "cuda99999999999", ""] {
        let error = Device::named(name, &runtime).unwrap_err();
        assert!(error.to_string().contains("auto, ram"), "{error}");
        assert!(matches!(LoadError::from(error), LoadError::Config(_)));
    }
}

#[test]
fn a_library_is_found_beside_the_model_the_newest_first() {
    let folder = TempDir::new().unwrap();
    let model = write(&folder, "m.onnx", b"");
    assert!(beside(&model).is_empty());
    for name in
        ["libonnxruntime.so.1.31.0", "libonnxruntime.so.1.32.0", "libonnxruntime.so.1.32.0.ok", "libonnxruntime_x.so"]
    {
        write(&folder, name, b"");
    }
    let found = beside(&model);
    assert_eq!(found, ["libonnxruntime.so.1.32.0", "libonnxruntime.so.1.31.0"].map(|name| folder.path().join(name)));
}
