//! The operations that libtorch runs, by name: how many a frame takes, and whether one of them makes the
//! host wait for the device.

use std::ffi::{CStr, c_char, c_ulong, c_void};

unsafe extern "C" {
    fn refvsr_trace_start(
        to: unsafe extern "C" fn(*mut c_void, *const c_char),
        context: *mut c_void,
    ) -> c_ulong;
    fn refvsr_trace_end(handle: c_ulong);
}

unsafe extern "C" fn note(context: *mut c_void, name: *const c_char) {
    // SAFETY: `context` is the vector that `operations` lends for as long as it traces, on this thread;
    // libtorch's names end with a zero.
    unsafe {
        let names = &mut *context.cast::<Vec<String>>();
        names.push(CStr::from_ptr(name).to_string_lossy().into_owned());
    }
}

/// Runs `work`, and tells the names of the operations it had libtorch run on this thread, in order: such
/// as `aten::convolution`, each with those that it is made of behind it.
pub fn operations<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    /// Ends the trace, also where `work` panics.
    struct End(c_ulong);
    impl Drop for End {
        fn drop(&mut self) {
            // SAFETY: the handle is of a trace that was started on this thread.
            unsafe { refvsr_trace_end(self.0) }
        }
    }
    let mut names: Vec<String> = vec![];
    let context = std::ptr::from_mut(&mut names).cast::<c_void>();
    let result = {
        // SAFETY: `names` outlives the trace, which `End` ends on every way out of this block.
        let _end = End(unsafe { refvsr_trace_start(note, context) });
        work()
    };
    (result, names)
}
