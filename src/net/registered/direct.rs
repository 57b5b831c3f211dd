//! The live model's enlargement: everything at the frame's own size, and the picture in one step.

use super::{
    carried::Carried,
    details::{Details, WIDE_DENSITY},
    enlarged::{Enlarged, SCALE, SLOPE},
    fusion::{DETAIL, Detail},
};
use crate::{
    Result,
    layout::{channels_last, size},
    net::layers::{
        conv::{Conv, Then},
        ops::bicubic,
        strips::in_strips,
        variables::Path,
    },
    profile::{self, Stage},
};
use tch::Tensor;

/// Numbers a pixel that make the picture of it.
const PICTURE: i64 = 3 * SCALE * SCALE;

/// The layers behind the trunk.
#[derive(Debug)]
pub struct Direct {
    pub wide_fusion: Small,
    last: Conv,
}

impl Direct {
    pub fn new(vs: &Path<'_>, channels: i64) -> Result<Self> {
        Ok(Self {
            wide_fusion: Small::new(&(vs / "wide_fusion"), channels)?,
            last: Conv::new(vs / "last", channels, PICTURE, 3)?,
        })
    }

    /// Large frames are computed in strips of rows.
    pub fn enlarged(
        &self,
        feature: &Tensor,
        frame: &Tensor,
        details: &Details,
    ) -> Result<Enlarged> {
        let picture = in_strips(size(frame), (PICTURE, 1), SCALE, |strip| {
            let (first, rows) = strip.span(1);
            let mut x = strip.of(feature, 1)?;
            if let Some(detail) = &details.in_rows(first, rows)?.wide {
                x = self.wide_fusion.forward(&x, detail)?;
            }
            let frame = strip.of(frame, 1)?;
            let (h, w) = size(&frame);
            let base = bicubic(&frame, SCALE * h, SCALE * w)?;
            let finer = self.last.forward(&x)?.f_pixel_shuffle(SCALE)?;
            strip.kept(&base.f_add(&finer.f_to_kind(base.kind())?)?, SCALE)
        })?;
        Ok(Enlarged {
            picture,
            carried: Carried::default(),
        })
    }
}

/// Adds the wide camera's detail to features at the frame's size. Its last convolution starts as zero, so that
/// an untrained one changes nothing.
#[derive(Debug)]
pub struct Small {
    encoder: Conv,
    conv1: Conv,
    conv2: Conv,
}

impl Small {
    fn new(vs: &Path<'_>, channels: i64) -> Result<Self> {
        let c = channels;
        let detail = DETAIL * WIDE_DENSITY * WIDE_DENSITY;
        Ok(Self {
            encoder: Conv::new(vs / "encoder", detail, c, 3)?,
            conv1: Conv::new(vs / "conv1", 2 * c, c, 3)?,
            conv2: Conv::zero(vs / "conv2", c, c, 3)?,
        })
    }

    pub fn is_idle(&self) -> Result<bool> {
        self.conv2.is_idle()
    }

    /// Features `[1, C, H, W]` with what `detail` `[1, 12, 2h, 2w]` adds in its field, where it fades out.
    fn forward(&self, features: &Tensor, detail: &Detail) -> Result<Tensor> {
        let _stage = profile::stage(Stage::Fusion);
        let (d, field) = (detail.density, detail.field);
        let (h, w) = size(features);
        let part =
            features
                .f_narrow(2, field.top, field.height)?
                .f_narrow(3, field.left, field.width)?;
        let lrelu = Then::lrelu(SLOPE);
        let shown = channels_last(&detail.input.f_pixel_unshuffle(d)?)?;
        let x = self.encoder.then(&[&shown], lrelu)?;
        let x = self.conv1.then(&[&part, &x], lrelu)?;
        let added = self.conv2.forward(&x)?;
        let fading = detail.fading()?;
        let fading = fading.f_avg_pool2d([d, d], [d, d], [0, 0], false, true, None)?;
        let added = added.f_mul(&fading.f_to_kind(added.kind())?)?;
        let around = [
            field.left,
            w - field.left - field.width,
            field.top,
            h - field.top - field.height,
        ];
        Ok(features.f_add(&added.f_constant_pad_nd(around)?)?)
    }
}
