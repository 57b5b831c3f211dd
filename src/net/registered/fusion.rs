//! Fusion of a registered reference into the features, as a residual and inside its field only.
//!
//! The reference comes as detail at the frame's own local mean and contrast, since two cameras
//! differ in tone, sharpness and exposure from place to place. What it adds is learnt; the last
//! convolution starts as zero, so that an untrained fusion changes nothing.

use super::registration::Laid;
use crate::{
    Result,
    layout::size,
    net::layers::{
        conv::{Conv, Then},
        local::gaussian,
        ops::{bicubic, cat},
        rectangle::Rectangle,
        variables::Path,
    },
    profile::{self, Stage},
};
use tch::{Kind, Tensor};

/// Channels of [`detail`].
pub const DETAIL: i64 = 12;
/// The one of them that is the local correlation.
const CORRELATION: i64 = 9;

/// Slope of the leaky ReLUs.
const SLOPE: f64 = 0.1;
/// Sigma in frame pixels of the window whose mean and contrast are made equal.
const LOCAL: f64 = 3.0;
/// Sigma in frame pixels of the blur that leaves of the reference what the frame can show.
const SHOWN: f64 = 0.6;
/// The largest gain by which the reference's contrast is brought to the frame's.
const MOST_GAIN: f64 = 3.0;
/// Variance that counts as none.
const FLOOR: f64 = 1e-5;
/// Brings the finest detail to the size of the other inputs.
const FINEST: f64 = 10.0;
/// The same for the residual.
const OFF: f64 = 20.0;

/// The reference as [`Fusion`] takes it, `[1, 12, d h, d w]` for a part `[1, 3, h, w]` of a frame
/// and a reference laid on it with `density` d.
///
/// Channels: the reference at the frame's local mean and contrast less the enlarged frame (3), its
/// finest detail (3), the enlarged frame's finest detail (3), local correlation, residual, mask.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where sizes do not fit.
fn detail(part: &Tensor, laid: &Laid, density: i64) -> Result<Tensor> {
    let Laid {
        picture,
        mask,
        residual,
        ..
    } = laid;
    let d = density as f64;
    let (h, w) = size(picture);
    let frame = bicubic(part, h, w)?;
    let local = |x: &Tensor| gaussian(x, LOCAL * d);
    let shown = gaussian(picture, SHOWN * d)?;
    let (reference_mean, frame_mean) = (local(&shown)?, local(&frame)?);
    let (a, b) = (shown.f_sub(&reference_mean)?, frame.f_sub(&frame_mean)?);
    let reference_variance = local(&a.f_square()?)?.f_clamp_min(FLOOR)?;
    let frame_variance = local(&b.f_square()?)?.f_clamp_min(FLOOR)?;
    let covariance = local(&a.f_mul(&b)?)?;
    let gain = covariance
        .f_div(&reference_variance)?
        .f_clamp(0.0, MOST_GAIN)?;
    let alike = picture
        .f_sub(&reference_mean)?
        .f_mul(&gain)?
        .f_add(&frame_mean)?;
    let correlation = covariance
        .f_square()?
        .f_div(&reference_variance.f_mul(&frame_variance)?)?
        .f_clamp(0.0, 1.0)?
        .f_mean_dim([1i64].as_slice(), true, None::<Kind>)?;
    let finest = |x: &Tensor| x.f_sub(&gaussian(x, d / 2.0)?).map_err(crate::Error::from);
    cat(&[
        &alike.f_sub(&frame)?.f_mul(mask)?,
        &finest(&alike)?.f_mul_scalar(FINEST)?.f_mul(mask)?,
        &finest(&frame)?,
        &correlation.f_mul(mask)?,
        &residual.f_mul_scalar(OFF)?.f_mul(mask)?,
        mask,
    ])
}

/// What a reference adds to a frame, and where.
#[derive(Debug)]
pub struct Detail {
    /// See [`detail`].
    pub input: Tensor,
    /// The part of the frame it covers.
    pub field: Rectangle,
    /// Its pixels an ultra-wide pixel, in each direction.
    pub density: i64,
}

