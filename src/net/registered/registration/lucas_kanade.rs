//! Lucas-Kanade: small displacements in closed form, each pixel's from a Gaussian window about it.

use super::{
    sampling::{Interpolation, inside, sample},
    similarity::Similarity,
};
use crate::{
    Result,
    net::layers::local::{Damping, Displaced, gaussian, gradient},
};
use tch::{Kind, Tensor};

/// One pass of several steps with windows of one size.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// Sigma of the window a displacement is computed from, in pixels.
    pub window: f64,
    /// Steps.
    pub steps: usize,
    /// Sigma of the window that displacements are smoothed with after every step.
    pub smoothing: f64,
}

/// Sigma of the window whose mean is taken out and whose contrast is made equal before pictures are
/// compared.
const LOCAL: f64 = 8.0;
/// The longest step, in pixels.
const LONGEST: f64 = 1.0;
/// A difference that no displacement explains (noise, another sharpness) damps the steps this much.
const DAMPING: f64 = 0.5;
/// Squared gradient and variance that count as none: a hundredth of that of pictures worth looking
/// at.
const FLOOR: f64 = 1e-5;
/// Share of a window under which hardly anything is seen.
const HARDLY: f64 = 1e-3;
/// Weight of no displacement when displacements are smoothed.
const REST: f64 = 0.01;

/// A frame and the reference to be laid on it, at one density.
#[derive(Debug)]
pub struct Pair<'a> {
    /// Part of the frame.
    frame: &'a Tensor,
    /// Positions of the part's pixels in the frame.
    pixels: &'a Tensor,
    reference: &'a Tensor,
    /// The reference's height and width, which need not be whole.
    extent: (f64, f64),
}

impl<'a> Pair<'a> {
    /// `frame` `[1, 3, h, w]` lies at `pixels` `[1, 2, h, w]`; `reference` is `[1, 3, H, W]`.
    pub fn new(
        frame: &'a Tensor,
        pixels: &'a Tensor,
        reference: &'a Tensor,
        extent: (f64, f64),
    ) -> Self {
        Self {
            frame,
            pixels,
            reference,
            extent,
        }
    }

    /// A better displacement than `flow` `[1, 2, h, w]`, and how well each pixel's is founded, `[1,
    /// 1, h, w]` from 0 to 1. The pixel at p is seen at `similarity(p + flow)` in the reference.
    pub fn refine(
        &self,
        flow: &Tensor,
        similarity: &Similarity,
        pass: Pass,
    ) -> Result<(Tensor, Tensor)> {
        let mut flow = flow.shallow_clone();
        let mut confidence = flow.f_narrow(1, 0, 1)?.f_zeros_like()?;
        for _ in 0..pass.steps {
            let step;
            (step, confidence) = self.step(&flow, similarity, pass.window)?;
            flow = smoothed(&flow.f_add(&step)?, &confidence, pass.smoothing)?;
        }
        Ok((flow, confidence))
    }

    fn step(
        &self,
        flow: &Tensor,
        similarity: &Similarity,
        window: f64,
    ) -> Result<(Tensor, Tensor)> {
        let positions = similarity.apply(&self.pixels.f_add(flow)?)?;
        let seen = inside(&positions, self.extent)?;
        let warped = sample(self.reference, &positions, Interpolation::Bicubic)?;
        let around = Around::new(&seen)?;
        let (frame, warped) = (around.detail(self.frame)?, around.detail(&warped)?);
        let contrast = around
            .variance(&frame)?
            .f_add_scalar(FLOOR)?
            .f_div(&around.variance(&warped)?.f_add_scalar(FLOOR)?)?
            .f_sqrt()?
            .f_clamp(0.3, 3.0)?;
        let warped = warped.f_mul(&contrast)?;
        let difference = frame.f_sub(&warped)?;
        // The mean of both pictures' gradients: the step then leads further, and noise pulls it
        // less.
        let (x, y) = gradient(&warped)?;
        let own = gradient(&frame)?;
        let x = x.f_add(&own.0)?.f_mul_scalar(0.5)?;
        let y = y.f_add(&own.1)?.f_mul_scalar(0.5)?;

        let damping = Damping {
            share: DAMPING,
            floor: FLOOR,
        };
        let found = Displaced::new((&x, &y), &difference, Some(&seen), window, damping)?;
        let step = found.displacement()?.f_clamp(-LONGEST, LONGEST)?;
        Ok((step, found.confidence()?.f_mul(&seen)?))
    }
}

