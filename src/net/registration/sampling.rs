//! Pixel grids, Gaussian windows and sampling at positions in pixels.

use crate::{
    Result, native,
    net::{
        context,
        ops::{GRID, size},
    },
};
use tch::{Device, Tensor};

/// The positions of the pixels of a rectangle, `[1, 2, height, width]`, x then y.
pub fn pixels(top: i64, left: i64, height: i64, width: i64, device: Device) -> Result<Tensor> {
    let axis = |from: i64, n: i64| Tensor::f_arange_start(from, from + n, (GRID, device));
    let x = axis(left, width)?
        .f_view([1, 1, 1, width])?
        .f_expand([1, 1, height, width], false)?;
    let y = axis(top, height)?
        .f_view([1, 1, height, 1])?
        .f_expand([1, 1, height, width], false)?;
    Ok(Tensor::f_cat(&[x, y], 1)?)
}

/// How a picture is read between its pixels. The numbers are libtorch's.
#[derive(Debug, Clone, Copy)]
pub enum Interpolation {
    /// From 2 x 2 pixels.
    Bilinear = 0,
    /// From 4 x 4 pixels, a = -0.75.
    Bicubic = 2,
}

/// Positions outside the picture take its edge.
const BORDER: i64 = 1;

/// `picture` `[1, C, h, w]` at `positions` `[1, 2, H, W]`, x then y in its pixels: `[1, C, H, W]`.
/// Its edge is repeated outside.
pub fn sample(
    picture: &Tensor,
    positions: &Tensor,
    interpolation: Interpolation,
) -> Result<Tensor> {
    let (h, w) = size(picture);
    // libtorch's -1 and 1 are the picture's borders, half a pixel outside its first and last
    // pixels.
    let axis = |channel: i64, n: i64| -> Result<Tensor> {
        Ok(positions
            .f_select(1, channel)?
            .f_mul_scalar(2.0 / n as f64)?
            .f_add_scalar(1.0 / n as f64 - 1.0)?)
    };
    let grid = Tensor::f_stack(&[axis(0, w)?, axis(1, h)?], 3)?;
    Ok(picture.f_grid_sampler(&grid, interpolation as i64, BORDER, false)?)
}

/// `x` `[N, C, H, W]` under a Gaussian window of `sigma` pixels, edges repeated.
pub fn gaussian(x: &Tensor, sigma: f64) -> Result<Tensor> {
    let weights = window(sigma);
    if !x.requires_grad() && native::blur::takes(x) {
        return context::with_stop(|stop| native::blur::separable(x, &weights, stop));
    }
    convolved(x, &weights)
}

