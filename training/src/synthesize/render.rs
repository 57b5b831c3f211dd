//! Pictures as a lens would see them.

use super::camera::{Character, View};
use crate::data::{png::Picture, random::Random};
use anyhow::Result;
use refvsr::image::resize::bicubic_antialiased;
use std::collections::HashMap;
use tch::{Kind, Tensor};

/// A source picture, with reduced copies of it as they are needed.
#[derive(Debug)]
pub struct Scene {
    full: Tensor,
    reduced: HashMap<i32, Tensor>,
}

const BICUBIC: i64 = 2;
const BORDER: i64 = 1;
const REFLECTION: i64 = 2;

impl Scene {
    /// Of a picture.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn new(picture: &Picture) -> Result<Self> {
        Ok(Self::of(picture.to_tensor()?.f_unsqueeze(0)?))
    }

    /// The same of a tensor `[1, 3, h, w]` in \[0, 1\].
    pub fn of(full: Tensor) -> Self {
        Self {
            full,
            reduced: HashMap::new(),
        }
    }

    /// What a view shows, as `[1, 3, height, width]` in \[0, 1\]. Where there is `depth` (a map over the whole source, -1 to 1) what lies at 1 is moved by so many source pixels.
    ///
    /// Each pixel is the mean over its area, as on a sensor: where a pixel covers more than one of the source's, the source is first reduced (antialiased,
    /// in steps of the square root of 2) until it covers less than 2 x 2, then four samples are taken and averaged.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn view(
        &mut self,
        view: View,
        width: usize,
        height: usize,
        depth: Option<(&Tensor, [f64; 2])>,
    ) -> Result<Tensor> {
        let level = ((2.0 * view.scale.log2()).floor() as i32 - 1).max(0);
        let (full_h, full_w) = (self.full.size()[2], self.full.size()[3]);
        if level > 0 && !self.reduced.contains_key(&level) {
            let side =
                |n: i64| ((n as f64 * (-f64::from(level) / 2.0).exp2()).round() as i64).max(1);
            self.reduced.insert(
                level,
                bicubic_antialiased(&self.full, side(full_h), side(full_w))?,
            );
        }
        let source = if level > 0 {
            &self.reduced[&level]
        } else {
            &self.full
        };
        let samples: i64 = if view.scale > 1.0 { 2 } else { 1 };
        let (w, h) = (width as f64 * view.scale, height as f64 * view.scale);
        let (sin, cos) = view.angle.sin_cos();
        // From [-1, 1] over the frame to [-1, 1] over the source.
        let (sw, sh) = (full_w as f64, full_h as f64);
        let matrix = [
            w * cos / sw,
            -h * sin / sw,
            2.0 * view.centre[0] / sw - 1.0,
            w * sin / sh,
            h * cos / sh,
            2.0 * view.centre[1] / sh - 1.0,
        ];
        let matrix = Tensor::f_from_slice(&matrix)?
            .f_to_kind(Kind::Float)?
            .f_view([1, 2, 3])?;
        let size = [1, 3, height as i64 * samples, width as i64 * samples];
        let mut grid = Tensor::f_affine_grid_generator(&matrix, size, false)?;
        if let Some((depth, moved)) = depth {
            // To find a thing that has moved one has to look where it was.
            let depth = depth
                .f_grid_sampler(&grid, BICUBIC, BORDER, false)?
                .f_permute([0, 2, 3, 1])?;
            let moved = Tensor::f_from_slice(&[2.0 * moved[0] / sw, 2.0 * moved[1] / sh])?
                .f_to_kind(Kind::Float)?;
            grid = grid.f_sub(&depth.f_mul(&moved)?)?;
        }
        let sampled = source
            .f_grid_sampler(&grid, BICUBIC, REFLECTION, false)?
            .f_clamp(0.0, 1.0)?;
        if samples == 1 {
            return Ok(sampled);
        }
        Ok(sampled.f_avg_pool2d(
            [samples, samples],
            [samples, samples],
            [0, 0],
            false,
            true,
            None::<i64>,
        )?)
    }
}

