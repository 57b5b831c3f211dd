//! Bilinear sampling of pictures with channels last in memory, on the CPU: libtorch's sampler would
//! gather each channel by itself and give the result in the other layout.

use super::data;
use crate::{Error, Result, layout::channels_last};
use std::{
    ffi::{c_int, c_long, c_uchar, c_void},
    sync::atomic::AtomicBool,
};
use tch::{Device, Kind, Tensor};

/// What lies outside a picture that is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outside {
    /// Nothing.
    Zeros,
    /// The picture's edge.
    Edge,
}

#[repr(C)]
struct Sampling {
    picture: *const c_void,
    height: c_int,
    width: c_int,
    channels: c_int,
    grid: *const f32,
    edge: c_int,
    align_corners: c_int,
    out: *mut c_void,
    bf16: c_int,
}

unsafe extern "C" {
    fn refvsr_sample(
        sampling: *const Sampling,
        samples: c_long,
        threads: c_int,
        stop: *const c_uchar,
    ) -> c_int;
}

/// Whether [`bilinear`] takes these: a picture in fp32 or bf16 and positions in fp32, on the CPU.
pub fn takes(x: &Tensor, grid: &Tensor) -> bool {
    matches!(x.kind(), Kind::Float | Kind::BFloat16)
        && grid.kind() == Kind::Float
        && [x, grid].iter().all(|t| t.device() == Device::Cpu)
}

/// Samples of `x` `[N, C, H, W]` at `grid` `[N, h, w, 2]`: `[N, C, h, w]` of `x`'s kind, channels last in memory. See
/// [`sample`](crate::net::layers::ops::sample). Gives up soon after `stop` is set.
///
/// # Errors
/// [`Error::Stopped`] where `stop` was set; [`Error::Broken`] for anything but what [`takes`] allows.
pub fn bilinear(
    x: &Tensor,
    grid: &Tensor,
    outside: Outside,
    align_corners: bool,
    stop: Option<&AtomicBool>,
) -> Result<Tensor> {
    let broken = |what: &str| Error::Broken(format!("sample: {what}"));
    let (&[n, h, w, 2], &[pictures, channels, height, width]) = (&grid.size()[..], &x.size()[..])
    else {
        return Err(broken("not a picture [N, C, H, W] and a grid [N, h, w, 2]"));
    };
    if !takes(x, grid) || n != pictures {
        return Err(broken(
            "not fp32 or bf16 on the CPU, or not a grid a picture",
        ));
    }
    let (x, grid) = (channels_last(x)?, grid.f_contiguous()?);
    let out = Tensor::f_empty([n, h, w, channels], (x.kind(), Device::Cpu))?;
    let stop = stop.map_or(std::ptr::null(), |stop| stop.as_ptr().cast::<c_uchar>());
    let int = |n: i64| c_int::try_from(n).map_err(|_| broken("a size beyond 32 bits"));
    for i in 0..n {
        let sampling = Sampling {
            picture: x.f_narrow(0, i, 1)?.data_ptr().cast_const(),
            height: int(height)?,
            width: int(width)?,
            channels: int(channels)?,
            grid: data(&grid.f_narrow(0, i, 1)?),
            edge: c_int::from(outside == Outside::Edge),
            align_corners: c_int::from(align_corners),
            out: out.f_narrow(0, i, 1)?.data_ptr(),
            bf16: c_int::from(x.kind() == Kind::BFloat16),
        };
        // SAFETY: the pointers are of tensors that live on, of kinds that were checked, of the sizes given and in the layouts
        // that the kernel reads; it looks at no pixel outside the picture, nothing else sees `out`, and
        // `stop` outlives the call.
        let threads = tch::get_num_threads().max(1);
        if unsafe { refvsr_sample(&sampling, h * w, threads, stop) } != 0 {
            return Err(Error::Stopped);
        }
    }
    Ok(out.f_permute([0, 3, 1, 2])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_libtorchs_sampler() {
        tch::manual_seed(3);
        for (channels, h, w) in [(1, 1, 1), (3, 5, 7), (8, 6, 4), (19, 9, 2), (64, 12, 31)] {
            let x = Tensor::randn([1, channels, h, w], (Kind::Float, Device::Cpu));
            let spread = Tensor::rand([1, 40, 50, 2], (Kind::Float, Device::Cpu)) * 3.0 - 1.5;
            let corners =
                Tensor::from_slice(&[-1f32, -1., 1., 1., -1., 1., 1., -1.]).view([1, 2, 2, 2]);
            for (grid, outside, align) in [&spread, &corners].into_iter().flat_map(|grid| {
                [Outside::Zeros, Outside::Edge]
                    .into_iter()
                    .flat_map(move |o| [(grid, o, true), (grid, o, false)])
            }) {
                let mode = i64::from(outside == Outside::Edge);
                let expected = x.grid_sampler(grid, 0, mode, align);
                let found = bilinear(&x, grid, outside, align, None).unwrap();
                let off = (&found - &expected).abs().max().double_value(&[]);
                assert!(
                    off < 1e-5,
                    "{channels}x{h}x{w}, {outside:?}, {align}: off by {off:.1e}"
                );
            }
        }
    }

    #[test]
    fn pictures_in_bf16_are_sampled_in_fp32_and_rounded_once() {
        tch::manual_seed(4);
        for channels in [1, 8, 19, 64] {
            let x = Tensor::randn([2, channels, 9, 12], (Kind::Float, Device::Cpu));
            let x = x.to_kind(Kind::BFloat16);
            let grid = Tensor::rand([2, 30, 20, 2], (Kind::Float, Device::Cpu)) * 2.4 - 1.2;
            let wide = x.to_kind(Kind::Float);
            let expected = bilinear(&wide, &grid, Outside::Zeros, true, None).unwrap();
            let found = bilinear(&x, &grid, Outside::Zeros, true, None).unwrap();
            assert!(found.equal(&expected.to_kind(Kind::BFloat16)));
        }
    }

    #[test]
    fn positions_that_are_no_numbers_give_nothing() {
        let x = Tensor::ones([1, 9, 3, 3], (Kind::Float, Device::Cpu));
        let grid = Tensor::from_slice(&[
            f32::NAN,
            0.0,
            f32::INFINITY,
            0.0,
            -f32::INFINITY,
            f32::NAN,
            1e30,
            0.0,
        ]);
        let found = bilinear(&x, &grid.view([1, 2, 2, 2]), Outside::Zeros, true, None).unwrap();
        assert_eq!(found.abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn it_stops_when_told() {
        let x = Tensor::ones([1, 9, 3, 3], (Kind::Float, Device::Cpu));
        let grid = Tensor::zeros([1, 80, 90, 2], (Kind::Float, Device::Cpu));
        let stop = AtomicBool::new(true);
        let found = bilinear(&x, &grid, Outside::Zeros, true, Some(&stop));
        assert!(matches!(found, Err(Error::Stopped)));
    }
}
