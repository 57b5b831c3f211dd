//! Chroma at full resolution and back, along one axis, by the linear filters that fit where its samples sit.

use crate::Result;
use tch::Tensor;

/// An axis with one chroma sample to two pixels (the last one has a single pixel where their number is odd).
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// The tensor's dimension.
    pub(super) dim: i64,
    /// Pixels along it, at least 1.
    pub(super) pixels: i64,
    /// Whether samples sit on the first of their pixels, else between the two.
    pub(super) cosited: bool,
}

impl Axis {
    /// Linear interpolation from samples to pixels. The outermost samples are repeated.
    pub(super) fn upsample(&self, samples: &Tensor) -> Result<Tensor> {
        let Self {
            dim,
            pixels,
            cosited,
        } = *self;
        let others = (pixels + 1) / 2 - 1;
        let first = samples.f_narrow(dim, 0, 1)?;
        let last = samples.f_narrow(dim, others, 1)?;
        let before = Tensor::f_cat(&[&first, &samples.f_narrow(dim, 0, others)?], dim)?;
        let after = Tensor::f_cat(&[&samples.f_narrow(dim, 1, others)?, &last], dim)?;
        // How far a sample's two pixels lie on the way to its neighbours.
        let (to_before, to_after) = if cosited { (0.0, 0.5) } else { (0.25, 0.25) };
        let pairs = [
            samples.f_lerp(&before, to_before)?,
            samples.f_lerp(&after, to_after)?,
        ];
        Ok(Tensor::f_stack(&pairs, dim + 1)?
            .f_flatten(dim, dim + 1)?
            .f_narrow(dim, 0, pixels)?)
    }

    /// From pixels to samples: the mean of a sample's two pixels, or, where it sits on the first, \[1 2 1\] / 4 around it. The
    /// outermost pixels are repeated.
    pub(super) fn downsample(&self, values: &Tensor) -> Result<Tensor> {
        let Self {
            dim,
            pixels,
            cosited,
        } = *self;
        let first = values.f_slice(dim, 0, None, 2)?;
        let mut second = values.f_slice(dim, 1, None, 2)?;
        if pixels % 2 == 1 {
            second = Tensor::f_cat(&[&second, &values.f_narrow(dim, pixels - 1, 1)?], dim)?;
        }
        if !cosited {
            return Ok(first.f_lerp(&second, 0.5)?);
        }
        let others = (pixels + 1) / 2 - 1;
        let before = Tensor::f_cat(
            &[
                &values.f_narrow(dim, 0, 1)?,
                &second.f_narrow(dim, 0, others)?,
            ],
            dim,
        )?;
        Ok(first.f_lerp(&before.f_lerp(&second, 0.5)?, 0.5)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// The element at an index, edges repeated.
    fn at(values: &[f64], index: i64) -> f64 {
        values[index.clamp(0, values.len() as i64 - 1) as usize]
    }

    fn upsampled(samples: &[f64], pixels: i64, cosited: bool) -> Vec<f64> {
        (0..pixels)
            .map(|pixel| {
                let position = if cosited {
                    pixel as f64 / 2.0
                } else {
                    (pixel as f64 - 0.5) / 2.0
                };
                let part = position - position.floor();
                at(samples, position.floor() as i64) * (1.0 - part)
                    + at(samples, position.floor() as i64 + 1) * part
            })
            .collect()
    }

    fn downsampled(values: &[f64], cosited: bool) -> Vec<f64> {
        (0..values.len().div_ceil(2) as i64)
            .map(|i| match cosited {
                true => {
                    (at(values, 2 * i - 1) + 2.0 * at(values, 2 * i) + at(values, 2 * i + 1)) / 4.0
                }
                false => (at(values, 2 * i) + at(values, 2 * i + 1)) / 2.0,
            })
            .collect()
    }

    /// Applies `filter` to every line of `values` along `dim`, and compares with `naive` on the same line.
    fn compare(
        values: &Tensor,
        dim: i64,
        filter: impl Fn(&Tensor) -> Result<Tensor>,
        naive: impl Fn(&[f64]) -> Vec<f64>,
    ) {
        let out = filter(values).unwrap();
        for line in 0..values.size()[1 - dim as usize] {
            let of = |tensor: &Tensor| {
                Vec::<f64>::try_from(tensor.select(1 - dim, line).to_kind(Kind::Double)).unwrap()
            };
            let (found, expected) = (of(&out), naive(&of(values)));
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
    }

    #[test]
    fn filters_agree_with_plain_loops() {
        for (pixels, cosited, dim) in
            (1..10).flat_map(|n| [(n, false, 0), (n, true, 0), (n, false, 1), (n, true, 1)])
        {
            let axis = Axis {
                dim,
                pixels,
                cosited,
            };
            let sized = |length| {
                let size = if dim == 0 { [length, 3] } else { [3, length] };
                Tensor::rand(size, (Kind::Float, Device::Cpu))
            };
            compare(
                &sized((pixels + 1) / 2),
                dim,
                |x| axis.upsample(x),
                |line| upsampled(line, pixels, cosited),
            );
            compare(
                &sized(pixels),
                dim,
                |x| axis.downsample(x),
                |line| downsampled(line, cosited),
            );
        }
    }
}
