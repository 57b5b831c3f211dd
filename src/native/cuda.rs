//! Settings of CUDA's libraries, which tch does not reach.

use crate::{Error, Result};
use std::ffi::{c_int, c_void};
use tch::Tensor;

unsafe extern "C" {
    fn refvsr_cuda_benchmark() -> c_int;
    fn refvsr_cuda_allow_tf32(allowed: c_int) -> c_int;
    fn refvsr_cuda_is_exact() -> c_int;
    fn refvsr_cuda_pinned(x: *const c_void) -> *mut c_void;
}

fn done(status: c_int) -> Result<()> {
    match status {
        0 => Ok(()),
        _ => Err(Error::Broken("libtorch refused settings for CUDA".into())),
    }
}

/// Makes fp32 on CUDA devices really fp32 (no TF32) and lets cuDNN find its fastest algorithms by trying.
/// For the whole process.
///
/// # Errors
/// [`Error::Broken`] where libtorch refuses.
pub fn set_up() -> Result<()> {
    allow_tf32(false)?;
    // SAFETY: sets a flag of libtorch's, which catches what it throws.
    done(unsafe { refvsr_cuda_benchmark() })
}

/// Whether fp32 may be computed in TF32, in the whole process.
fn allow_tf32(allowed: bool) -> Result<()> {
    // SAFETY: sets flags of libtorch's, which catches what it throws.
    done(unsafe { refvsr_cuda_allow_tf32(allowed.into()) })
}

/// Whether fp32 is really fp32.
#[cfg(test)]
fn is_exact() -> bool {
    // SAFETY: reads flags of libtorch's, which catches what it throws.
    unsafe { refvsr_cuda_is_exact() == 1 }
}

/// Runs `work` while CUDA devices may compute convolutions and matrix products of fp32 in TF32, which has
/// 10 bits of mantissa: several times as fast, exact enough to train with. It holds for all threads of
/// the process meanwhile, and afterwards it is as it was. On a CPU nothing changes. Making a
/// [`Network`](crate::Network) on a CUDA device in `work` turns it off again.
///
/// # Errors
/// [`Error::Broken`] where libtorch refuses.
pub fn with_tf32<T>(work: impl FnOnce() -> T) -> Result<T> {
    /// Puts the setting back, also where `work` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            _ = allow_tf32(self.0);
        }
    }
    // SAFETY: reads flags of libtorch's, which catches what it throws.
    let _restore = Restore(unsafe { refvsr_cuda_is_exact() == 0 });
    allow_tf32(true)?;
    Ok(work())
}

/// A copy of a tensor of the CPU's in memory that CUDA devices read by themselves. `None` where there is no
/// such device, or no more of that memory.
pub fn pinned(x: &Tensor) -> Option<Tensor> {
    // SAFETY: `x` is a live tensor; what comes back is a tensor of its own, or null.
    let copy = unsafe { refvsr_cuda_pinned(x.as_ptr().cast()) };
    // SAFETY: not null, it is a tensor that nothing else owns.
    (!copy.is_null()).then(|| unsafe { Tensor::from_ptr(copy.cast()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_for_a_device_is_there_where_a_device_is() {
        let x = Tensor::from_slice(&[3u8, 1, 4]);
        let copy = pinned(&x);
        assert_eq!(copy.is_some(), tch::Cuda::is_available());
        assert!(copy.is_none_or(|copy| copy.equal(&x)));
    }

    #[test]
    fn fp32_is_fp32_but_where_tf32_is_asked_for() {
        set_up().unwrap();
        assert!(is_exact());
        assert!(!with_tf32(is_exact).unwrap());
        assert!(is_exact());
        let panics = std::panic::catch_unwind(|| with_tf32(|| panic!("inside")));
        assert!(panics.is_err() && is_exact());
    }
}
