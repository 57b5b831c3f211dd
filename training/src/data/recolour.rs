//! Pictures in other colours, for a lesson whose teacher answers for any.
//!
//! Photos to learn from have few hard or saturated edges, which text, drawings and feathers are full
//! of.

use super::random::Random;
use anyhow::Result;
use tch::{Kind, Tensor};

/// What is done to a picture's colours, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Recolour {
    /// Which channel becomes red, green and blue.
    pub channels: [i64; 3],
    /// Whether bright and dark change places.
    pub negative: bool,
    /// Exponent.
    pub gamma: f64,
    /// Factor of the difference between a pixel's channels and their mean.
    pub saturation: f64,
    /// Factor of the difference from the picture's mean.
    pub contrast: f64,
    /// Added last, before all is limited to \[0, 1\].
    pub brightness: f64,
}

impl Recolour {
    /// Anything between pale and garish. Strong contrast is limited by white and black, which makes
    /// hard edges.
    pub fn draw(random: &mut Random) -> Self {
        let mut channels = [0, 1, 2];
        random.shuffle(&mut channels);
        Self {
            channels,
            negative: random.below(4) == 0,
            gamma: random.between(-0.7, 0.7).exp2(),
            saturation: random.between(0.0, 2.5),
            contrast: random.between(-0.7, 1.6).exp2(),
            brightness: random.between(-0.2, 0.2),
        }
    }

    /// Of RGB frames `[n, 3, h, w]` in \[0, 1\].
    ///
    /// # Errors
    /// For other tensors.
    pub fn apply(&self, frames: &Tensor) -> Result<Tensor> {
        let order = Tensor::f_from_slice(&self.channels)?.f_to_device(frames.device())?;
        let mut x = frames.f_index_select(1, &order)?;
        if self.negative {
            x = x.f_neg()?.f_add_scalar(1.0)?;
        }
        let x = x.f_pow_tensor_scalar(self.gamma)?;
        let grey = x.f_mean_dim(1, true, Kind::Float)?;
        let x = grey.f_add(&x.f_sub(&grey)?.f_mul_scalar(self.saturation)?)?;
        let mean = x.f_mean(Kind::Float)?;
        Ok(mean
            .f_add(&x.f_sub(&mean)?.f_mul_scalar(self.contrast)?)?
            .f_add_scalar(self.brightness)?
            .f_clamp(0.0, 1.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const NONE: Recolour = Recolour {
        channels: [0, 1, 2],
        negative: false,
        gamma: 1.0,
        saturation: 1.0,
        contrast: 1.0,
        brightness: 0.0,
    };

    /// A pixel in another colour, beside one that keeps the picture's mean where it is.
    fn pixel(recolour: &Recolour, rgb: [f32; 3]) -> Vec<f32> {
        let opposite = rgb.map(|v| 1.0 - v);
        let x = Tensor::from_slice(&[rgb, opposite].concat())
            .view([1, 2, 3])
            .permute([0, 2, 1])
            .reshape([1, 3, 1, 2]);
        let y = recolour.apply(&x).unwrap();
        Vec::try_from(y.narrow(3, 0, 1).reshape(-1)).unwrap()
    }

    #[test]
    fn each_part_does_what_it_says() {
        let near = |recolour: Recolour, rgb: [f32; 3], expected: [f32; 3]| {
            let found = pixel(&recolour, rgb);
            let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
            assert!(off.fold(0.0, f32::max) < 1e-6, "{recolour:?}: {found:?}");
        };
        let rgb = [0.25, 0.5, 0.6];
        near(NONE, rgb, rgb);
        let channels = [2, 0, 1];
        near(Recolour { channels, ..NONE }, rgb, [0.6, 0.25, 0.5]);
        let negative = true;
        near(Recolour { negative, ..NONE }, rgb, [0.75, 0.5, 0.4]);
        let gamma = 2.0;
        near(Recolour { gamma, ..NONE }, rgb, [0.0625, 0.25, 0.36]);
        let saturation = 0.0;
        near(Recolour { saturation, ..NONE }, rgb, [0.45; 3]);
        let contrast = 4.0;
        near(Recolour { contrast, ..NONE }, rgb, [0.0, 0.5, 0.9]);
        let brightness = 0.45;
        near(Recolour { brightness, ..NONE }, rgb, [0.7, 0.95, 1.0]);
    }

    #[test]
    fn colours_drawn_stay_colours() {
        let x = Tensor::rand([2, 3, 6, 5], (Kind::Float, Device::Cpu));
        for k in 0..50 {
            let drawn = Recolour::draw(&mut Random::new(1, 2, k));
            let y = drawn.apply(&x).unwrap();
            assert_eq!(y.size(), x.size());
            let (low, high) = (y.min().double_value(&[]), y.max().double_value(&[]));
            assert!(low >= 0.0 && high <= 1.0, "{drawn:?}: {low} to {high}");
        }
    }
}
