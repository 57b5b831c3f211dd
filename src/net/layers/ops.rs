//! Operations that the blocks are made of.
//!
//! Features lie channels last in memory from the first convolution to the last: convolutions are
//! fastest so. Operations that do not keep the layout (samplers of libtorch's, pixel shuffles) are
//! followed by [`channels_last`] here, in one place.

use super::context;
use crate::{
    Result,
    layout::{channels_last, size},
    native::{self, sample::Outside},
};
use std::cell::RefCell;
use tch::{Device, Kind, Tensor};

/// Leaky ReLU: negative values are multiplied by `slope`.
pub fn lrelu(x: &Tensor, slope: f64) -> Result<Tensor> {
    // tch's leaky_relu has its slope fixed at 0.01. The backward kernel, fed x as the gradient, is the
    // function itself, in one pass, and its own derivative is leaky ReLU's.
    Ok(x.f_leaky_relu_backward(x, slope, false)?)
}

/// The slope in most of the network.
pub const SLOPE: f64 = 0.2;

/// [`lrelu`] of a tensor that nobody else holds: in place where no gradient is wanted. A slope of 1
/// leaves it as it is, 0 makes it a ReLU.
pub fn activated(mut x: Tensor, slope: f64) -> Result<Tensor> {
    if slope == 1.0 {
        Ok(x)
    } else if x.requires_grad() {
        if slope == 0.0 {
            Ok(x.f_relu()?)
        } else {
            lrelu(&x, slope)
        }
    } else if slope == 0.0 {
        Ok(x.f_relu_()?)
    } else {
        Ok(x.f_leaky_relu_backward_grad_input(&x, &x, slope, false)?)
    }
}

/// `x + y`, where nobody else holds `y`: in place where no gradient is wanted.
pub fn added(mut y: Tensor, x: &Tensor) -> Result<Tensor> {
    if y.requires_grad() || x.requires_grad() {
        Ok(x.f_add(&y)?)
    } else {
        Ok(y.f_add_(x)?)
    }
}

/// `x + weight * y`, where nobody else holds `weight`: in place where no gradient is wanted.
pub fn gated(x: &Tensor, mut weight: Tensor, y: &Tensor) -> Result<Tensor> {
    if [x, &weight, y].iter().any(|t| t.requires_grad()) {
        Ok(x.f_add(&weight.f_mul(y)?)?)
    } else {
        Ok(weight.f_mul_(y)?.f_add_(x)?)
    }
}

/// Values limited to \[0, 1\].
pub fn clamp01(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_clamp(0.0, 1.0)?)
}

/// Bicubic interpolation (a = -0.75, no antialiasing, `align_corners = false`) to `height` x `width`.
pub fn bicubic(x: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    Ok(x.f_upsample_bicubic2d([height, width], false, None, None)?)
}

/// [`bicubic`] to twice the size, limited to \[0, 1\].
pub fn bicubic_twice01(x: &Tensor) -> Result<Tensor> {
    let (h, w) = size(x);
    clamp01(&bicubic(x, 2 * h, 2 * w)?)
}

/// Bilinear interpolation to `height` x `width`.
pub fn bilinear(x: &Tensor, height: i64, width: i64, align_corners: bool) -> Result<Tensor> {
    Ok(x.f_upsample_bilinear2d([height, width], align_corners, None, None)?)
}

/// Channels of all joined, channels last in memory.
pub fn cat(parts: &[&Tensor]) -> Result<Tensor> {
    match parts {
        [one] => Ok(one.shallow_clone()),
        _ => channels_last(&Tensor::f_cat(parts, 1)?),
    }
}

/// Bytes that are cleared at a time.
const CLEARED: i64 = 64 << 20;

