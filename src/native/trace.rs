//! The operations that libtorch runs, by name: how many a frame takes, and whether one of them makes the
//! host wait for the device.

use crate::{Error, Result};
use std::{
    cell::RefCell,
    ffi::{CStr, c_char, c_ulong, c_void},
};

unsafe extern "C" {
    fn refvsr_trace_start(
        to: unsafe extern "C" fn(*mut c_void, *const c_char),
        context: *mut c_void,
    ) -> c_ulong;
    fn refvsr_trace_end(handle: c_ulong);
}

thread_local! {
    /// What was run on this thread since its innermost trace began; none where nothing traces.
    static NAMES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

unsafe extern "C" fn note(_: *mut c_void, name: *const c_char) {
    // SAFETY: libtorch's names end with a zero.
    let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
    // A thread that ends may have no such list any more.
    _ = NAMES.try_with(|names| {
        if let Ok(mut names) = names.try_borrow_mut() {
            names
                .iter_mut()
                .for_each(|all| all.push(name.clone().into_owned()));
        }
    });
}

/// A trace of this thread. The outermost one has libtorch tell its operations.
struct Trace {
    outer: Option<Vec<String>>,
    /// libtorch's number for it, where it is the outermost.
    handle: Option<c_ulong>,
}

impl Trace {
    fn start() -> Result<Self> {
        let outer = NAMES.replace(Some(vec![]));
        let mut trace = Self {
            outer,
            handle: None,
        };
        if trace.outer.is_none() {
            // SAFETY: `note` may be called on this thread at any time.
            match unsafe { refvsr_trace_start(note, std::ptr::null_mut()) } {
                0 => return Err(Error::Broken("libtorch refused to be traced".into())),
                handle => trace.handle = Some(handle),
            }
        }
        Ok(trace)
    }

    /// The operations so far, which the trace about this one has seen as well.
    fn names(&mut self) -> Vec<String> {
        let names = NAMES.with_borrow_mut(|names| names.as_mut().map(std::mem::take));
        let names = names.unwrap_or_default();
        if let Some(outer) = &mut self.outer {
            outer.extend(names.iter().cloned());
        }
        names
    }
}

impl Drop for Trace {
    /// Also where the work panics.
    fn drop(&mut self) {
        self.names();
        NAMES.replace(self.outer.take());
        if let Some(handle) = self.handle {
            // SAFETY: the handle is of a trace that was started on this thread.
            unsafe { refvsr_trace_end(handle) }
        }
    }
}

/// Runs `work`, and tells the names of the operations it had libtorch run on this thread, in order: such
/// as `aten::convolution`, each with those that it is made of behind it. Traces may lie in one another.
///
/// # Errors
/// [`Error::Broken`] where libtorch refuses; nothing was run then.
pub fn operations<T>(work: impl FnOnce() -> T) -> Result<(T, Vec<String>)> {
    let mut trace = Trace::start()?;
    let result = work();
    Ok((result, trace.names()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::c_int;
    use tch::{Device, Kind, Tensor};

    unsafe extern "C" {
        fn refvsr_entry_throws() -> c_int;
    }

    #[test]
    fn a_trace_in_another_takes_nothing_from_it() {
        let x = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
        let count = |names: &[String], name: &str| names.iter().filter(|n| *n == name).count();
        let (inner, outer) = operations(|| {
            let _ = x.sin();
            let (_, inner) = operations(|| x.cos()).unwrap();
            let panics = std::panic::catch_unwind(|| {
                operations(|| {
                    let _ = Tensor::ones([2], (Kind::Float, Device::Cpu)).tan();
                    panic!("inside")
                })
            });
            assert!(panics.is_err());
            let _ = x.exp();
            inner
        })
        .unwrap();
        let of_inner = ["aten::sin", "aten::cos", "aten::tan", "aten::exp"];
        assert_eq!(of_inner.map(|name| count(&inner, name)), [0, 1, 0, 0]);
        assert_eq!(of_inner.map(|name| count(&outer, name)), [1, 1, 1, 1]);
        let (_, later) = operations(|| x.cos()).unwrap();
        assert_eq!(of_inner.map(|name| count(&later, name)), [0, 1, 0, 0]);
    }

    #[test]
    fn what_is_thrown_in_cpp_ends_there() {
        // SAFETY: it takes nothing.
        assert_eq!(unsafe { refvsr_entry_throws() }, 7);
    }
}
