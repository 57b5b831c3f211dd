//! Convolutions with large windows on the CPU, row by row as matrix products: 1.6 times as fast as
//! libtorch's for SPyNet's 7 x 7, and as exact. Sums are added up in another order.

use super::data;
use crate::{Error, Result, image::size::round_up, net::ops::channels_last};
use std::{
    ffi::{c_int, c_long, c_uchar},
    sync::atomic::AtomicBool,
};
use tch::{Device, Kind, Tensor};

/// Whether a convolution with weights of this shape, `[C', C, k, k]`, is faster in this form than in any other:
/// large windows, and such as give a picture.
pub fn suits(shape: &[i64]) -> bool {
    match *shape {
        [channels, depth, kernel, _] => kernel >= 5 || (kernel == 3 && channels < 8 && depth >= 16),
        _ => false,
    }
}

/// Output channels that the kernel multiplies at once, where so many are left; else half as many.
const BLOCK: i64 = 16;

#[repr(C)]
struct Rows {
    input: *const f32,
    in_height: c_int,
    in_width: c_int,
    depth: c_int,
    above: c_int,
    side: c_int,
    height: c_int,
    width: c_int,
    kernel: c_int,
    weights: *const f32,
    bias: *const f32,
    channels: c_int,
    out: *mut f32,
}

unsafe extern "C" {
    fn refvsr_rows(job: *const Rows, rows: c_long, threads: c_int, stop: *const c_uchar) -> c_int;
}

/// Weights of a convolution of stride 1, laid out for the kernel.
#[derive(Debug)]
pub struct Weights {
    /// One block of output channels after the other: `[k, k C, 16 or 8]` each.
    packed: Tensor,
    bias: Tensor,
    /// Output and input channels, and k.
    shape: (i64, i64, i64),
}

impl Weights {
    /// Lays out `weight` `[C', C, k, k]` and `bias` `[C']`.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out, [`Error::Broken`] for anything but four dimensions.
    pub fn new(weight: &Tensor, bias: &Tensor) -> Result<Self> {
        let &[channels, depth, kernel, _] = &weight.size()[..] else {
            return Err(Error::Broken("rows: not weights [C', C, k, k]".into()));
        };
        let weight = weight.f_to_kind(Kind::Float)?.f_permute([2, 3, 1, 0])?; // [k, k, C, C']
        let (mut packed, mut first) = (vec![], 0);
        while first < channels {
            let left = channels - first;
            let n = if left > BLOCK / 2 { BLOCK } else { BLOCK / 2 };
            let taken = left.min(n);
            let block = weight.f_narrow(3, first, taken)?;
            packed.push(block.f_constant_pad_nd([0, n - taken])?.f_reshape([-1])?);
            first += n;
        }
        let missing = round_up(channels, BLOCK) - channels;
        Ok(Self {
            packed: Tensor::f_cat(&packed, 0)?,
            bias: bias
                .f_to_kind(Kind::Float)?
                .f_constant_pad_nd([0, missing])?,
            shape: (channels, depth, kernel),
        })
    }