/// All zeros, channels last in memory.
pub fn zeros([n, c, h, w]: [i64; 4], kind: Kind, device: Device) -> Result<Tensor> {
    let zeros = Tensor::f_empty([n, h, w, c], (kind, device))?;
    let row = (n * w * c * zeros.kind().elt_size_in_bytes() as i64).max(1);
    let rows = (CLEARED / row).max(1);
    for first in (0..h).step_by(rows as usize) {
        context::check()?;
        let mut part = zeros.f_narrow(1, first, rows.min(h - first))?;
        let _ = part.f_zero_()?;
    }
    Ok(zeros.f_permute([0, 3, 1, 2])?)
}

/// Kind of sampling positions: fp16 coordinates would be off by a pixel at 3840 columns.
pub const GRID: Kind = Kind::Float;

/// Pixel numbers along an axis of `n` pixels in units in which -1 and 1 are the centres of its first and
/// last pixel. A single pixel lies at -1.
pub fn centred(pixels: &Tensor, n: i64) -> Result<Tensor> {
    let scaled = pixels.f_mul_scalar(2.0 / (n - 1).max(1) as f64)?;
    Ok(scaled.f_sub_scalar(1.0)?)
}

/// Bilinear samples of `x` `[1, C, H, W]` at `grid` `[1, h, w, 2]` (x, then y, in \[-1, 1\]), channels
/// last in memory: `[1, C, h, w]` of `x`'s kind. With `align_corners` -1 and 1 are the centres of the
/// first and last pixels, else their outer edges. Positions are fp32 whatever the kind of `x`.
pub fn sample(x: &Tensor, grid: &Tensor, outside: Outside, align_corners: bool) -> Result<Tensor> {
    let tracked = x.requires_grad() || grid.requires_grad();
    if !tracked && native::sample::takes(x, grid) {
        return context::with_stop(|stop| {
            native::sample::bilinear(x, grid, outside, align_corners, stop)
        });
    }
    // Features in 16 bits are sampled in 32, as positions and picture have to be of one kind.
    let kind = x.kind();
    let mode = i64::from(outside == Outside::Edge);
    let samples = match kind {
        Kind::Half | Kind::BFloat16 => {
            let x = x.f_to_kind(GRID)?;
            x.f_grid_sampler(grid, 0, mode, align_corners)?
                .f_to_kind(kind)?
        }
        _ => x.f_grid_sampler(&grid.f_to_kind(kind)?, 0, mode, align_corners)?,
    };
    channels_last(&samples)
}

/// The mean and standard deviation that ImageNet-trained networks (VGG, SPyNet) expect to be taken out
/// of RGB in \[0, 1\].
const IMAGENET: [[f32; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

thread_local! {
    /// [`IMAGENET`] as `[1, 3, 1, 1]` tensors, one pair a device and kind.
    static CONSTANTS: RefCell<Vec<[Tensor; 2]>> = const { RefCell::new(vec![]) };
}

/// `(x - mean) / std` with ImageNet's constants, for RGB `[N, 3, H, W]` in \[0, 1\].
pub fn imagenet_normalised(x: &Tensor) -> Result<Tensor> {
    CONSTANTS.with_borrow_mut(|all| {
        let fits =
            |pair: &&[Tensor; 2]| (pair[0].device(), pair[0].kind()) == (x.device(), x.kind());
        if all.iter().find(fits).is_none() {
            all.push(imagenet_constants(x.device(), x.kind())?);
        }
        let Some([mean, std]) = all.iter().find(fits) else {
            return Err(crate::Error::Broken("constants that were just made".into()));
        };
        Ok(x.f_sub(mean)?.f_div(std)?)
    })
}

fn imagenet_constants(device: Device, kind: Kind) -> Result<[Tensor; 2]> {
    let [mean, std] = IMAGENET;
    let row = |v: [f32; 3]| -> Result<Tensor> {
        let row = Tensor::f_from_slice(&v)?.f_view([1, 3, 1, 1])?;
        Ok(row.f_to_kind(kind)?.f_to_device(device)?)
    };
    Ok([row(mean)?, row(std)?])
}
