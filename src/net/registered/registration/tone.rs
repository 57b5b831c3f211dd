//! Bringing a reference to the ultra-wide frame's brightness and colours.

use crate::Result;
use tch::{Kind, Tensor};

/// `(colour matrix) * rgb + offset`, the same for a whole picture.
#[derive(Debug)]
pub struct Tone {
    /// `[3, 3, 1, 1]`
    matrix: Tensor,
    /// `[3]`
    offset: Tensor,
}

impl Tone {
    /// A gain and an offset a channel that give `reference` the mean and deviation of `frame`, both
    /// `[1, 3, h, w]`, where `weight` `[1, 1, h, w]` says that they show the same. They need not
    /// lie on one another to the pixel.
    pub fn of_statistics(frame: &Tensor, reference: &Tensor, weight: &Tensor) -> Result<Self> {
        let total = weight.f_sum(Kind::Float)?.f_clamp_min(1.0)?;
        let mean = |x: &Tensor| -> Result<Tensor> {
            Ok(x.f_mul(weight)?
                .f_sum_dim_intlist([2i64, 3].as_slice(), true, None::<Kind>)?
                .f_div(&total)?)
        };
        let statistics = |x: &Tensor| -> Result<(Tensor, Tensor)> {
            let centre = mean(x)?;
            let deviation = mean(&x.f_sub(&centre)?.f_square()?)?.f_sqrt()?;
            Ok((centre, deviation))
        };
        let (wanted, contrast) = statistics(frame)?;
        let (found, own) = statistics(reference)?;
        // A plain picture has no contrast to compare.
        let gain = contrast
            .f_add_scalar(1e-3)?
            .f_div(&own.f_add_scalar(1e-3)?)?
            .f_clamp(0.25, 4.0)?;
        let offset = wanted.f_sub(&found.f_mul(&gain)?)?;
        Ok(Self {
            matrix: gain.f_view([3])?.f_diag(0)?.f_view([3, 3, 1, 1])?,
            offset: offset.f_view([3])?,
        })
    }

    /// A colour matrix and offsets by least squares, for pictures that lie on one another. Both
    /// should be blurred alike. Where colours are too few to tell, it stays near to no change.
    pub fn of_pixels(frame: &Tensor, reference: &Tensor, weight: &Tensor) -> Result<Self> {
        let rows = |x: &Tensor| -> Result<Tensor> {
            Ok(x.f_reshape([x.size()[1], -1])?.f_to_kind(Kind::Double)?)
        };
        let weight = rows(weight)?; // [1, h w]
        let source = rows(reference)?;
        let ones = source.f_narrow(0, 0, 1)?.f_ones_like()?;
        let source = Tensor::f_cat(&[&source, &ones], 0)?; // [4, h w]
        let change = rows(frame)?.f_sub(&source.f_narrow(0, 0, 3)?)?; // [3, h w]
        let total = weight.f_sum(Kind::Double)?.f_clamp_min(1.0)?;
        let weighted = source.f_mul(&weight.f_div(&total)?)?;
        let squares = weighted.f_matmul(&source.f_transpose(0, 1)?)?;
        let products = weighted.f_matmul(&change.f_transpose(0, 1)?)?; // [4, 3]
        let of = (Kind::Double, frame.device());
        let ridge = Tensor::f_eye(4, of)?.f_mul_scalar(RIDGE)?;
        let solved = solved(&squares.f_add(&ridge)?, &products)?; // [4, 3]
        let solved = solved.f_transpose(0, 1)?;
        let identity = Tensor::f_eye(3, of)?;
        let place = |t: Tensor, shape: &[i64]| -> Result<Tensor> {
            Ok(t.f_reshape(shape)?.f_to_kind(frame.kind())?)
        };
        Ok(Self {
            matrix: place(solved.f_narrow(1, 0, 3)?.f_add(&identity)?, &[3, 3, 1, 1])?,
            offset: place(solved.f_narrow(1, 3, 1)?, &[3])?,
        })
    }

    /// `[N, 3, H, W]`, its shape unchanged.
    pub fn apply(&self, picture: &Tensor) -> Result<Tensor> {
        Ok(picture.f_conv2d(&self.matrix, Some(&self.offset), [1, 1], [0, 0], [1, 1], 1)?)
    }
}