    /// The convolution of `x` `[N, C, H, W]`, fp32 on the CPU, with `rows` of zeros above and below and
    /// `columns` at the sides: `[N, C', H + 2 rows - k + 1, W + 2 columns - k + 1]`, channels last in
    /// memory. It gives up soon after `stop` is set.
    ///
    /// # Errors
    /// [`Error::Stopped`] where `stop` was set; [`Error::Broken`] for an input of other channels or kind
    /// than agreed, or smaller than the window.
    pub fn convolve(
        &self,
        x: &Tensor,
        (rows, columns): (i64, i64),
        stop: Option<&AtomicBool>,
    ) -> Result<Tensor> {
        let broken = |what: &str| Error::Broken(format!("rows: {what}"));
        let (channels, depth, kernel) = self.shape;
        let &[n, c, h, w] = &x.size()[..] else {
            return Err(broken("not a picture [N, C, H, W]"));
        };
        let (height, width) = (h + 2 * rows - kernel + 1, w + 2 * columns - kernel + 1);
        let fp32 = x.kind() == Kind::Float && x.device() == Device::Cpu;
        if c != depth || !fp32 || height < 1 || width < 1 {
            return Err(broken(
                "an input of other channels or kind than prepared for, or too small",
            ));
        }
        let x = channels_last(x)?;
        let out = Tensor::f_empty([n, height, width, channels], (Kind::Float, Device::Cpu))?;
        let int = |n: i64| c_int::try_from(n).map_err(|_| broken("a size beyond 32 bits"));
        let job = Rows {
            input: data(&x),
            in_height: int(h)?,
            in_width: int(w)?,
            depth: int(depth)?,
            above: int(rows)?,
            side: int(columns)?,
            height: int(height)?,
            width: int(width)?,
            kernel: int(kernel)?,
            weights: data(&self.packed),
            bias: data(&self.bias),
            channels: int(channels)?,
            out: data(&out).cast_mut(),
        };
        let stop = stop.map_or(std::ptr::null(), |stop| stop.as_ptr().cast::<c_uchar>());
        // SAFETY: the pointers are of live fp32 tensors in the layouts and of the sizes given, `out` is new,
        // so nothing else sees it being written, and `stop` outlives the call.
        match unsafe { refvsr_rows(&job, n * height, tch::get_num_threads().max(1), stop) } {
            0 => Ok(out.f_permute([0, 3, 1, 2])?),
            1 => Err(Error::Stopped),
            _ => Err(broken("no memory for a row")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_libtorchs_convolution() {
        tch::manual_seed(11);
        for (n, depth, channels, kernel, h, w) in [
            (1, 8, 32, 7, 9, 40),
            (2, 32, 64, 7, 5, 23),
            (1, 16, 2, 7, 8, 13),
            (2, 3, 17, 5, 1, 1),
            (1, 64, 24, 7, 4, 12),
        ] {
            let rand = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let (x, weight) = (
                rand(&[n, depth, h, w]),
                rand(&[channels, depth, kernel, kernel]),
            );
            let bias = rand(&[channels]);
            let weights = Weights::new(&weight, &bias).unwrap();
            let last = x.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
            for x in [&x, &last] {
                for padding in [(kernel / 2, kernel / 2), (kernel, kernel / 2)] {
                    let (rows, columns) = padding;
                    let expected =
                        x.conv2d(&weight, Some(&bias), [1, 1], [rows, columns], [1, 1], 1);
                    let found = weights.convolve(x, padding, None).unwrap();
                    let off = (&found - &expected).abs().max().double_value(&[]);
                    let most = expected.abs().max().double_value(&[]);
                    assert!(
                        off <= 3e-6 * most.max(1.0),
                        "{n} {depth} {channels}: {off:.1e} of {most}"
                    );
                }
            }
        }
    }

    #[test]
    fn it_stops_when_told_and_names_what_it_does_not_take() {
        let weight = Tensor::ones([2, 8, 7, 7], (Kind::Float, Device::Cpu));
        let weights = Weights::new(
            &weight,
            &weight
                .narrow(1, 0, 1)
                .mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float),
        )
        .unwrap();
        let x = Tensor::ones([1, 8, 20, 30], (Kind::Float, Device::Cpu));
        let stop = AtomicBool::new(true);
        let stopped = weights.convolve(&x, (3, 3), Some(&stop));
        assert!(matches!(stopped, Err(Error::Stopped)));
        for (x, padding) in [
            (x.narrow(1, 0, 4), 3),
            (x.to_kind(Kind::Double), 3),
            (x.narrow(2, 0, 5), 0),
        ] {
            let refused = weights.convolve(&x, (padding, padding), None);
            assert!(matches!(refused, Err(Error::Broken(_))));
        }
    }
}
