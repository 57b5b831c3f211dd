//! What kind of footage frames are.

use super::{
    conv::{Conv, Then},
    ops::size,
    variables::Path,
};
use crate::Result;
use tch::{Kind, Tensor};

/// Which weights footage is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footage {
    /// As a camera's sensor and lens give it in good light.
    Clean,
    /// Noisy, or back from a video encoder.
    Recorded,
}

/// A frame is looked at in its middle, up to this many pixels a side.
const LARGEST: i64 = 384;
const CHANNELS: i64 = 16;

/// A small network that tells recorded footage from clean one: of what differs from place to place, what
/// tells most counts most.
#[derive(Debug)]
pub struct Meter {
    layers: [Conv; 3],
    last: Conv,
}

impl Meter {
    /// Starts undecided.
    pub fn new(vs: Path<'_>) -> Result<Self> {
        let layer = |name: &str, input| -> Result<Conv> {
            Ok(Conv::new(&vs / name, input, CHANNELS, 3)?.fp32())
        };
        Ok(Self {
            layers: [
                layer("conv1", 3)?,
                layer("conv2", CHANNELS)?,
                layer("conv3", CHANNELS)?,
            ],
            last: Conv::zero(&vs / "conv4", CHANNELS, 2, 3)?.fp32(),
        })
    }

    /// The natural logarithm of the odds that frames `[n, 3, h, w]` (RGB in \[0, 1\]), as one, are recorded:
    /// a number on the device.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn odds(&self, frames: &Tensor) -> Result<Tensor> {
        let mut x = detail(&middle(frames)?)?;
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.then(&[&x], Then::lrelu(0.1))?;
            if i == 1 && size(&x).0.min(size(&x).1) >= 2 {
                x = x.f_avg_pool2d([2, 2], [2, 2], [0, 0], true, true, None::<i64>)?;
            }
        }
        let x = self.last.forward(&x)?.f_to_kind(Kind::Float)?;
        let (odds, counts) = (x.f_narrow(1, 0, 1)?, x.f_narrow(1, 1, 1)?.f_exp()?);
        let sum = |x: &Tensor| x.f_sum(Kind::Float);
        Ok(sum(&odds.f_mul(&counts)?)?.f_div(&sum(&counts)?)?)
    }

    /// How certain it is, 0 to 1, that frames are recorded; see [`odds`](Self::odds). Waits for the device.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn recorded(&self, frames: &Tensor) -> Result<f64> {
        let odds = tch::no_grad(|| self.odds(frames))?;
        Ok(f64::try_from(&odds.f_sigmoid()?)?)
    }
}

/// What differs from the mean of 5 x 5 pixels: losses are small beside the picture, and fine.
fn detail(frames: &Tensor) -> Result<Tensor> {
    /// Brings detail of some codes near to one.
    const GAIN: f64 = 16.0;
    let means = frames.f_avg_pool2d([5, 5], [1, 1], [2, 2], false, false, None::<i64>)?;
    Ok(frames.f_sub(&means)?.f_mul_scalar(GAIN)?)
}

fn middle(frames: &Tensor) -> Result<Tensor> {
    let mut part = frames.shallow_clone();
    for (axis, side) in [(2, size(frames).0), (3, size(frames).1)] {
        let length = side.min(LARGEST);
        part = part.f_narrow(axis, (side - length) / 2, length)?;
    }
    Ok(part)
}
