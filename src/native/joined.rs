//! What convolutions of joined inputs have in common: which inputs they are for, how these reach a kernel, and
//! what comes of it.

use crate::{
    Error, Result,
    layout::{channels_last, size},
};
use std::ffi::{c_int, c_void};
use tch::{Device, Kind, Tensor};

/// Output channels that a kernel multiplies at once, where so many are left; else half as many.
pub const BLOCK: i64 = 16;

/// An input as the kernels take it.
#[repr(C)]
pub struct Source {
    data: *const c_void,
    channels: c_int,
}

/// The channels of a convolution.
#[derive(Debug)]
pub struct Channels {
    /// Of the inputs that are joined.
    pub parts: Vec<i64>,
    /// 4 where the output is shuffled to twice the size, else 1.
    pub groups: i64,
    /// Output channels of a group.
    pub output: i64,
}

/// Inputs that were found to be as agreed, and room for the output, channels last in memory.
pub struct Taken {
    /// Pictures, their height and width.
    pub size: (i64, i64, i64),
    /// The inputs, which point into `parts`.
    pub sources: Vec<Source>,
    residual: Option<Tensor>,
    out: Tensor,
    _parts: Vec<Tensor>,
}

impl Channels {
    /// Those of weights for `all` output channels. With `shuffle` a pixel shuffle by 2 follows.
    pub fn new(parts: &[i64], all: i64, shuffle: bool) -> Self {
        let groups = if shuffle { 4 } else { 1 };
        Self {
            parts: parts.to_vec(),
            groups,
            output: all / groups,
        }
    }

    /// Whether they are for inputs of these channels, with a shuffle or without.
    pub fn fits(&self, parts: &[&Tensor], shuffle: bool) -> bool {
        self.parts.len() == parts.len()
            && shuffle == (self.groups == 4)
            && (parts.iter().zip(&self.parts)).all(|(x, &channels)| x.size()[1] == channels)
    }

    /// The blocks of a group's output channels: the first of each, how many it has, and how many with those that
    /// fill it up.
    pub fn blocks(&self) -> impl Iterator<Item = (i64, i64, i64)> {
        let channels = self.output;
        (0..channels).step_by(BLOCK as usize).map(move |first| {
            let left = channels - first;
            let n = if left > BLOCK / 2 { BLOCK } else { BLOCK / 2 };
            (first, left.min(n), n)
        })
    }

    /// Takes `parts` `[N, C_i, H, W]` and a residual of the output's shape, on the CPU and of `kind`.
    ///
    /// # Errors
    /// [`Error::Broken`] for others than agreed.
    pub fn take(&self, parts: &[&Tensor], residual: Option<&Tensor>, kind: Kind) -> Result<Taken> {
        let (h, w) = parts.first().map_or((0, 0), |x| size(x));
        let n = parts.first().map_or(0, |x| x.size()[0]);
        let like = |x: &Tensor, shape: [i64; 4]| {
            x.size() == shape && x.kind() == kind && x.device() == Device::Cpu
        };
        let fit = (parts.iter().zip(&self.parts)).all(|(x, &c)| like(x, [n, c, h, w]));
        if !fit || parts.len() != self.parts.len() || n * h * w == 0 {
            return Err(broken(
                "inputs of other channels, sizes or kind than prepared for",
            ));
        }
        let factor = if self.groups == 4 { 2 } else { 1 };
        if residual.is_some_and(|r| !like(r, [n, self.output, factor * h, factor * w])) {
            return Err(broken("a residual of another shape than the output"));
        }
        let parts = parts.iter().map(|x| channels_last(x));
        let parts = parts.collect::<Result<Vec<_>>>()?;
        let sources = (parts.iter().zip(&self.parts))
            .map(|(x, &c)| {
                Ok(Source {
                    data: x.data_ptr().cast_const(),
                    channels: int(c)?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Taken {
            size: (n, h, w),
            sources,
            residual: residual.map(channels_last).transpose()?,
            out: Tensor::f_empty(
                [n, factor * h, factor * w, self.output],
                (kind, Device::Cpu),
            )?,
            _parts: parts,
        })
    }
}

impl Taken {
    /// Where the residual lies; null where there is none.
    pub fn residual(&self) -> *const c_void {
        self.residual
            .as_ref()
            .map_or(std::ptr::null(), |r| r.data_ptr().cast_const())
    }

    /// Where the output is to be written.
    pub fn out(&self) -> *mut c_void {
        self.out.data_ptr()
    }

    /// The output `[N, C', H, W]`, by what the kernel says of it.
    ///
    /// # Errors
    /// [`Error::Stopped`], or [`Error::Broken`] where a thread had no memory.
    pub fn finished(self, status: c_int) -> Result<Tensor> {
        match status {
            0 => Ok(self.out.f_permute([0, 3, 1, 2])?),
            1 => Err(Error::Stopped),
            _ => Err(broken("no memory for a thread's work")),
        }
    }
}

/// A number as the kernels take it.
///
/// # Errors
/// [`Error::Broken`] for a size beyond 32 bits.
pub fn int(n: i64) -> Result<c_int> {
    c_int::try_from(n).map_err(|_| broken("a size beyond 32 bits"))
}

fn broken(what: &str) -> Error {
    Error::Broken(format!("convolution: {what}"))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Numbers in -1..1.
    pub fn rand(shape: &[i64]) -> Tensor {
        Tensor::rand(shape, (Kind::Float, Device::Cpu)) * 2.0 - 1.0
    }

    /// The plain form of a convolution and what follows it, by libtorch.
    pub fn plain(
        parts: &[&Tensor],
        (weight, bias): (&Tensor, &Tensor),
        shuffle: bool,
        slope: f64,
        residual: Option<&Tensor>,
    ) -> Tensor {
        let side = weight.size()[2] / 2;
        let x = Tensor::cat(parts, 1);
        let y = x.conv2d(weight, Some(bias), [1, 1], [side, side], [1, 1], 1);
        let y = if shuffle { y.pixel_shuffle(2) } else { y };
        let y = y.clamp_min(0.0) + y.clamp_max(0.0) * slope;
        residual.map_or_else(|| y.shallow_clone(), |r| &y + r)
    }

    #[test]
    fn the_last_block_is_half_where_no_more_is_left() {
        let blocks = |n| Channels::new(&[1], n, false).blocks().collect::<Vec<_>>();
        assert_eq!(blocks(3), [(0, 3, 8)]);
        assert_eq!(blocks(16), [(0, 16, 16)]);
        assert_eq!(blocks(24), [(0, 16, 16), (16, 8, 8)]);
        assert_eq!(blocks(41), [(0, 16, 16), (16, 16, 16), (32, 9, 16)]);
    }
}
