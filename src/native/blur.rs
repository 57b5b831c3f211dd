//! Windows over pictures on the CPU: libtorch's convolution takes ten times as long for one channel.

use super::data;
use crate::{Error, Result};
use std::{
    ffi::{c_int, c_long, c_uchar},
    sync::atomic::AtomicBool,
};
use tch::{Device, Kind, Tensor};

#[repr(C)]
struct Blur {
    picture: *const f32,
    height: c_int,
    width: c_int,
    weights: *const f32,
    taps: c_int,
    along_columns: c_int,
    out: *mut f32,
}

unsafe extern "C" {
    fn refvsr_blur(blur: *const Blur, rows: c_long, threads: c_int, stop: *const c_uchar) -> c_int;
}

/// Whether [`separable`] takes it: fp32 on the CPU.
pub fn takes(x: &Tensor) -> bool {
    x.kind() == Kind::Float && x.device() == Device::Cpu
}

/// `x` `[N, C, H, W]` under the window that is `weights` (an odd number of them) along rows and along
/// columns, edges repeated; contiguous. Gives up soon after `stop` is set.
///
/// # Errors
/// [`Error::Stopped`] where `stop` was set; [`Error::Broken`] for anything but what [`takes`] allows and an
/// odd number of weights, and where memory runs out.
pub fn separable(x: &Tensor, weights: &[f32], stop: Option<&AtomicBool>) -> Result<Tensor> {
    let broken = |what: &str| Error::Broken(format!("blur: {what}"));
    let &[n, channels, height, width] = &x.size()[..] else {
        return Err(broken("not a picture [N, C, H, W]"));
    };
    if !takes(x) || weights.len().is_multiple_of(2) {
        return Err(broken("not fp32 on the CPU, or an even window"));
    }
    if x.numel() == 0 {
        return Ok(x.f_zeros_like()?);
    }
    let stop = stop.map_or(std::ptr::null(), |stop| stop.as_ptr().cast::<c_uchar>());
    let int = |n: i64| c_int::try_from(n).map_err(|_| broken("a size beyond 32 bits"));
    let taps = c_int::try_from(weights.len()).map_err(|_| broken("a size beyond 32 bits"))?;
    let mut picture = x.f_contiguous()?;
    for along_columns in [0, 1] {
        let out = Tensor::f_empty(x.size(), (Kind::Float, Device::Cpu))?;
        let blur = Blur {
            picture: data(&picture),
            height: int(height)?,
            width: int(width)?,
            weights: weights.as_ptr(),
            taps,
            along_columns,
            out: data(&out).cast_mut(),
        };
        let threads = tch::get_num_threads().max(1);
        // SAFETY: the pointers are of contiguous fp32 tensors of the sizes given, and of the weights, which
        // all live on; the kernel repeats edges instead of looking beyond them, nothing else sees `out`,
        // and `stop` outlives the call.
        match unsafe { refvsr_blur(&blur, n * channels * height, threads, stop) } {
            0 => picture = out,
            1 => return Err(Error::Stopped),
            _ => return Err(broken("no memory for a row")),
        }
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_repeated_and_rows_and_columns_weighted() {
        let x = Tensor::from_slice(&[1f32, 2., 3., 4., 5., 6.]).view([1, 1, 2, 3]);
        let found = separable(&x, &[0.5, 0.25, 0.25], None).unwrap();
        // Along rows 1.25 1.75 2.5 and 4.25 4.75 5.5, then along columns.
        let expected = [2., 2.5, 3.25, 2.75, 3.25, 4.];
        let found = Vec::<f32>::try_from(found.view([-1])).unwrap();
        assert_eq!(found, expected);
    }

    #[test]
    fn it_stops_when_told_and_takes_odd_windows_alone() {
        let x = Tensor::ones([1, 2, 40, 30], (Kind::Float, Device::Cpu));
        let stop = AtomicBool::new(true);
        let stopped = separable(&x, &[1.0], Some(&stop));
        assert!(matches!(stopped, Err(Error::Stopped)));
        let even = separable(&x, &[0.5, 0.5], None);
        assert!(matches!(even, Err(Error::Broken(_))));
        let double = separable(&x.to_kind(Kind::Double), &[1.0], None);
        assert!(matches!(double, Err(Error::Broken(_))));
    }
}