impl Detail {
    /// Of a reference that lies on `part` `[1, 3, h, w]`, the `field` of a frame.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn new(part: &Tensor, laid: &Laid, field: Rectangle, density: i64) -> Result<Self> {
        Ok(Self {
            input: detail(part, laid, density)?,
            field,
            density,
        })
    }

    /// How alike reference and frame are about each pixel of the field, `[1, 1, h, w]`: local
    /// correlation, 0 where the reference shows nothing.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn correlation(&self) -> Result<Tensor> {
        let d = [self.density; 2];
        let fine = self.input.f_narrow(1, CORRELATION, 1)?;
        Ok(fine.f_avg_pool2d(d, d, [0, 0], false, true, None)?)
    }

    /// How much of it counts, `[1, 1, d h, d w]`: from 1 where the reference shows the frame to 0 where it
    /// ends.
    pub(super) fn fading(&self) -> Result<Tensor> {
        gaussian(&self.input.f_narrow(1, DETAIL - 1, 1)?, 1.0)
    }

    /// The part of it that lies in `rows` rows of the frame from `first` on, as a detail of those rows
    /// alone. `None` where it has nothing there.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where sizes do not fit.
    pub fn in_rows(&self, first: i64, rows: i64) -> Result<Option<Self>> {
        let (d, field) = (self.density, self.field);
        let top = field.top.max(first);
        let height = (field.top + field.height).min(first + rows) - top;
        if height <= 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            input: self.input.f_narrow(2, d * (top - field.top), d * height)?,
            field: Rectangle {
                top: top - first,
                height,
                ..field
            },
            density: d,
        }))
    }
}

/// The residual block that adds a reference's detail to features.
#[derive(Debug)]
pub struct Fusion {
    encoder1: Conv,
    encoder2: Conv,
    conv1: Conv,
    conv2: Conv,
    conv3: Conv,
}

