//! Pixel grids and sampling at positions in pixels.

use crate::{
    Result,
    layout::size,
    net::layers::{local::windowed, ops::GRID},
};
use std::f64::consts::PI;
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

/// Pixels on either side of the window through which [`doubled`] looks.
const REACH: i64 = 6;

/// `picture` `[1, C, h, w]` with a pixel between any two, `[1, C, 2 h, 2 w]`: pixel k becomes pixel
/// 2 k. What is between is Lanczos's, from 12 x 12 pixels; edges are repeated.
pub fn doubled(picture: &Tensor) -> Result<Tensor> {
    let wider = picture.f_replication_pad2d([REACH; 4])?;
    let (h, w) = size(&wider);
    let of = (picture.kind(), picture.device());
    let apart = Tensor::f_zeros([1, wider.size()[1], 2 * h, 2 * w], of)?;
    apart
        .f_slice(2, None, None, 2)?
        .f_slice(3, None, None, 2)?
        .f_copy_(&wider)?;
    let (h, w) = size(picture);
    Ok(windowed(&apart, &between())?
        .f_narrow(2, 2 * REACH, 2 * h)?
        .f_narrow(3, 2 * REACH, 2 * w)?)
}

/// The window of [`doubled`], in steps of half a pixel. It leaves pixels as they are, and what lies
/// between equal ones.
fn between() -> Vec<f32> {
    let sinc = |x: f64| {
        if x == 0.0 {
            1.0
        } else {
            (PI * x).sin() / (PI * x)
        }
    };
    let reach = 2 * REACH as i32 - 1;
    let lanczos = |k: i32| {
        let x = f64::from(k) / 2.0;
        sinc(x) * sinc(x / REACH as f64)
    };
    let odd: f64 = (-reach..=reach).step_by(2).map(lanczos).sum();
    let weight = |k: i32| match k % 2 {
        0 => f64::from(u8::from(k == 0)),
        _ => lanczos(k) / odd,
    };
    (-reach..=reach).map(|k| weight(k) as f32).collect()
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

/// A reference that lies on a part of the frame, with the part itself where the reference has
/// ended. Edges repeated would pass for motion, and for another brightness, as far inside as
/// windows reach.
pub fn filled(reference: &Tensor, part: &Tensor, seen: &Tensor) -> Result<Tensor> {
    Ok(part.f_add(&reference.f_sub(part)?.f_mul(seen)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::layers::local::tests::close;
    use tch::Kind;

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
    fn doubled_keeps_pixels_and_between_them_fine_waves() {
        let of = (Kind::Float, Device::Cpu);
        let picture = Tensor::rand([1, 3, 17, 19], of);
        let all = doubled(&picture).unwrap();
        assert_eq!(all.size(), [1, 3, 34, 38]);
        let pixels = all.slice(2, None, None, 2).slice(3, None, None, 2);
        close(&pixels, &picture, 1e-6);
        let plain = Tensor::full([1, 3, 17, 19], 0.3, of);
        close(
            &doubled(&plain).unwrap(),
            &Tensor::full([1, 3, 34, 38], 0.3, of),
            1e-6,
        );
        // Waves of 2.5 pixels, of which bicubic interpolation leaves half in the middle.
        let wave = |shape: [i64; 4], step: f64| {
            (Tensor::arange(shape[3], of) * (0.8 * PI * step))
                .cos()
                .expand(shape, false)
        };
        let fine = doubled(&wave([1, 1, 4, 64], 1.0)).unwrap();
        let middle = |x: &Tensor| x.narrow(3, 24, 80);
        close(&middle(&fine), &middle(&wave([1, 1, 8, 128], 0.5)), 0.05);
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
