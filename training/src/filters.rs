//! Convolution weights that are written down rather than drawn.

use anyhow::Result;
use std::f64::consts::PI;
use tch::{Device, Kind, Tensor};

/// Brightness, red against blue, green against both: orthogonal.
pub const COLOURS: [[f64; 3]; 3] = [[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]];

/// Factors by frequency (vertical plus horizontal), about as photographs fall off, so that all channels come out alike.
const GAINS: [f64; 5] = [0.3, 3.0, 6.0, 10.0, 14.0];

/// Frequencies of the discrete cosine transform of 3 x 3 pixels, vertical and horizontal, row by row.
pub fn frequencies() -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..3).flat_map(|v| (0..3).map(move |u| (v, u)))
}

/// Values of the discrete cosine transform of every 3 x 3 neighbourhood, `[2 n, 3, 3, 3]`: of each colour and frequency both signs, as a leaky ReLU behind would lose one.
///
/// # Errors
/// Where memory runs out.
pub fn cosines(wanted: impl IntoIterator<Item = ([f64; 3], (usize, usize))>) -> Result<Tensor> {
    let wave = |k: usize| -> [f64; 3] {
        let scale = if k == 0 { 1.0 / 3.0 } else { 2.0 / 3.0_f64 };
        [0, 1, 2].map(|x| (PI * (f64::from(x) + 0.5) * k as f64 / 3.0).cos() * scale.sqrt())
    };
    let mut values: Vec<f64> = vec![];
    for (colour, (v, u)) in wanted {
        let length = colour.iter().map(|v| v * v).sum::<f64>().sqrt();
        for sign in [1.0, -1.0] {
            for channel in colour {
                let (rows, columns) = (wave(v), wave(u));
                let factor = sign * GAINS[u + v] * channel / length;
                values.extend(
                    rows.iter()
                        .flat_map(|row| columns.iter().map(move |column| factor * row * column)),
                );
            }
        }
    }
    Ok(Tensor::f_from_slice(&values)?.f_view([-1, 3, 3, 3])?)
}

/// A 3 x 3 convolution that multiplies each of `channels` by `factor`.
///
/// # Errors
/// Where memory runs out.
pub fn diagonal(channels: i64, factor: f64) -> Result<Tensor> {
    let options = (Kind::Double, Device::Cpu);
    let weight = Tensor::f_zeros([channels, channels, 3, 3], options)?;
    weight
        .f_select(3, 1)?
        .f_select(2, 1)?
        .f_copy_(&Tensor::f_eye(channels, options)?.f_mul_scalar(factor)?)?;
    Ok(weight)
}

/// A 3 x 3 convolution `[4 C, C, 3, 3]` that, with the pixel shuffle behind it, is bilinear enlargement of each of `channels` to twice the size.
///
/// # Errors
/// Where memory runs out.
pub fn bilinear_twice(channels: i64) -> Result<Tensor> {
    let options = (Kind::Double, Device::Cpu);
    let taps = Tensor::f_from_slice(&[0.25, 0.75, 0.0, 0.0, 0.75, 0.25])?.f_view([2, 3])?; // of the first and the second of the two pixels
    let places =
        Tensor::f_einsum("iy,jx->ijyx", &[&taps, &taps], None::<i64>)?.f_view([4, 3, 3])?;
    let weight = Tensor::f_einsum(
        "ok,pyx->opkyx",
        &[&Tensor::f_eye(channels, options)?, &places],
        None::<i64>,
    )?;
    Ok(weight.f_reshape([4 * channels, channels, 3, 3])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enlargement_is_bilinear() {
        tch::manual_seed(1);
        let x = Tensor::rand([1, 5, 6, 7], (Kind::Double, Device::Cpu));
        let ours = x
            .conv2d(&bilinear_twice(5).unwrap(), None::<Tensor>, 1, 1, 1, 1)
            .pixel_shuffle(2);
        let theirs = x.upsample_bilinear2d([12, 14], false, None, None);
        let inner = |t: &Tensor| t.slice(2, 2, 10, 1).slice(3, 2, 12, 1);
        assert!(
            (inner(&ours) - inner(&theirs))
                .abs()
                .max()
                .double_value(&[])
                < 1e-12
        );
    }
}
