//! What registration found out, on the device until it is read.

use super::{Placement, Similarity};
use crate::Result;
use tch::{Device, Kind, Tensor};

/// Whether a reference holds, and where its camera looks: known to the device.
#[derive(Debug)]
pub struct Verdict {
    /// f64, `[8]`: whether it holds (1 or 0), the agreement, and the similarity's numbers.
    numbers: Tensor,
    /// Sizes of the frame and of the reference at the frame's density.
    sizes: ((i64, i64), (f64, f64)),
}

/// Where a reference camera looks, and how well it agrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// Where it looks.
    pub placement: Placement,
    /// See [`Laid::agreement`](crate::net::registered::registration::Laid::agreement).
    pub agreement: f64,
}

impl Verdict {
    /// `agreement` and `holds` are one number each.
    pub(super) fn new(
        similarity: &Similarity,
        agreement: &Tensor,
        holds: &Tensor,
        sizes: ((i64, i64), (f64, f64)),
    ) -> Result<Self> {
        let one = |x: &Tensor| x.f_reshape([1])?.f_to_kind(Kind::Double);
        let numbers = Tensor::f_cat(&[&one(holds)?, &one(agreement)?, similarity.numbers()], 0)?;
        Ok(Self { numbers, sizes })
    }

    /// The same numbers once more.
    pub fn shallow_clone(&self) -> Self {
        Self {
            numbers: self.numbers.shallow_clone(),
            sizes: self.sizes,
        }
    }

    /// `None`: the reference does not hold. Waits for the device, which sends all numbers at once.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn read(&self) -> Result<Option<Place>> {
        let here = self.numbers.f_to_device(Device::Cpu)?;
        let number = |n: i64| here.f_double_value(&[n]);
        let (holds, agreement) = (number(0)?, number(1)?);
        let similarity = (2..8)
            .map(number)
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let placement = Placement::of(&similarity, self.sizes.0, self.sizes.1);
        Ok(placement.filter(|_| holds != 0.0).map(|placement| Place {
            placement,
            agreement,
        }))
    }
}
