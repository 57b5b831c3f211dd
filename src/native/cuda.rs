//! Settings of CUDA's libraries, which tch does not reach.

use crate::{Error, Result};
use std::ffi::c_int;

unsafe extern "C" {
    fn refvsr_cuda_settings() -> c_int;
    #[cfg(test)]
    fn refvsr_cuda_is_exact() -> c_int;
}

/// Makes fp32 on CUDA devices really fp32 (no TF32) and lets cuDNN find its fastest algorithms by trying.
/// For the whole process.
///
/// # Errors
/// [`Error::Broken`] where libtorch refuses.
pub fn set_up() -> Result<()> {
    // SAFETY: sets flags of libtorch's, which catches what it throws.
    match unsafe { refvsr_cuda_settings() } {
        0 => Ok(()),
        _ => Err(Error::Broken("libtorch refused settings for CUDA".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fp32_is_fp32_afterwards() {
        set_up().unwrap();
        // SAFETY: reads flags of libtorch's.
        assert_eq!(unsafe { refvsr_cuda_is_exact() }, 1);
    }
}
