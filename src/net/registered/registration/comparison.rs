//! Whether a reference that has been laid on a frame shows what the frame shows.

use super::{sampling::filled, tone::Tone};
use crate::{
    Result,
    layout::size,
    net::layers::{
        local::gaussian,
        ops::{bicubic, bilinear},
    },
};
use tch::{Kind, Tensor};

/// Sigma of the window in which frame and reference are compared.
const COMPARED: f64 = 4.0;
/// Sigma of a second window, for what is torn or bent next to an edge that fits.
const FINE: f64 = 1.5;
/// Sigma of the blur under which differences of sharpness and noise vanish.
const BLUR: f64 = 1.5;
/// Variance of local detail under which noise is all that could be compared.
const PLAIN: f64 = 2e-5;
/// Local correlation from which on a place counts as the same, and under which as another thing. Half
/// alike is as a rule the same thing in another place: what it shows does more harm than good.
const SAME: (f64, f64) = (0.9, 0.6);
/// Correlation in the fine window from which on two pictures do not contradict one another, and under
/// which they do.
const CONTRADICTED: (f64, f64) = (0.5, 0.1);
/// About a place where they do, nothing is believed for so many pixels of the frame: what was torn off
/// there was laid somewhere near.
const DOUBTED: i64 = 5;
/// Agreement under which the whole reference counts as missing, by whether it lies where phones' lenses
/// look. Related pictures reach 0.7, noisy ones and those of which much is covered 0.4. So do one in eight of
/// unrelated ones, bent to agree somewhere, but of 191 only two did so where lenses look.
const LEAST_AGREEMENT: [f64; 2] = [0.5, 0.35];

/// Mean absolute difference of a part of a frame `[1, 3, h, w]` and a reference laid on it at
/// `density` times its size, brought to the frame's density and slightly blurred: `[1, 1, h, w]`
/// enlarged to the reference's size.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where sizes do not fit.
fn residual(part: &Tensor, picture: &Tensor, density: i64) -> Result<Tensor> {
    let side = [density, density];
    let small = picture.f_avg_pool2d(side, side, [0, 0], false, true, None)?;
    let off = small
        .f_sub(part)?
        .f_abs()?
        .f_mean_dim([1i64].as_slice(), true, None::<Kind>)?;
    let (h, w) = size(picture);
    bilinear(&gaussian(&off, BLUR)?, h, w, false)
}

/// A reference on a part of a frame, in the frame's colours.
#[derive(Debug)]
pub struct Laid {
    /// `[1, 3, d h, d w]`. Beyond the reference's edges it is the frame, enlarged.
    pub picture: Tensor,
    /// 1 where it shows what the frame shows, else 0, `[1, 1, d h, d w]`.
    pub mask: Tensor,
    /// Local difference of the two, `[1, 1, d h, d w]`.
    pub residual: Tensor,
    /// Correlation of local detail over all that it shows, one number: 1 is equal, 0 unrelated.
    pub agreement: Tensor,
}

impl Laid {
    /// Whether it shows the frame's scene at all, one truth value; else it is to be treated as missing.
    /// Less is asked of it where it is expected, see
    /// [`Placement::is_expected`](crate::net::registered::registration::Placement::is_expected).
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn holds(&self, expected: bool) -> Result<Tensor> {
        let least = LEAST_AGREEMENT[usize::from(expected)];
        Ok(self.agreement.f_ge(least)?)
    }

    /// The same where `holds`, one truth value, is true; else nothing at all, and no number of it is left,
    /// which might be none.
    pub(super) fn only_where(self, holds: &Tensor) -> Result<Self> {
        let kept = |x: &Tensor| x.f_where_self(holds, &x.f_zeros_like()?);
        Ok(Self {
            picture: kept(&self.picture)?,
            mask: kept(&self.mask)?,
            residual: kept(&self.residual)?,
            ..self
        })
    }
}

/// Compares a part of a frame `[1, 3, h, w]` with a reference that lies on it, `picture` `[1, 3, d
/// h, d w]` with d the `density`, and brings that to the frame's tone. `seen` `[1, 1, h, w]` is 1
/// where the reference camera sees anything.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where sizes do not fit.
pub fn lay(part: &Tensor, picture: &Tensor, seen: &Tensor, density: i64) -> Result<Laid> {
    let side = [density, density];
    let reduced = picture.f_avg_pool2d(side, side, [0, 0], false, true, None)?;
    let tone = Tone::of_statistics(part, &reduced, seen)?;
    let reduced = filled(&tone.apply(&reduced)?, part, seen)?;
    let comparison = Comparison::new(part, &reduced, seen)?;
    let picture = comparison.tone.apply(&tone.apply(picture)?)?;
    let (h, w) = size(&picture);
    let picture = filled(
        &picture,
        &bicubic(part, h, w)?,
        &bilinear(seen, h, w, false)?,
    )?;
    Ok(Laid {
        residual: residual(part, &picture, density)?,
        mask: bilinear(&comparison.mask, h, w, false)?,
        agreement: comparison.agreement,
        picture,
    })
}

/// Frame and reference laid on one another.
struct Comparison {
    /// What is still to be done about the reference's colours.
    pub tone: Tone,
    /// 1 where they show the same, 0 where the reference sees nothing or something else: `[1, 1, h,
    /// w]`.
    pub mask: Tensor,
    /// A correlation over all that both see, one number: 1 is equal, 0 unrelated.
    pub agreement: Tensor,
}