/// Local means about each pixel of what both cameras see: what lies beyond the reference's edges is
/// in no mean of either picture, or the two would differ near them by what only one of them shows.
struct Around<'a> {
    seen: &'a Tensor,
    /// How much of the window is seen.
    share: Tensor,
}

impl<'a> Around<'a> {
    fn new(seen: &'a Tensor) -> Result<Self> {
        let share = gaussian(seen, LOCAL)?.f_add_scalar(HARDLY)?;
        Ok(Self { seen, share })
    }

    fn mean(&self, x: &Tensor) -> Result<Tensor> {
        Ok(gaussian(&x.f_mul(self.seen)?, LOCAL)?.f_div(&self.share)?)
    }

    /// `x` without its local means.
    fn detail(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_sub(&self.mean(x)?)?)
    }

    /// Mean square of the three channels of a picture without local means.
    fn variance(&self, detail: &Tensor) -> Result<Tensor> {
        let square = detail
            .f_square()?
            .f_mean_dim([1i64].as_slice(), true, None::<Kind>)?;
        self.mean(&square)
    }
}

/// Displacements averaged by confidence; far from any confident one they go to zero. What one
/// average takes off the top of a bump, a second one of the remainder gives back (twicing), so that
/// near things keep their parallax.
fn smoothed(flow: &Tensor, confidence: &Tensor, sigma: f64) -> Result<Tensor> {
    let total = gaussian(confidence, sigma)?.f_add_scalar(REST)?;
    let average = |flow: &Tensor| -> Result<Tensor> {
        Ok(gaussian(&flow.f_mul(confidence)?, sigma)?.f_div(&total)?)
    };
    let once = average(flow)?;
    Ok(average(&flow.f_sub(&once)?)?.f_add(&once)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::registered::registration::{placement::Placement, sampling::pixels};
    use tch::Device;

    /// Smooth noise with an own seed.
    fn texture(h: i64, w: i64) -> Tensor {
        tch::manual_seed(3);
        let noise = Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu));
        (gaussian(&noise, 1.2).unwrap() - 0.5) * 2.0 + 0.5
    }

    #[test]
    fn a_displacement_of_a_pixel_and_a_half_is_found_in_spite_of_contrast() {
        let frame = texture(48, 64);
        let grid = pixels(0, 0, 48, 64, Device::Cpu).unwrap();
        let moved = Tensor::from_slice(&[1.5f32, -0.7]).view([1, 2, 1, 1]);
        let reference = sample(&frame, &(&grid - &moved), Interpolation::Bicubic).unwrap();
        let reference = reference * 0.6 + 0.2;
        let pair = Pair::new(&frame, &grid, &reference, (48.0, 64.0));
        let similarity = Placement::centred(1.0)
            .similarity((48, 64), (48.0, 64.0), Device::Cpu)
            .unwrap();
        let start = Tensor::zeros([1, 2, 48, 64], (Kind::Float, Device::Cpu));
        let pass = Pass {
            window: 3.0,
            steps: 5,
            smoothing: 3.0,
        };
        let (flow, confidence) = pair.refine(&start, &similarity, pass).unwrap();
        let inner = |t: &Tensor| t.narrow(2, 6, 36).narrow(3, 6, 52);
        let off = (inner(&flow) - moved).abs().max().double_value(&[]);
        assert!(off < 0.1, "{off}");
        assert!(inner(&confidence).min().double_value(&[]) > 0.5);
    }

    #[test]
    fn nothing_moves_where_nothing_is_seen() {
        let plain = Tensor::full([1, 3, 32, 32], 0.4, (Kind::Float, Device::Cpu));
        let grid = pixels(0, 0, 32, 32, Device::Cpu).unwrap();
        let pair = Pair::new(&plain, &grid, &plain, (32.0, 32.0));
        let similarity = Placement::centred(1.0)
            .similarity((32, 32), (32.0, 32.0), Device::Cpu)
            .unwrap();
        let start = Tensor::zeros([1, 2, 32, 32], (Kind::Float, Device::Cpu));
        let pass = Pass {
            window: 3.0,
            steps: 2,
            smoothing: 3.0,
        };
        let (flow, confidence) = pair.refine(&start, &similarity, pass).unwrap();
        assert!(flow.abs().max().double_value(&[]) < 1e-3);
        assert!(confidence.max().double_value(&[]) < 1e-3);
    }
}
