//! Detail of the wide camera that goes on with the recurrent feature, so that later frames have it too,
//! and places that have left the camera's field (the paper's propagation of references, section 3.1).

use super::fusion::Detail;
use crate::{
    Result,
    layout::{channels_last, room_like, size},
    net::layers::{
        conv::Conv,
        rectangle::{Rectangle, crop},
        strips::Strip,
        variables::Path,
    },
};
use tch::Tensor;

/// Brings what a fusion made of the wide camera's field back to the frame's size: a convolution of 2 x 2
/// with a stride of 2. It starts as zero; an untrained one carries nothing.
#[derive(Debug)]
pub struct Carrier {
    /// Of the four neighbours, one behind the other.
    conv: Conv,
}

impl Carrier {
    /// For features of `channels`.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn new(vs: Path<'_>, channels: i64) -> Result<Self> {
        Ok(Self {
            conv: Conv::zero(vs, 4 * channels, channels, 1)?,
        })
    }

    /// Whether it carries nothing, and never will: it is zero and not in training.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the weights' device fails.
    pub fn is_idle(&self) -> Result<bool> {
        self.conv.is_idle()
    }

    /// What `made` `[1, C, 2h, 2w]`, a fusion's work on the field of `detail`, adds to the recurrent
    /// feature there, `[1, C, h, w]`.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where sizes do not fit.
    pub fn part(&self, made: &Tensor, detail: &Detail) -> Result<Tensor> {
        let neighbours = channels_last(&made.f_pixel_unshuffle(detail.density)?)?;
        let part = self.conv.forward(&neighbours)?;
        let d = [detail.density; 2];
        let fading = detail.fading()?;
        let fading = fading.f_avg_pool2d(d, d, [0, 0], false, true, None)?;
        Ok(part.f_mul(&fading.f_to_kind(part.kind())?)?)
    }
}

/// What is added to the recurrent feature of a frame, in parts that do not overlap.
#[derive(Debug, Default)]
pub struct Carried {
    /// Where in the frame, and what: `[1, C, height, width]`.
    parts: Vec<(Rectangle, Tensor)>,
}

impl Carried {
    /// Takes what was computed of a strip's `field`, whose rows are the strip's. Its halos are left out.
    pub(super) fn take(&mut self, strip: Strip, field: Rectangle, part: &Tensor) -> Result<()> {
        if let Some(kept) = strip.kept_rows(field) {
            let above = kept.top - strip.first() - field.top;
            self.parts
                .push((kept, part.f_narrow(2, above, kept.height)?));
        }
        Ok(())
    }

    /// A feature `[1, C, h, w]` of the frame with it.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where sizes do not fit.
    pub fn onto(&self, feature: &Tensor) -> Result<Tensor> {
        if self.parts.is_empty() {
            return Ok(feature.shallow_clone());
        }
        let mut with = room_like(feature, size(feature).0)?;
        with.f_copy_(feature)?;
        for (place, part) in &self.parts {
            let _ = crop(&with, *place)?.f_add_(part)?;
        }
        Ok(with)
    }
}
