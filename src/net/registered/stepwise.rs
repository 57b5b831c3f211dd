//! BasicVSR's enlargement: twice to two times the size, each reference fused in at its own density.

use super::{
    carried::{Carried, Carrier},
    details::Details,
    enlarged::{Enlarged, SCALE, SLOPE},
    fusion::{Detail, Fusion},
};
use crate::{
    Result,
    layout::size,
    net::layers::{
        conv::{Conv, Then},
        ops::bilinear,
        strips::{Strip, in_strips},
        variables::Path,
    },
};
use tch::Tensor;

/// The layers behind the trunks, under BasicVSR's names.
#[derive(Debug)]
pub struct Stepwise {
    channels: i64,
    /// Joins both branches.
    fusion: Conv,
    upconv1: Conv,
    pub wide_fusion: Fusion,
    wide_carrier: Carrier,
    upconv2: Conv,
    pub tele_fusion: Fusion,
    conv_hr: Conv,
    conv_last: Conv,
}

impl Stepwise {
    pub fn new(vs: &Path<'_>, channels: i64) -> Result<Self> {
        let c = channels;
        Ok(Self {
            channels,
            fusion: Conv::new(vs / "fusion", 2 * c, c, 1)?,
            upconv1: Conv::new(vs / "upconv1", c, 4 * c, 3)?,
            wide_fusion: Fusion::new(vs / "wide_fusion", c)?,
            wide_carrier: Carrier::new(vs / "wide_carrier", c)?,
            upconv2: Conv::new(vs / "upconv2", c, 4 * c, 3)?,
            tele_fusion: Fusion::new(vs / "tele_fusion", c)?,
            conv_hr: Conv::new(vs / "conv_hr", c, c, 3)?,
            conv_last: Conv::new(vs / "conv_last", c, 3, 3)?,
        })
    }

    pub fn joined(&self, backward: &Tensor, forward: &Tensor) -> Result<Tensor> {
        self.fusion.then(&[backward, forward], Then::lrelu(SLOPE))
    }

    pub fn carries(&self) -> Result<bool> {
        Ok(!self.wide_carrier.is_idle()?)
    }

    /// Large frames are computed in strips of rows.
    pub fn enlarged(&self, joined: &Tensor, frame: &Tensor, details: &Details) -> Result<Enlarged> {
        let carries = self.carries()?;
        let mut carried = Carried::default();
        let picture = in_strips(size(frame), (self.channels, SCALE), SCALE, |strip| {
            let (first, rows) = strip.span(1);
            let details = details.in_rows(first, rows)?;
            let mut x = self.once_enlarged(&strip.of(joined, 1)?)?;
            if let Some(detail) = &details.wide {
                let (with, made) = self.wide_fusion.forward(&x, detail)?;
                if carries {
                    let part = self.wide_carrier.part(&made, detail)?;
                    carried.take(strip, detail.field, &part)?;
                }
                x = with;
            }
            let picture = self.picture(&x, &strip.of(frame, 1)?, details.tele.as_ref())?;
            strip.kept(&picture, SCALE)
        })?;
        Ok(Enlarged { picture, carried })
    }

    pub fn with_carried(
        &self,
        forward: &Tensor,
        joined: &Tensor,
        detail: &Detail,
    ) -> Result<Tensor> {
        let x = self.once_enlarged(joined)?;
        let (_, made) = self.wide_fusion.forward(&x, detail)?;
        let part = self.wide_carrier.part(&made, detail)?;
        let mut carried = Carried::default();
        carried.take(Strip::whole(size(joined).0), detail.field, &part)?;
        carried.onto(forward)
    }

    /// Features after the first enlargement, `[1, C, 2h, 2w]`.
    fn once_enlarged(&self, joined: &Tensor) -> Result<Tensor> {
        self.upconv1.then(&[joined], Then::shuffle(SLOPE))
    }

    /// The output from features `[1, C, 2h, 2w]`, of whole frames or of strips of them.
    fn picture(&self, x: &Tensor, frame: &Tensor, tele: Option<&Detail>) -> Result<Tensor> {
        let mut x = self.upconv2.then(&[x], Then::shuffle(SLOPE))?; // [1, C, 4h, 4w]
        if let Some(detail) = tele {
            x = self.tele_fusion.forward(&x, detail)?.0;
        }
        let x = self.conv_hr.then(&[&x], Then::lrelu(SLOPE))?;
        let (h, w) = size(frame);
        let base = bilinear(frame, SCALE * h, SCALE * w, false)?;
        Ok(self
            .conv_last
            .forward(&x)?
            .f_to_kind(base.kind())?
            .f_add(&base)?)
    }
}
