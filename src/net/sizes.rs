//! The sizes of frames that a network takes.

use super::{Network, frame::Frame, refvsr::refill::Refill};
use crate::{
    Error, Result,
    image::pad::pad_to,
    layout::{rgb_size, round_up},
};
use tch::Tensor;

impl Network {
    /// Pads a frame `[1, 3, H, W]` on the right and bottom, by reflection, to a size the network takes: sides that are multiples of the
    /// matching kernel and at least two of them, for RefVSR-IR at least 64.
    ///
    /// # Errors
    /// [`Error::Shape`] for anything but an RGB frame.
    pub fn pad(&self, frame: &Tensor) -> Result<Tensor> {
        let (h, w) = rgb_size("frame", frame)?;
        let up = |n: i64| round_up(n.max(self.min_size()), self.config().size_multiple());
        pad_to(frame, up(h), up(w))
    }

    fn min_size(&self) -> i64 {
        if self.config().variant.registers() {
            return 1;
        }
        // The ultra-wide frame has a matched position every K/2 pixels, the references every K: two of those.
        let matching = 2 * self.config().size_multiple();
        if self.refill().is_some() {
            matching.max(Refill::MIN_SIZE)
        } else {
            matching
        }
    }

    pub(super) fn check(&self, window: &[Frame<'_>]) -> Result<()> {
        let Some(first) = window.first() else {
            return Err(Error::shape("window", "0 frames", "at least one"));
        };
        let (multiple, min, size) = (
            self.config().size_multiple(),
            self.min_size(),
            first.lr.size(),
        );
        for frame in window {
            if frame.lr.size() != size {
                return Err(Error::shape(
                    "window",
                    format!("{:?} beside {size:?}", frame.lr.size()),
                    "frames of one size",
                ));
            }
            if frame.references.is_empty() {
                return Err(Error::shape(
                    "window",
                    "a frame without references",
                    "at least one reference a frame",
                ));
            }
            for (what, picture) in std::iter::once(("ultra-wide frame", frame.lr))
                .chain(frame.references.iter().map(|r| ("reference", *r)))
            {
                let (h, w) = rgb_size(what, picture)?;
                if h.min(w) < min || h % multiple != 0 || w % multiple != 0 {
                    let expected = format!("H and W multiples of {multiple} and at least {min}");
                    return Err(Error::shape(
                        what,
                        format!("{:?}", picture.size()),
                        &expected,
                    ));
                }
            }
        }
        Ok(())
    }
}
