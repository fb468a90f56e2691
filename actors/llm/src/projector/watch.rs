//! How does a look at a picture end before its time?
//!
//! To make rows of a large picture takes a processor seconds, and libmtmd has no call to end it. But it shows whoever
//! wants to see them the results of single operations, and goes no further where that one does not want it to.

use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llama_cpp_sys_2 as sys;

/// So many operations are computed between two questions whether to go on: some hundredths of a picture.
const OPERATIONS: usize = 8;

/// Watches the looks of one projector, one at a time.
#[derive(Debug)]
pub(super) struct Watch(Mutex<Look>);

struct Look {
    is_due: Box<dyn Fn() -> bool + Send>,
    /// Since it was last asked.
    operations: usize,
    is_over: bool,
}

impl Watch {
    /// Shared, since libmtmd keeps its address.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Look { is_due: Box::new(|| false), operations: 0, is_over: false })))
    }

    /// What libmtmd calls, and with what: the watch, which must live as long as it.
    pub(super) fn callback(&self) -> (sys::ggml_backend_sched_eval_callback, *mut c_void) {
        (Some(between_operations), std::ptr::from_ref(self).cast_mut().cast())
    }

    /// From now on, asks whether it is time to end the look.
    pub(super) fn begin(&self, is_due: impl Fn() -> bool + Send + 'static) {
        *self.look() = Look { is_due: Box::new(is_due), operations: 0, is_over: false };
    }

    /// Asks now. True from the moment on at which it was; what was computed since then is worth nothing.
    pub(super) fn is_over(&self) -> bool {
        let mut look = self.look();
        look.is_over = look.is_over || (look.is_due)();
        look.is_over
    }

    /// True if the result of the next operation is to be seen, which is when it can be ended.
    fn wants_next(&self) -> bool {
        let mut look = self.look();
        look.operations += 1;
        let is_wanted = look.is_over || look.operations >= OPERATIONS;
        if is_wanted {
            look.operations = 0;
        }
        is_wanted
    }

    fn look(&self) -> MutexGuard<'_, Look> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Look").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// Is called twice: to ask whether the result of an operation is wanted, and with it, to ask whether to go on.
unsafe extern "C" fn between_operations(_: *mut sys::ggml_tensor, asks: bool, watch: *mut c_void) -> bool {
    // SAFETY: it is what `callback` gave, which lives as long as the projector.
    let watch = unsafe { &*watch.cast::<Watch>().cast_const() };
    if asks { watch.wants_next() } else { !watch.is_over() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_look_goes_on_until_it_is_due_and_then_no_further() {
        let due = Arc::new(AtomicBool::new(false));
        let (watch, seen) = (Watch::new(), due.clone());
        watch.begin(move || seen.load(Ordering::Relaxed));
        let (callback, data) = watch.callback();
        // SAFETY: the watch lives.
        let call = |asks| unsafe { callback.unwrap()(std::ptr::null_mut(), asks, data) };
        let wanted = |count: usize| (0..count).filter(|_| call(true)).count();
        assert_eq!(wanted(OPERATIONS * 3), 3);
        assert!(call(false));
        due.store(true, Ordering::Relaxed);
        assert!(!call(false));
        assert_eq!(wanted(5), 5, "every result is seen, to end at the next");
        due.store(false, Ordering::Relaxed);
        assert!(watch.is_over(), "what was left out stays left out");
        watch.begin(|| false);
        assert!(!watch.is_over());
    }
}