/// x in `squares` x = `products` for a positive definite matrix `[n, n]` and `[n, m]`, by elimination.
/// libtorch's own solvers make the host wait for a GPU, or need libraries that not every build has.
fn solved(squares: &Tensor, products: &Tensor) -> Result<Tensor> {
    let n = squares.size()[0];
    let identity = Tensor::f_eye(n, (squares.kind(), squares.device()))?;
    let mut rows = Tensor::f_cat(&[squares, products], 1)?;
    for k in 0..n {
        let row = rows.f_narrow(0, k, 1)?;
        let row = row.f_div(&row.f_narrow(1, k, 1)?)?;
        // Every row loses what it has of unknown k, but for row k, which keeps one of it.
        let column = rows
            .f_narrow(1, k, 1)?
            .f_sub(&identity.f_narrow(1, k, 1)?)?;
        rows = rows.f_sub(&column.f_mul(&row)?)?;
    }
    Ok(rows.f_narrow(1, n, products.size()[1])?)
}

/// Variance of colours (of 0 to 1) below which [`Tone::of_pixels`] trusts no change to be all
/// theirs.
const RIDGE: f64 = 1e-4;

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn picture() -> Tensor {
        tch::manual_seed(1);
        Tensor::rand([1, 3, 24, 32], (Kind::Float, Device::Cpu))
    }

    fn ones() -> Tensor {
        Tensor::ones([1, 1, 24, 32], (Kind::Float, Device::Cpu))
    }

    fn off(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    #[test]
    fn elimination_solves_as_a_library_does() {
        tch::manual_seed(8);
        let of = (Kind::Double, Device::Cpu);
        let some = Tensor::randn([4, 9], of);
        let squares = some.matmul(&some.transpose(0, 1)) + Tensor::eye(4, of) * 1e-4;
        let products = Tensor::randn([4, 3], of);
        let expected = Tensor::linalg_solve(&squares, &products, true);
        assert!(off(&solved(&squares, &products).unwrap(), &expected) < 1e-9);
    }

    #[test]
    fn statistics_undo_gains_and_offsets_of_a_moved_picture() {
        let frame = picture();
        let gains = Tensor::from_slice(&[0.8f32, 1.0, 1.2]).view([1, 3, 1, 1]);
        let reference = frame.roll([5], [3]) * gains + 0.05;
        let tone = Tone::of_statistics(&frame, &reference, &ones()).unwrap();
        assert!(off(&tone.apply(&reference).unwrap(), &frame.roll([5], [3])) < 0.01);
    }

    #[test]
    fn pixels_undo_a_colour_matrix_where_the_weight_is() {
        let frame = picture();
        let mixed = Tone {
            matrix: Tensor::from_slice(&[0.9f32, 0.05, 0.0, -0.04, 1.1, 0.03, 0.02, 0.0, 0.8])
                .view([3, 3, 1, 1]),
            offset: Tensor::from_slice(&[0.02f32, 0.0, -0.03]),
        };
        let reference = mixed.apply(&frame).unwrap();
        let wrong_half = Tensor::rand([1, 3, 24, 16], (Kind::Float, Device::Cpu));
        let reference = Tensor::cat(&[&reference.narrow(3, 0, 16), &wrong_half], 3);
        let weight = Tensor::cat(&[ones().narrow(3, 0, 16), ones().narrow(3, 0, 16) * 0.0], 3);
        let tone = Tone::of_pixels(&frame, &reference, &weight).unwrap();
        let corrected = tone.apply(&reference).unwrap();
        assert!(off(&corrected.narrow(3, 0, 16), &frame.narrow(3, 0, 16)) < 0.01);
    }

    #[test]
    fn a_plain_picture_changes_little_but_its_brightness() {
        let plain = |value: f64| Tensor::full([1, 3, 24, 32], value, (Kind::Float, Device::Cpu));
        for tone in [
            Tone::of_statistics(&plain(0.5), &plain(0.4), &ones()).unwrap(),
            Tone::of_pixels(&plain(0.5), &plain(0.4), &ones()).unwrap(),
        ] {
            assert!(off(&tone.apply(&plain(0.4)).unwrap(), &plain(0.5)) < 0.01);
        }
        let nowhere = Tone::of_pixels(&plain(0.5), &plain(0.4), &(ones() * 0.0)).unwrap();
        assert!(off(&nowhere.apply(&plain(0.4)).unwrap(), &plain(0.4)) < 1e-6);
    }
}
