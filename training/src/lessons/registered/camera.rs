//! The reference that another camera would have given for a patch, as it comes out of registration:
//! drawn anew for every step from the patch's truth.
//!
//! Two cameras differ in far more than exposure. A fusion that learns from references as clean as
//! the truth learns to copy them, and copying makes real pictures worse; so everything that was seen
//! to differ between the cameras of one phone is drawn here, at the strengths of the config.

use crate::{
    data::processor::{Processor, Strengths, check_shares, coarse, spread},
    data::random::Random,
};
use anyhow::Result;
use refvsr::net::{
    layers::rectangle::{Rectangle, crop},
    registered::{
        fusion::{DETAIL, Detail},
        registration::{Interpolation, lay, pixels, sample},
    },
};
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// How references differ from the truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct References {
    /// Share of frames that have a wide reference.
    pub wide: f64,
    /// The same of tele references.
    pub tele: f64,
    /// One camera and one field for all frames of a patch, as a clip has; else every frame has its own
    /// [default: false].
    #[serde(default)]
    pub steady: bool,
    /// Share of references whose field ends inside the patch.
    pub ending: f64,
    /// What registration leaves, in input pixels: deviation of a smooth field's own deviation.
    pub misplaced: f64,
    /// The cameras.
    pub camera: Strengths,
}

impl References {
    /// Checks every value's range.
    ///
    /// # Errors
    /// With the value's name.
    pub fn check(&self) -> Result<()> {
        let shares = [
            ("wide", self.wide),
            ("tele", self.tele),
            ("ending", self.ending),
            ("misplaced", self.misplaced),
        ];
        check_shares("references", &shares)?;
        self.camera.check()
    }

    /// Another camera's picture of `truth` `[1, 3, 4 h, 4 w]` on the part `field` of the frame `[1,
    /// 3, h, w]`, `[1, 3, d height, d width]` with d the `density`.
    fn picture(
        &self,
        random: &mut Random,
        noise: &mut Random,
        truth: &Tensor,
        field: Rectangle,
        density: i64,
    ) -> Result<Tensor> {
        let own = 4.0 / density as f64; // one of its pixels in those of the truth
        let processor = Processor::draw(random, &self.camera)?;
        let (h, w) = (density * field.height, density * field.width);
        let grid = pixels(
            density * field.top,
            density * field.left,
            h,
            w,
            truth.device(),
        )?;
        let grid = grid
            .f_add_scalar(0.5)?
            .f_mul_scalar(own)?
            .f_sub_scalar(0.5)?;
        let off = 4.0 * self.misplaced * processor.misplaced * random.normal_pair().0.abs();
        let off = spread(&coarse(random, 2, off)?.f_to_kind(grid.kind())?, &grid)?;
        let grid = grid.f_add(&off)?;
        let seen = sample(&processor.seen(truth, own)?, &grid, Interpolation::Bicubic)?;
        processor.recorded(noise, &processor.developed(&seen)?)
    }

    /// What a reference of this `density` adds to `frame` `[1, 3, h, w]`, whose truth is `[1, 3, 4 h,
    /// 4 w]`: in a field of at most `largest` pixels a side, or the whole of the frame. `None` where
    /// it shows too much of something else. Camera and field are drawn from `random`, the picture's
    /// noise from `noise`.
    ///
    /// # Errors
    /// Where sizes do not fit.
    pub fn detail(
        &self,
        random: &mut Random,
        noise: &mut Random,
        frame: &Tensor,
        truth: &Tensor,
        (density, largest): (i64, i64),
    ) -> Result<Option<Detail>> {
        let size = frame.size();
        let ends = random.between(0.0, 1.0) < self.ending;
        let mut span = |n: i64| {
            let least = if ends { n / 4 } else { n };
            let side = (least + random.below((n - least + 1) as u64) as i64).min(largest);
            (random.below((n - side + 1) as u64) as i64, side)
        };
        let ((top, height), (left, width)) = (span(size[2]), span(size[3]));
        let field = Rectangle {
            top,
            left,
            height,
            width,
        };
        let picture = self.picture(random, noise, truth, field, density)?;
        // Fields reach a little beyond the reference, unless the frame ends first.
        let axis = |first: i64, n: i64, of: i64, random: &mut Random| -> Result<Tensor> {
            let one = Tensor::f_ones([n], (Kind::Float, frame.device()))?;
            let beyond = |random: &mut Random| (random.below(4) as i64).min(n / 4);
            if first > 0 {
                let _ = one.f_narrow(0, 0, beyond(random))?.f_zero_()?;
            }
            if first + n < of {
                let k = beyond(random);
                let _ = one.f_narrow(0, n - k, k)?.f_zero_()?;
            }
            Ok(one)
        };
        let rows = axis(top, height, size[2], random)?.f_view([1, 1, height, 1])?;
        let columns = axis(left, width, size[3], random)?.f_view([1, 1, 1, width])?;
        let part = crop(frame, field)?;
        let laid = lay(&part, &picture, &rows.f_mul(&columns)?, density)?;
        // Its cameras look where a phone's do.
        if laid.holds(true)?.f_int64_value(&[])? == 0 {
            return Ok(None);
        }
        Ok(Some(Detail::new(&part, &laid, field, density)?))
    }
}

/// What a missing reference adds. Gradients pass it, so that each step has one for every weight.
///
/// # Errors
/// Where memory runs out.
pub fn nothing(density: i64, device: Device) -> Result<Detail> {
    let side = density * EMPTY.height;
    Ok(Detail {
        input: Tensor::f_zeros([1, DETAIL, side, side], (Kind::Float, device))?,
        field: EMPTY,
        density,
    })
}

/// The field of a missing reference.
const EMPTY: Rectangle = Rectangle {
    top: 0,
    left: 0,
    height: 8,
    width: 8,
};