impl Fusion {
    /// For features of `channels`; the encoder has half as many.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn new(vs: Path<'_>, channels: i64) -> Result<Self> {
        let encoded = (channels / 2).max(1);
        Ok(Self {
            encoder1: Conv::new(&vs / "encoder1", DETAIL, encoded, 3)?,
            encoder2: Conv::new(&vs / "encoder2", encoded, encoded, 3)?,
            conv1: Conv::new(&vs / "conv1", channels + encoded, channels, 3)?,
            conv2: Conv::new(&vs / "conv2", channels, channels, 3)?,
            conv3: Conv::zero(&vs / "conv3", channels, channels, 3)?,
        })
    }

    /// Whether it adds nothing, and never will: its last convolution is zero and not in training.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the weights' device fails.
    pub fn is_idle(&self) -> Result<bool> {
        self.conv3.is_idle()
    }

    /// What is learnt from features `[1, C, d h, d w]` of the part that `detail` `[1, 12, d h, d w]`
    /// covers and from the detail, of the features' shape.
    fn hidden(&self, features: &Tensor, detail: &Tensor) -> Result<Tensor> {
        let lrelu = Then::lrelu(SLOPE);
        let x = self.encoder1.then(&[detail], lrelu)?;
        let x = self.encoder2.then(&[&x], lrelu)?;
        let x = self.conv1.then(&[features, &x], lrelu)?;
        self.conv2.then(&[&x], lrelu)
    }

    /// Features `[1, C, d H, d W]` of a whole frame with the reference's detail in its field, where it
    /// fades out; and what the fusion made of the field, `[1, C, d h, d w]`. d is the detail's density.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where sizes do not fit.
    pub fn forward(&self, features: &Tensor, detail: &Detail) -> Result<(Tensor, Tensor)> {
        let _stage = profile::stage(Stage::Fusion);
        let (d, field) = (detail.density, detail.field);
        let (top, left) = (d * field.top, d * field.left);
        let (height, width) = (d * field.height, d * field.width);
        let (h, w) = size(features);
        let part = features
            .f_narrow(2, top, height)?
            .f_narrow(3, left, width)?;
        let hidden = self.hidden(&part, &detail.input)?;
        let added = self.conv3.forward(&hidden)?;
        let added = added.f_mul(&detail.fading()?.f_to_kind(added.kind())?)?;
        let around = [left, w - left - width, top, h - top - height];
        Ok((features.f_add(&added.f_constant_pad_nd(around)?)?, hidden))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, nn::VarStore};

    fn random(shape: [i64; 4]) -> Tensor {
        Tensor::rand(shape, (Kind::Float, Device::Cpu))
    }

    fn off(a: &Tensor, b: &Tensor) -> f64 {
        (a - b).abs().max().double_value(&[])
    }

    fn some_detail(density: i64) -> Detail {
        let (h, w) = (8 * density, 16 * density);
        let mask = Tensor::ones([1, 1, h, w], (Kind::Float, Device::Cpu));
        let _ = mask.narrow(3, 0, w / 2).zero_();
        let (part, picture) = (random([1, 3, 8, 16]), random([1, 3, h, w]));
        let laid = Laid {
            picture,
            mask,
            residual: random([1, 1, h, w]),
            agreement: Tensor::from(1.0),
        };
        Detail {
            input: detail(&part, &laid, density).unwrap(),
            field: Rectangle {
                top: 4,
                left: 8,
                height: 8,
                width: 16,
            },
            density,
        }
    }

    #[test]
    fn untrained_it_changes_nothing_and_trained_only_its_field_inside_the_mask() {
        tch::manual_seed(5);
        for density in [2, 4] {
            let mut store = VarStore::new(Device::Cpu);
            let fusion = Fusion::new((store.root() / "wide_fusion").into(), 8).unwrap();
            assert!(!fusion.is_idle().unwrap(), "in training");
            let detail = some_detail(density);
            assert_eq!(detail.input.size()[1], DETAIL);
            let features = random([1, 8, 24 * density, 32 * density]);
            let same = fusion.forward(&features, &detail).unwrap().0;
            assert_eq!(off(&same, &features), 0.0);
            store.freeze();
            assert!(fusion.is_idle().unwrap());
            for (name, mut variable) in store.variables() {
                if name.contains("conv3") {
                    tch::no_grad(|| variable.copy_(&variable.rand_like()));
                }
            }
            assert!(!fusion.is_idle().unwrap());
            let change = (fusion.forward(&features, &detail).unwrap().0 - &features).abs();
            let d = density;
            let field = change.narrow(2, 4 * d, 8 * d).narrow(3, 8 * d, 16 * d);
            let sum = |t: &Tensor| t.sum(Kind::Double).double_value(&[]);
            assert!(
                (sum(&change) - sum(&field)).abs() < 1e-3,
                "outside the field"
            );
            assert!(
                sum(&field.narrow(3, 0, 8 * d - 4)) == 0.0,
                "outside the mask"
            );
            assert!(sum(&field.narrow(3, 8 * d, 8 * d)) > 1.0, "inside both");
        }
    }

    #[test]
    fn another_tone_makes_no_detail_and_sharper_things_do() {
        tch::manual_seed(6);
        let frame = gaussian(&random([1, 3, 24, 32]), 1.5).unwrap();
        let ones = Tensor::ones([1, 1, 48, 64], (Kind::Float, Device::Cpu));
        let nothing = &ones * 0.0;
        let same = bicubic(&frame, 48, 64).unwrap();
        let laid = |picture: &Tensor, mask: &Tensor, residual: &Tensor| Laid {
            picture: picture.shallow_clone(),
            mask: mask.shallow_clone(),
            residual: residual.shallow_clone(),
            agreement: Tensor::from(1.0),
        };
        let shown = |picture: &Tensor| {
            let input = detail(&frame, &laid(picture, &ones, &nothing), 2).unwrap();
            input
                .narrow(1, 0, 3)
                .abs()
                .mean(Kind::Double)
                .double_value(&[])
        };
        let (plain, toned) = (shown(&same), shown(&(&same * 0.5 + 0.3)));
        assert!((toned / plain - 1.0).abs() < 0.05, "{plain} {toned}");
        let sharper = &same + (random([1, 3, 48, 64]) - 0.5) * 0.2;
        assert!(shown(&sharper) > 3.0 * plain, "{plain}");
        // Masked out, the reference says nothing at all.
        let input = detail(&frame, &laid(&sharper, &nothing, &ones), 2).unwrap();
        let heard = Tensor::cat(&[input.narrow(1, 0, 6), input.narrow(1, 9, 3)], 1);
        assert_eq!(heard.abs().max().double_value(&[]), 0.0);
    }
}
