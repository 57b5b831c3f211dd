//! Optical flow between two frames (SPyNet, Ranjan and Black, CVPR 2017) and warping by it.

use super::layers::{Conv, GRID, bilinear, cat, imagenet_normalised, size, zeros};
use crate::{Result, config::Recurrence};
use tch::{Tensor, nn::Path};

/// Pyramid levels of SPyNet; the coarsest is 1/32 of the size.
const LEVELS: usize = 6;

/// SPyNet: flow from coarse to fine over an image pyramid.
#[derive(Debug)]
pub struct SpyNet {
    levels: Vec<Vec<Conv>>,
}

/// A frame's image pyramid, coarse to fine, with the frame's own size. A function of one frame.
#[derive(Debug)]
pub struct Pyramid {
    levels: Vec<Tensor>,
    size: (i64, i64),
}

impl Pyramid {
    pub(crate) fn tensors(&self) -> std::slice::Iter<'_, Tensor> {
        self.levels.iter()
    }
}

impl SpyNet {
    /// `vs` is `FlowNet`, or the root of a file that holds SPyNet alone.
    pub fn new(vs: Path<'_>) -> Result<Self> {
        const CHANNELS: [i64; 6] = [8, 32, 64, 32, 16, 2];
        let levels = &vs / "basic_module";
        let level = |l: usize| -> Result<Vec<Conv>> {
            let convs = &levels / l / "basic_module";
            CHANNELS
                .windows(2)
                .enumerate()
                .map(|(j, c)| Conv::new(&convs / j / "conv", c[0], c[1], 7))
                .collect()
        };
        Ok(Self {
            levels: (0..LEVELS).map(level).collect::<Result<_>>()?,
        })
    }

    /// The pyramid of an RGB frame, `[1, 3, H, W]` in \[0, 1\].
    pub fn pyramid(frame: &Tensor) -> Result<Pyramid> {
        let (h, w) = size(frame);
        let up = |n: i64| (n + 31) / 32 * 32;
        let frame = if (up(h), up(w)) == (h, w) {
            frame.shallow_clone()
        } else {
            bilinear(frame, up(h), up(w), false)?
        };
        let mut levels = vec![imagenet_normalised(&frame)?];
        for level in 1..LEVELS {
            let half =
                levels[level - 1].f_avg_pool2d([2, 2], [2, 2], [0, 0], false, false, None)?;
            levels.push(half);
        }
        levels.reverse();
        Ok(Pyramid {
            levels,
            size: (h, w),
        })
    }

    /// The motion that takes a pixel of `reference` to where it lies in `supporting`: `[1, 2, H, W]`, x then y, in pixels.
    pub fn flow(&self, reference: &Pyramid, supporting: &Pyramid) -> Result<Tensor> {
        let (h, w) = size(&reference.levels[0]);
        let mut flow = zeros(&reference.levels[0], [1, 2, h, w])?;
        for (level, net) in self.levels.iter().enumerate() {
            let (reference, supporting) = (&reference.levels[level], &supporting.levels[level]);
            if level > 0 {
                flow = twice(&flow)?;
            }
            let warped = warp_pixels(supporting, &flow)?;
            flow = flow.f_add(&estimate(net, &cat(&[reference, &warped, &flow])?)?)?;
        }
        let ((h, w), (padded_h, padded_w)) = (reference.size, size(&flow));
        if (h, w) == (padded_h, padded_w) {
            return Ok(flow);
        }
        let scale =
            Tensor::f_from_slice(&[w as f32 / padded_w as f32, h as f32 / padded_h as f32])?
                .f_to_device(flow.device())?;
        Ok(bilinear(&flow, h, w, false)?.f_mul(&scale.f_view([1, 2, 1, 1])?)?)
    }
}

/// One level's network: 7 x 7 convolutions with ReLU between them.
fn estimate(convs: &[Conv], x: &Tensor) -> Result<Tensor> {
    convs
        .iter()
        .enumerate()
        .try_fold(x.shallow_clone(), |x, (j, conv)| {
            let y = conv.forward(&x)?;
            Ok(if j + 1 < convs.len() { y.f_relu()? } else { y })
        })
}

/// A flow for pictures of twice the size.
pub fn twice(flow: &Tensor) -> Result<Tensor> {
    let (h, w) = size(flow);
    Ok(bilinear(flow, 2 * h, 2 * w, true)?.f_mul_scalar(2.0)?)
}

const BILINEAR: i64 = 0;
const ZEROS: i64 = 0;
/// Positions outside the picture take its edge.
pub(super) const BORDER: i64 = 1;

/// SPyNet's own warp: samples at pixel + flow, the edge repeated outside.
fn warp_pixels(x: &Tensor, flow: &Tensor) -> Result<Tensor> {
    Ok(x.f_grid_sampler(&grid(flow, size(x))?, BILINEAR, BORDER, true)?)
}

/// Sampling positions, `[1, H, W, 2]` with H, W the flow's, in units in which -1 and 1 are the centres of the first and last pixels of a
/// picture of size `of`: the flow's own pixel grid spread over \[-1, 1\], plus the flow.
pub fn grid(flow: &Tensor, of: (i64, i64)) -> Result<Tensor> {
    let flow = flow.f_to_kind(GRID)?;
    let (h, w) = size(&flow);
    let axis = |n: i64| -> Result<Tensor> {
        // A single row or column lies at -1, where a position of 0 pixels is.
        Ok(Tensor::f_linspace(
            -1.0,
            if n > 1 { 1.0 } else { -1.0 },
            n,
            (GRID, flow.device()),
        )?)
    };
    let half = |n: i64| ((n - 1).max(1)) as f64 / 2.0;
    let x = flow
        .f_narrow(1, 0, 1)?
        .f_div_scalar(half(of.1))?
        .f_add(&axis(w)?.f_view([1, 1, 1, w])?)?;
    let y = flow
        .f_narrow(1, 1, 1)?
        .f_div_scalar(half(of.0))?
        .f_add(&axis(h)?.f_view([1, 1, h, 1])?)?;
    Ok(Tensor::f_cat(&[x, y], 1)?.f_permute([0, 2, 3, 1])?)
}

/// The network's warp, at positions from [`grid`]; nothing (zero) outside the picture. [`Recurrence::Upstream`] keeps the mismatch of the
/// published weights: positions meant for pixel centres at -1 and 1 are read as if the picture's borders lay there.
pub fn warp(x: &Tensor, grid: &Tensor, recurrence: Recurrence) -> Result<Tensor> {
    Ok(x.f_grid_sampler(
        &grid.f_to_kind(x.kind())?,
        BILINEAR,
        ZEROS,
        recurrence == Recurrence::Clean,
    )?)
}
