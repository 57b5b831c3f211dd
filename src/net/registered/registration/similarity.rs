//! Scaling rotations whose numbers stay on the device.

use crate::Result;
use tch::{Device, Kind, Tensor};

/// A scaling rotation from positions in one picture to positions in another, in pixels. Pixel
/// centres are whole numbers. Using it never makes the host wait for the device.
#[derive(Debug)]
pub struct Similarity {
    /// f64, `[6]`: cosine and sine of the angle, both times the scale; x and y of a point of the one
    /// picture; x and y of the same point of the other.
    numbers: Tensor,
}

impl Similarity {
    /// Of numbers that the host knows, in the order of [`numbers`](Self::numbers). They are filled
    /// in on the device: a copy from the host would have to be waited for.
    pub(super) fn known(numbers: [f64; 6], device: Device) -> Result<Self> {
        let filled = numbers
            .map(|number| Tensor::f_full([0i64; 0], number, (Kind::Double, device)))
            .into_iter()
            .collect::<std::result::Result<Vec<_>, _>>()?;
        Ok(Self::of(Tensor::f_stack(&filled, 0)?))
    }

    /// Of numbers on the device.
    pub(super) fn of(numbers: Tensor) -> Self {
        Self { numbers }
    }

    /// f64, `[6]`: cosine and sine of the angle, both times the scale; x and y of a point of the one
    /// picture; x and y of the same point of the other.
    pub(super) fn numbers(&self) -> &Tensor {
        &self.numbers
    }

    /// Positions `[1, 2, h, w]` moved over.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn apply(&self, positions: &Tensor) -> Result<Tensor> {
        let [cos, sin, x, y, u, v] = self.each()?;
        linear(positions, [&cos, &sin], [&x, &y], [&u, &v])
    }

    /// Where positions `[1, 2, h, w]` of the other picture come from.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn undo_all(&self, positions: &Tensor) -> Result<Tensor> {
        let [cos, sin, x, y, u, v] = self.each()?;
        let square = cos.f_square()?.f_add(&sin.f_square()?)?;
        let (cos, sin) = (cos.f_div(&square)?, sin.f_div(&square)?.f_neg()?);
        linear(positions, [&cos, &sin], [&u, &v], [&x, &y])
    }

    fn each(&self) -> Result<[Tensor; 6]> {
        let number = |n: i64| self.numbers.f_select(0, n);
        Ok([
            number(0)?,
            number(1)?,
            number(2)?,
            number(3)?,
            number(4)?,
            number(5)?,
        ])
    }
}

fn linear(
    positions: &Tensor,
    [cos, sin]: [&Tensor; 2],
    from: [&Tensor; 2],
    to: [&Tensor; 2],
) -> Result<Tensor> {
    let x = positions.f_narrow(1, 0, 1)?.f_sub(from[0])?;
    let y = positions.f_narrow(1, 1, 1)?.f_sub(from[1])?;
    let u = x.f_mul(cos)?.f_add(&y.f_mul(sin)?)?;
    let v = y.f_mul(cos)?.f_sub(&x.f_mul(sin)?)?;
    Ok(Tensor::f_cat(&[u.f_add(to[0])?, v.f_add(to[1])?], 1)?)
}