/// Gives a picture a lens's blur, exposure and colour.
///
/// # Errors
/// Where memory runs out.
pub fn develop(picture: &Tensor, lens: &Character) -> Result<Tensor> {
    const GAMMA: f64 = 2.2;
    let mut picture = picture.shallow_clone();
    if lens.blur > 0.05 {
        let weights: Vec<f32> = (-3..=3)
            .map(|i| (-f64::from(i * i) / (2.0 * lens.blur * lens.blur)).exp() as f32)
            .collect();
        let kernel = Tensor::f_from_slice(&weights)?;
        let kernel = (&kernel / kernel.f_sum(Kind::Float)?)
            .f_view([1, 1, 7])?
            .f_expand([3, 1, 7], false)?;
        let padded = picture.f_replication_pad2d([3, 3, 3, 3])?;
        let rows = padded.f_conv2d(
            &kernel.f_unsqueeze(2)?,
            None::<Tensor>,
            [1, 1],
            [0, 0],
            [1, 1],
            3,
        )?;
        picture = rows.f_conv2d(
            &kernel.f_unsqueeze(3)?,
            None::<Tensor>,
            [1, 1],
            [0, 0],
            [1, 1],
            3,
        )?;
    }
    let gains =
        [lens.balance[0], 1.0, lens.balance[1]].map(|b| (lens.gain * b).powf(1.0 / GAMMA) as f32);
    if gains != [1.0; 3] {
        // The exposure is a factor in linear light, and so is its root in the gamma-coded values.
        picture = picture.f_mul(&Tensor::f_from_slice(&gains)?.f_view([1, 3, 1, 1])?)?;
    }
    Ok(picture.f_clamp(0.0, 1.0)?)
}

/// Rounds `[1, 3, h, w]` to 8 bits, with a lens's noise.
///
/// # Errors
/// Where memory runs out.
pub fn expose(picture: &Tensor, lens: &Character, random: &mut Random) -> Result<Picture> {
    let interleaved = picture
        .f_squeeze_dim(0)?
        .f_permute([1, 2, 0])?
        .f_contiguous()?;
    let mut values = vec![0f32; interleaved.numel()];
    interleaved.f_copy_data(&mut values, interleaved.numel())?;
    let (read, shot) = (
        lens.read_noise * lens.read_noise,
        lens.shot_noise * lens.shot_noise,
    );
    let mut data = Vec::with_capacity(values.len());
    for pair in values.chunks(2) {
        let noise: [f64; 2] = if read + shot > 0.0 {
            random.normal_pair().into()
        } else {
            [0.0; 2]
        };
        for (value, n) in pair.iter().map(|&v| f64::from(v)).zip(noise) {
            let noisy = value + n * (read + shot * value).sqrt();
            data.push((255.0 * noisy).round().clamp(0.0, 255.0) as u8);
        }
    }
    let size = interleaved.size();
    Ok(Picture {
        width: size[1] as usize,
        height: size[0] as usize,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn what_is_near_moves_against_what_is_far() {
        const SIDE: usize = 64;
        let data: Vec<u8> = (0..SIDE * SIDE * 3)
            .map(|i| (128.0 + 90.0 * ((i % 191) as f64 / 9.0).sin()) as u8)
            .collect();
        let mut scene = Scene::new(&Picture {
            width: SIDE,
            height: SIDE,
            data,
        })
        .unwrap();
        // Far on the left, near on the right.
        let depth = Tensor::from_slice(&[-1f32, -1.0, -1.0, 1.0, 1.0, 1.0]).view([1, 1, 1, 6]);
        let view = |x: f64, y: f64| View {
            centre: [32.0 + x, 32.0 + y],
            scale: 1.0,
            angle: 0.0,
        };
        let seen = scene
            .view(view(0.0, 0.0), SIDE, SIDE, Some((&depth, [3.0, -2.0])))
            .unwrap();
        for (columns, x, y) in [(8, 3.0, -2.0), (48, -3.0, 2.0)] {
            let moved = scene.view(view(x, y), SIDE, SIDE, None).unwrap();
            let part = |t: &Tensor| t.narrow(2, 8, 48).narrow(3, columns, 8);
            let off = (part(&seen) - part(&moved)).abs().max().double_value(&[]);
            assert!(off < 0.01, "{off} at column {columns}");
        }
        let flat = Tensor::zeros([1, 1, 2, 2], (Kind::Float, Device::Cpu));
        let plain = scene.view(view(0.4, 0.0), SIDE, SIDE, None).unwrap();
        assert!(
            scene
                .view(view(0.4, 0.0), SIDE, SIDE, Some((&flat, [3.0, 3.0])))
                .unwrap()
                .equal(&plain)
        );
    }
}
