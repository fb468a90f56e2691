//! How does a transcription end within milliseconds of a cancel?
//!
//! whisper.cpp 1.8 asks its abort callback only after a graph was computed: after the whole encoder, which takes a
//! second on a small machine and many with a large model, and after each token. ggml's CPU backend would ask after
//! every node of a graph, but whisper.cpp does not hand it the callback. So, on Linux, the linker leads whisper.cpp's
//! calls of `ggml_backend_sched_graph_compute` to this file (`--wrap`, see `build.rs`), which hands it over.
//! Elsewhere, and for the part of a graph that a card computes, the bound is one graph.
//!
//! The same way every graph is computed on as many threads as there are for it by then: whisper.cpp knows only those that
//! there were at the start of thirty seconds of sound.
#![allow(unsafe_code, reason = "whisper-rs' safe abort callback calls its closure as another type than it boxed")]

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;

use megabrain_schemas::Fault;
use whisper_rs::{FullParams, WhisperState, whisper_rs_sys as whisper};

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

/// What is asked while the model computes.
#[derive(Clone, Copy)]
pub(crate) struct Overseer<'a> {
    /// Whether to end.
    pub(crate) is_due: IsDue<'a>,
    /// On how many threads to compute; asked before each graph, which are some hundred a second.
    pub(crate) threads: &'a dyn Fn() -> usize,
    /// Whether to end with the first segments. whisper.cpp goes on where the last one ended, and a second of silence after
    /// that takes it as long as thirty of speech.
    pub(crate) is_one_window: bool,
}

thread_local! {
    /// Points to the [`Overseer`] of the transcription that runs on this thread, or is null.
    static ASKED: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

/// Runs the model over `samples`, and ends soon after the overseer says so.
///
/// An interrupted state can be used again.
pub(crate) fn full(
    state: &mut WhisperState,
    mut params: FullParams<'_, '_>,
    samples: &[f32],
    overseer: &Overseer<'_>,
) -> Result<(), Stop> {
    params.set_n_threads(threads(overseer));
    let asked = ptr::from_ref(overseer).cast_mut().cast::<c_void>();
    // SAFETY: both callbacks take `asked` for the `Overseer` that it is. It lives until this function returns, they are
    // called only during `full` and only on this thread (ggml asks on the thread that computes the graph).
    unsafe {
        params.set_abort_callback(Some(ask));
        params.set_abort_callback_user_data(asked);
        params.set_start_encoder_callback(Some(begins));
        params.set_start_encoder_callback_user_data(asked);
    }
    ASKED.set(asked);
    let outcome = state.full(params, samples);
    ASKED.set(ptr::null_mut());
    if (overseer.is_due)() {
        return Err(Stop::Interrupted);
    }
    outcome.map_err(|error| Fault::engine(format!("whisper failed: {error}")).into())
}

/// The callback, as C calls it.
///
/// # Safety
/// `asked` points to a live [`Overseer`].
unsafe extern "C" fn ask(asked: *mut c_void) -> bool {
    // SAFETY: the caller's promise.
    let overseer = unsafe { *asked.cast::<Overseer<'_>>() };
    (overseer.is_due)()
}

/// Whether the next window begins.
///
/// # Safety
/// `state` is alive, and `asked` points to a live [`Overseer`].
unsafe extern "C" fn begins(
    _: *mut whisper::whisper_context,
    state: *mut whisper::whisper_state,
    asked: *mut c_void,
) -> bool {
    // SAFETY: the caller's promise.
    let (overseer, segments) =
        unsafe { (*asked.cast::<Overseer<'_>>(), whisper::whisper_full_n_segments_from_state(state)) };
    !overseer.is_one_window || segments == 0
}

/// As C counts them.
fn threads(overseer: &Overseer<'_>) -> i32 {
    i32::try_from((overseer.threads)()).unwrap_or(i32::MAX)
}

#[cfg(target_os = "linux")]
mod wrapped {
    use std::ffi::c_void;
    use std::ptr;

    use whisper_rs::WhisperAbortCallback;
    use whisper_rs::whisper_rs_sys as ggml;

    use super::{ASKED, Overseer, ask, threads};

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
            let overseer = asked.cast::<Overseer<'_>>().as_ref();
            if let Some(overseer) = overseer {
                set_callback(scheduler, Some(ask), asked);
                set_threads(scheduler, threads(overseer));
            }
            let status = __real_ggml_backend_sched_graph_compute(scheduler, graph);
            set_callback(scheduler, None, ptr::null_mut());
            status
        }
    }

    /// # Safety
    /// `scheduler` is alive; `asked` stays alive until the callback is set again.
    unsafe fn set_callback(scheduler: ggml::ggml_backend_sched_t, callback: WhisperAbortCallback, asked: *mut c_void) {
        // SAFETY: the caller's promise; the function is for CPU backends.
        unsafe { each_cpu(scheduler, |cpu| ggml::ggml_backend_cpu_set_abort_callback(cpu, callback, asked)) }
    }

    /// # Safety
    /// `scheduler` is alive.
    unsafe fn set_threads(scheduler: ggml::ggml_backend_sched_t, threads: i32) {
        // SAFETY: the caller's promise; the function is for CPU backends.
        unsafe { each_cpu(scheduler, |cpu| ggml::ggml_backend_cpu_set_n_threads(cpu, threads)) }
    }

    /// # Safety
    /// `scheduler` is alive.
    unsafe fn each_cpu(scheduler: ggml::ggml_backend_sched_t, act: impl Fn(ggml::ggml_backend_t)) {
        // SAFETY: the caller's promise; every index is below the count.
        unsafe {
            for index in 0..ggml::ggml_backend_sched_get_n_backends(scheduler) {
                let backend = ggml::ggml_backend_sched_get_backend(scheduler, index);
                if ggml::ggml_backend_is_cpu(backend) {
                    act(backend);
                }
            }
        }
    }
}
