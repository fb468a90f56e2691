//! How does a transcription end within milliseconds of a cancel?
//!
//! whisper.cpp 1.8 asks its abort callback only after a graph was computed: after the whole encoder, which takes a
//! second on a small machine and many with a large model, and after each token. ggml's CPU backend would ask after
//! every node of a graph, but whisper.cpp does not hand it the callback. So, on Linux, the linker leads whisper.cpp's
//! calls of `ggml_backend_sched_graph_compute` to this file (`--wrap`, see `build.rs`), which hands it over.
//! Elsewhere, and for the part of a graph that a card computes, the bound is one graph.
#![allow(unsafe_code, reason = "whisper-rs' safe abort callback calls its closure as another type than it boxed")]

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use megabrain_schemas::Fault;
use whisper_rs::{FullParams, WhisperState};

/// Why a transcription ended without a text.
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

/// Asks whether to end. Called some thousand times a second.
pub(crate) type IsDue<'a> = &'a dyn Fn() -> bool;

thread_local! {
    /// Points to the [`IsDue`] of the transcription that runs on this thread, or is null.
    static ASKED: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

/// Runs the model over `samples`, and ends soon after `is_due` says so.
///
/// An interrupted state can be used again.
pub(crate) fn full(
    state: &mut WhisperState,
    mut params: FullParams<'_, '_>,
    samples: &[f32],
    is_due: IsDue<'_>,
) -> Result<(), Stop> {
    let asked = (&raw const is_due).cast_mut().cast::<c_void>();
    // SAFETY: `ask` takes `asked` for the `IsDue` that it is. It lives until this function returns, the callback is
    // called only during `full` and only on this thread (ggml asks on the thread that computes the graph).
    unsafe {
        params.set_abort_callback(Some(ask));
        params.set_abort_callback_user_data(asked);
    }
    ASKED.set(asked);
    let outcome = state.full(params, samples);
    ASKED.set(ptr::null_mut());
    if is_due() {
        return Err(Stop::Interrupted);
    }
    outcome.map_err(|error| Fault::engine(format!("whisper failed: {error}")).into())
}

/// The callback, as C calls it.
///
/// # Safety
/// `asked` points to a live [`IsDue`].
unsafe extern "C" fn ask(asked: *mut c_void) -> bool {
    // SAFETY: the caller's promise.
    let is_due = unsafe { *asked.cast::<IsDue<'_>>() };
    is_due()
}

#[cfg(target_os = "linux")]
mod wrapped {
    use std::ffi::c_void;
    use std::ptr;

    use whisper_rs::WhisperAbortCallback;
    use whisper_rs::whisper_rs_sys as ggml;

    use super::{ASKED, ask};

    unsafe extern "C" {
        /// ggml's own function, by the name that the linker gives it.
        fn __real_ggml_backend_sched_graph_compute(
            scheduler: ggml::ggml_backend_sched_t,
            graph: *mut ggml::ggml_cgraph,
        ) -> ggml::ggml_status;
    }

    /// Computes a graph; while it does, ggml's CPU backend asks after every node whether to end.
    ///
    /// # Safety
    /// That of `ggml_backend_sched_graph_compute`.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn __wrap_ggml_backend_sched_graph_compute(
        scheduler: ggml::ggml_backend_sched_t,
        graph: *mut ggml::ggml_cgraph,
    ) -> ggml::ggml_status {
        let asked = ASKED.get();
        // SAFETY: the caller's scheduler is alive. `asked` is null or alive while the thread is in `full`, which
        // called this; the backend forgets it before this returns.
        unsafe {
            if !asked.is_null() {
                set_callback(scheduler, Some(ask), asked);
            }
            let status = __real_ggml_backend_sched_graph_compute(scheduler, graph);
            set_callback(scheduler, None, ptr::null_mut());
            status
        }
    }

    /// # Safety
    /// `scheduler` is alive; `asked` stays alive until the callback is set again.
    unsafe fn set_callback(scheduler: ggml::ggml_backend_sched_t, callback: WhisperAbortCallback, asked: *mut c_void) {
        // SAFETY: the caller's promise; every index is below the count, and the function is for CPU backends.
        unsafe {
            for index in 0..ggml::ggml_backend_sched_get_n_backends(scheduler) {
                let backend = ggml::ggml_backend_sched_get_backend(scheduler, index);
                if ggml::ggml_backend_is_cpu(backend) {
                    ggml::ggml_backend_cpu_set_abort_callback(backend, callback, asked);
                }
            }
        }
    }
}