impl Comparison {
    /// Of a part of a frame and a reference at the frame's density, both `[1, 3, h, w]`; `seen` is 1
    /// where there is a reference.
    fn new(part: &Tensor, reference: &Tensor, seen: &Tensor) -> Result<Self> {
        let broad = Correlation::new(part, reference, seen, COMPARED)?;
        let fine = Correlation::new(part, reference, seen, FINE)?;
        let believed = lowest(&fine.ramp(CONTRADICTED)?, DOUBTED)?;
        let mask = broad
            .ramp(SAME)?
            .f_minimum(&fine.ramp(SAME)?)?
            .f_minimum(&believed)?
            .f_mul(seen)?;
        let Correlation { both, energy } = broad;
        let total = |x: &Tensor| -> Result<Tensor> { Ok(x.f_mul(seen)?.f_sum(Kind::Double)?) };
        let (both, energy) = (total(&both)?, total(&energy)?);
        let plain = seen.f_sum(Kind::Double)?.f_mul_scalar(PLAIN)?;
        let detailed = energy.f_gt_tensor(&plain)?;
        let agreement = both
            .f_div(&energy)?
            .f_where_self(&detailed, &both.f_zeros_like()?)?;
        let blurred = |x: &Tensor| gaussian(x, BLUR);
        let tone = Tone::of_pixels(&blurred(part)?, &blurred(reference)?, &mask)?;
        Ok(Self {
            tone,
            mask,
            agreement,
        })
    }
}

/// How alike the detail of a part of a frame and of a reference is about each pixel.
struct Correlation {
    /// Their covariance, `[1, 1, h, w]`.
    both: Tensor,
    /// The geometric mean of their variances.
    energy: Tensor,
}

impl Correlation {
    /// In a Gaussian window of `sigma` pixels, which also says what counts as detail.
    fn new(part: &Tensor, reference: &Tensor, seen: &Tensor, sigma: f64) -> Result<Self> {
        let detail = |x: &Tensor| x.f_sub(&gaussian(x, sigma)?).map_err(crate::Error::from);
        let (own, other) = (detail(part)?, detail(reference)?);
        let compared = |a: &Tensor, b: &Tensor| -> Result<Tensor> {
            let product = a
                .f_mul(b)?
                .f_mean_dim([1i64].as_slice(), true, None::<Kind>)?;
            gaussian(&product.f_mul(seen)?, sigma)
        };
        Ok(Self {
            both: compared(&own, &other)?,
            energy: compared(&own, &own)?
                .f_mul(&compared(&other, &other)?)?
                .f_sqrt()?,
        })
    }

    /// 1 from a correlation `high` on, 0 up to `low`, `[1, 1, h, w]`. Where there is no detail there is
    /// nothing to contradict.
    fn ramp(&self, (high, low): (f64, f64)) -> Result<Tensor> {
        let correlation = self
            .both
            .f_add_scalar(PLAIN)?
            .f_div(&self.energy.f_add_scalar(PLAIN)?)?;
        Ok(correlation
            .f_sub_scalar(low)?
            .f_div_scalar(high - low)?
            .f_clamp(0.0, 1.0)?)
    }
}

/// The least value of `x` `[1, 1, h, w]` within `reach` rows and columns of each pixel.
fn lowest(x: &Tensor, reach: i64) -> Result<Tensor> {
    let n = 2 * reach + 1;
    let highest = |x: &Tensor, size: [i64; 2], around: [i64; 2]| {
        x.f_max_pool2d(size, [1, 1], around, [1, 1], false)
    };
    let rows = highest(&x.f_neg()?, [n, 1], [reach, 0])?;
    Ok(highest(&rows, [1, n], [0, reach])?.f_neg()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::layers::local::tests::close;
    use tch::Device;

    const OF: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn texture(seed: i64) -> Tensor {
        tch::manual_seed(seed);
        gaussian(&Tensor::rand([1, 3, 40, 48], OF), 0.8).unwrap()
    }

    #[test]
    fn the_lowest_value_spreads_to_a_square() {
        let x = Tensor::ones([1, 1, 9, 11], OF);
        let _ = x.narrow(2, 4, 1).narrow(3, 1, 1).fill_(-2.0);
        let expected = Tensor::ones([1, 1, 9, 11], OF);
        let _ = expected.narrow(2, 2, 5).narrow(3, 0, 4).fill_(-2.0);
        close(&lowest(&x, 2).unwrap(), &expected, 0.0);
    }

    #[test]
    fn the_mask_ends_well_before_a_place_that_is_bent() {
        let part = texture(3);
        let reference = part.copy();
        // A strip of it lies three pixels off.
        let bent = part.roll([3], [3]).narrow(3, 20, 5);
        reference.narrow(3, 20, 5).copy_(&bent);
        let seen = Tensor::ones([1, 1, 40, 48], OF);
        let mask = Comparison::new(&part, &reference, &seen).unwrap().mask;
        let columns =
            Vec::<f64>::try_from(mask.mean_dim([0i64, 1, 2].as_slice(), false, Kind::Double))
                .unwrap();
        assert!(columns[16..29].iter().all(|&m| m < 0.05), "{columns:?}");
        let far = columns[..6].iter().chain(&columns[40..]);
        assert!(far.clone().all(|&m| m > 0.95), "{columns:?}");
        // Noise of a camera is no contradiction.
        let noisy = &part + Tensor::randn([1, 3, 40, 48], OF) * 0.01;
        let mask = Comparison::new(&part, &noisy, &seen).unwrap().mask;
        let mean = mask.mean(Kind::Double).double_value(&[]);
        assert!(mean > 0.9, "{mean}");
    }
}
