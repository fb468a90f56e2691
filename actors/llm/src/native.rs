//! What does llama.cpp say while it works, and what of it matters?
//!
//! llama.cpp tells its reasons and sizes only in its log. So the log is sent to `tracing`, and two things in it are kept:
//! the last complaints, for the message of a failed load, and the sizes of the buffers that it has made.

#![allow(unsafe_code, reason = "llama.cpp calls back with C strings")]

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, MutexGuard, PoisonError};

use llama_cpp_sys_2 as sys;

/// Complaints that are kept, the latest ones.
const COMPLAINTS: usize = 3;

static HEARD: Mutex<Heard> = Mutex::new(Heard { complaints: Vec::new(), buffers: Vec::new(), cache_bytes: 0 });

/// What was kept of the log since [`forget`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    /// The last errors, oldest first.
    pub(crate) complaints: Vec<String>,
    /// Every buffer that was made.
    pub(crate) buffers: Vec<Buffer>,
    /// Size of the whole KV cache, wherever it lives.
    pub(crate) cache_bytes: u64,
}

/// Memory that llama.cpp took.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Buffer {
    /// ggml's name of the place: `CPU_Mapped`, `CUDA0`, `Vulkan_Host`.
    pub(crate) place: String,
    /// What it is for: `model`, `KV`, `compute` …
    pub(crate) purpose: String,
    /// Its size.
    pub(crate) bytes: u64,
}

/// Sends llama.cpp's log to `tracing` from now on: its notes at `debug`, the rest at its own level.
pub(crate) fn listen() {
    // SAFETY: `receive` lives as long as the program, and takes no user data.
    unsafe {
        sys::llama_log_set(Some(receive), std::ptr::null_mut());
        sys::ggml_log_set(Some(receive), std::ptr::null_mut());
        sys::mtmd_log_set(Some(receive), std::ptr::null_mut());
    }
}

/// Forgets what was kept.
pub(crate) fn forget() {
    *heard_so_far() = Heard::default();
}

/// What was kept since [`forget`].
pub(crate) fn heard() -> Heard {
    heard_so_far().clone()
}

/// Why llama.cpp refused, in its own words.
pub(crate) fn complaint() -> String {
    let complaints = heard_so_far().complaints.join("; ");
    if complaints.is_empty() { "llama.cpp gives no reason".to_owned() } else { complaints }
}

fn heard_so_far() -> MutexGuard<'static, Heard> {
    HEARD.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn receive(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: not null, and llama.cpp ends its lines with a zero; the text is not kept beyond this call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let line = text.trim();
    if line.is_empty() || line.chars().all(|character| character == '.') {
        return;
    }
    match level {
        sys::GGML_LOG_LEVEL_ERROR => tracing::error!(target: "llama_cpp", "{line}"),
        sys::GGML_LOG_LEVEL_WARN => tracing::warn!(target: "llama_cpp", "{line}"),
        sys::GGML_LOG_LEVEL_INFO => tracing::debug!(target: "llama_cpp", "{line}"),
        _ => tracing::trace!(target: "llama_cpp", "{line}"),
    }
    heard_so_far().keep(level, line);
}

impl Heard {
    fn keep(&mut self, level: sys::ggml_log_level, line: &str) {
        if level == sys::GGML_LOG_LEVEL_ERROR {
            if self.complaints.len() == COMPLAINTS {
                self.complaints.remove(0);
            }
            self.complaints.push(without_function(line).to_owned());
        }
        if level == sys::GGML_LOG_LEVEL_INFO {
            self.buffers.extend(buffer(line));
            self.cache_bytes += cache_bytes(line).unwrap_or(0);
        }
    }
}

/// `llama_model_load: error loading model: …` without the name of the C++ function.
fn without_function(line: &str) -> &str {
    match line.split_once(": ") {
        Some((function, rest)) if !function.contains(' ') => rest,
        _ => line,
    }
}

/// Reads `load_tensors:   CPU_Mapped model buffer size =    93.28 MiB`.
fn buffer(line: &str) -> Option<Buffer> {
    let (what, size) = without_function(line).split_once(" buffer size = ")?;
    let (place, purpose) = what.trim().split_once(char::is_whitespace)?;
    Some(Buffer { place: place.to_owned(), purpose: purpose.trim().to_owned(), bytes: mebibytes(size)? })
}

/// Reads `llama_kv_cache: size =   90.00 MiB ( …`.
fn cache_bytes(line: &str) -> Option<u64> {
    let (function, rest) = line.split_once(": size = ")?;
    function.contains("cache").then(|| mebibytes(rest)).flatten()
}

fn mebibytes(text: &str) -> Option<u64> {
    let number: f64 = text.trim().split_once(" MiB")?.0.trim().parse().ok()?;
    Some((number * 1024.0 * 1024.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_of_buffers_are_understood() {
        let line = "load_tensors:   CPU_Mapped model buffer size =    93.50 MiB";
        let model = Buffer { place: "CPU_Mapped".into(), purpose: "model".into(), bytes: 98_041_856 };
        assert_eq!(buffer(line), Some(model));
        let line = "llama_kv_cache:        CPU KV buffer size =   1.00 MiB";
        assert_eq!(buffer(line).map(|buffer| buffer.purpose), Some("KV".to_owned()));
        assert_eq!(buffer("llama_context: n_ctx = 512"), None);
        assert_eq!(cache_bytes("llama_kv_cache: size =    2.00 MiB (   512 cells"), Some(2 * 1024 * 1024));
    }

    #[test]
    fn only_the_last_complaints_are_kept_without_their_functions() {
        let mut heard = Heard::default();
        for number in 0..5 {
            heard.keep(sys::GGML_LOG_LEVEL_ERROR, &format!("llama_model_load: error {number}"));
        }
        assert_eq!(heard.complaints, ["error 2", "error 3", "error 4"]);
    }
}