/// The weights along one direction, which reach to three sigma.
fn window(sigma: f64) -> Vec<f32> {
    let radius = (3.0 * sigma).ceil() as i32;
    let weights: Vec<f64> = (-radius..=radius)
        .map(|k| (-0.5 * f64::from(k * k) / (sigma * sigma)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// The same in libtorch's operations, for any device and kind, and for gradients.
fn convolved(x: &Tensor, weights: &[f32]) -> Result<Tensor> {
    let n = weights.len() as i64;
    let radius = n / 2;
    let kernel = Tensor::f_from_slice(weights)?
        .f_to_device(x.device())?
        .f_to_kind(x.kind())?;
    let shape = x.size();
    let (h, w) = size(x);
    // Every channel is a picture of its own.
    let channels = x.f_reshape([-1, 1, h, w])?;
    let along = |x: &Tensor, padding: [i64; 4], shape: [i64; 4]| -> Result<Tensor> {
        let padded = x.f_replication_pad2d(padding)?;
        Ok(padded.f_conv2d(
            &kernel.f_view(shape)?,
            None::<Tensor>,
            [1, 1],
            [0, 0],
            [1, 1],
            1,
        )?)
    };
    let rows = along(&channels, [radius, radius, 0, 0], [1, 1, 1, n])?;
    let both = along(&rows, [0, 0, radius, radius], [1, 1, n, 1])?;
    Ok(both.f_reshape(shape)?)
}

/// Central differences along x and along y, edges repeated.
pub fn gradient(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (h, w) = size(x);
    let difference = |padding: [i64; 4], dim: i64, n: i64| -> Result<Tensor> {
        let padded = x.f_replication_pad2d(padding)?;
        Ok(padded
            .f_narrow(dim, 2, n)?
            .f_sub(&padded.f_narrow(dim, 0, n)?)?
            .f_mul_scalar(0.5)?)
    };
    Ok((
        difference([1, 1, 0, 0], 3, w)?,
        difference([0, 0, 1, 1], 2, h)?,
    ))
}

/// 1 at positions `[1, 2, H, W]` that lie in a picture of `of` (height, width), else 0: `[1, 1, H,
/// W]`.
pub fn inside(positions: &Tensor, of: (f64, f64)) -> Result<Tensor> {
    let axis = |channel: i64, n: f64| -> Result<Tensor> {
        let x = positions.f_narrow(1, channel, 1)?;
        Ok(x.f_ge(-0.5)?.f_logical_and(&x.f_le(n - 0.5)?)?)
    };
    Ok(axis(0, of.1)?
        .f_logical_and(&axis(1, of.0)?)?
        .f_to_kind(positions.kind())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn close(a: &Tensor, b: &Tensor, tolerance: f64) {
        let off = (a - b).abs().max().double_value(&[]);
        assert!(off <= tolerance, "off by {off}");
    }

    #[test]
    fn sampling_at_pixels_gives_pixels() {
        let picture = Tensor::rand([1, 3, 7, 9], (Kind::Float, Device::Cpu));
        let part = pixels(2, 3, 4, 5, Device::Cpu).unwrap();
        for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
            close(
                &sample(&picture, &part, interpolation).unwrap(),
                &picture.narrow(2, 2, 4).narrow(3, 3, 5),
                1e-5,
            );
        }
    }

    #[test]
    fn a_window_keeps_planes_and_halves_an_edge() {
        let flat = Tensor::full([1, 2, 9, 11], 0.3, (Kind::Float, Device::Cpu));
        close(&gaussian(&flat, 3.0).unwrap(), &flat, 1e-6);
        let edge = pixels(0, 0, 1, 40, Device::Cpu)
            .unwrap()
            .narrow(1, 0, 1)
            .ge(20)
            .to_kind(Kind::Float);
        let blurred = gaussian(&edge, 2.0).unwrap();
        let pair = blurred.double_value(&[0, 0, 0, 19]) + blurred.double_value(&[0, 0, 0, 20]);
        assert!((pair - 1.0).abs() < 1e-6);
        // The slope of a blurred step is the window's peak.
        let (x, y) = gradient(&blurred).unwrap();
        let peak = x.max().double_value(&[]);
        assert!((peak - 0.19).abs() < 0.01, "{peak}");
        assert_eq!(y.abs().max().double_value(&[]), 0.0);
    }

    #[test]
    fn a_window_is_the_same_in_libtorchs_operations() {
        tch::manual_seed(5);
        for (shape, sigma) in [
            ([1, 3, 40, 131], 8.0),
            ([2, 6, 33, 64], 3.0),
            ([1, 1, 5, 7], 6.0),
            ([1, 2, 1, 1], 1.5),
            ([1, 1, 70, 8], 0.4),
        ] {
            let x = Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let strided = x.transpose(2, 3);
            for x in [&x, &strided] {
                let plain = convolved(x, &window(sigma)).unwrap();
                close(&gaussian(x, sigma).unwrap(), &plain, 3e-6);
            }
        }
    }

    #[test]
    fn inside_ends_half_a_pixel_beyond_the_outer_pixels() {
        let x = Tensor::from_slice(&[-0.6f32, -0.4, 3.4, 3.6]).view([1, 1, 1, 4]);
        let positions = Tensor::cat(&[&x, &(&x * 0.0)], 1);
        let found =
            Vec::<f32>::try_from(inside(&positions, (2.0, 4.0)).unwrap().view([-1])).unwrap();
        assert_eq!(found, [0., 1., 1., 0.]);
    }
}
