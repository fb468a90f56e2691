//! What does whisper.cpp say for itself? Its messages, as ours.
#![allow(unsafe_code, reason = "whisper-rs passes every message on, and as what whisper.cpp takes it for")]

use std::ffi::{CStr, c_char, c_void};
use std::sync::Once;

use whisper_rs::whisper_rs_sys as whisper;

/// It takes it for an error that we end a transcription where all is heard ([`crate::abort`]).
const NO_ERROR: &str = "encoder_begin_callback returned false";

/// Leads messages of whisper.cpp and ggml into `tracing`.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        whisper_rs::install_logging_hooks();
        // SAFETY: `tell` may be called from any thread at any time, and needs no data.
        unsafe { whisper_rs::set_log_callback(Some(tell), std::ptr::null_mut()) };
    });
}

/// # Safety
/// `text` is null or a string of C's.
unsafe extern "C" fn tell(level: whisper::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let text = text.trim();
    match level {
        _ if text.contains(NO_ERROR) => {}
        whisper::ggml_log_level_GGML_LOG_LEVEL_ERROR => tracing::error!("{text}"),
        whisper::ggml_log_level_GGML_LOG_LEVEL_WARN => tracing::warn!("{text}"),
        whisper::ggml_log_level_GGML_LOG_LEVEL_INFO => tracing::info!("{text}"),
        _ => tracing::debug!("{text}"),
    }
}
