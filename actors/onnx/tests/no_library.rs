//! What is said where there is no ONNX Runtime? In a process of its own, since a library that is loaded stays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use megabrain_onnx::{LIBRARY_VARIABLE, Runtime};

#[test]
fn a_missing_library_says_what_was_tried_and_what_to_do() {
    // The system may have one; then there is nothing to say.
    let folder = tempfile::TempDir::new().unwrap();
    let broken = folder.path().join("libonnxruntime.so.1.0.0");
    std::fs::write(&broken, "no library").unwrap();
    let Err(error) = Runtime::load(&folder.path().join("m.onnx")) else { return };
    let message = error.to_string();
    for word in [broken.to_str().unwrap(), "megabrain pull onnxruntime", LIBRARY_VARIABLE] {
        assert!(message.contains(word), "`{word}` is not in `{message}`");
    }
}
