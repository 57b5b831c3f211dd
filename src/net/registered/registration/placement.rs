//! Where a reference camera looks, as seen by the ultra-wide one: zoom, rotation and shift.

use super::similarity::Similarity;
use crate::{Result, layout::round_up, net::layers::rectangle::Rectangle};
use tch::Device;

/// Where the reference camera's picture lies in the ultra-wide one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// The ultra-wide frame's width over the width that the reference shows of it.
    pub zoom: f64,
    /// Rotation of the reference in radians, from the x axis towards the y axis.
    pub rotation: f64,
    /// The reference's centre from the ultra-wide frame's centre, x and y in ultra-wide pixels.
    pub shift: (f64, f64),
}

/// A phone's lenses look the same way: within this share of the frame's width.
const AHEAD: f64 = 0.1;
/// Up to this zoom a reference shows so much of the frame that few wrong places agree with it.
const LARGE_FIELD: f64 = 2.5;

impl Placement {
    /// The reference's centre on the ultra-wide frame's, not rotated.
    pub fn centred(zoom: f64) -> Self {
        Self {
            zoom,
            rotation: 0.0,
            shift: (0.0, 0.0),
        }
    }

    /// Whether it looks where a phone's other lenses do, in a frame of this width.
    pub fn is_ahead(&self, width: i64) -> bool {
        self.shift.0.hypot(self.shift.1) <= AHEAD * width as f64
    }

    /// Whether a wide camera may be believed to look there on less evidence: ahead, and at a zoom of such
    /// cameras.
    pub fn is_expected(&self, width: i64) -> bool {
        self.is_ahead(width) && self.zoom <= LARGE_FIELD
    }

    /// From positions in the ultra-wide frame to positions in the reference, for pictures of these
    /// sizes (height, width) on a device.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn similarity(
        &self,
        ultrawide: (i64, i64),
        reference: (f64, f64),
        device: Device,
    ) -> Result<Similarity> {
        let (sin, cos) = self.rotation.sin_cos();
        let scale = self.zoom * reference.1 / ultrawide.1 as f64;
        let ((x, y), (u, v)) = (centre(whole(ultrawide)), centre(reference));
        let (x, y) = (x + self.shift.0, y + self.shift.1);
        Similarity::known([scale * cos, scale * sin, x, y, u, v], device)
    }

    /// The opposite of [`similarity`](Self::similarity), of its [numbers](Similarity::numbers). `None`
    /// where they are none of a placement.
    pub(super) fn of(
        numbers: &[f64],
        ultrawide: (i64, i64),
        reference: (f64, f64),
    ) -> Option<Self> {
        let &[cos, sin, x, y, u, v] = numbers else {
            return None;
        };
        let ((middle_x, middle_y), (p, q)) = (centre(whole(ultrawide)), centre(reference));
        let (scale, p, q) = (cos.hypot(sin), p - u, q - v);
        let placement = Self {
            zoom: scale * ultrawide.1 as f64 / reference.1,
            rotation: sin.atan2(cos),
            shift: (
                x + (cos * p - sin * q) / (scale * scale) - middle_x,
                y + (sin * p + cos * q) / (scale * scale) - middle_y,
            ),
        };
        let (x, y) = placement.shift;
        (scale > 0.0 && scale.is_finite() && x.is_finite() && y.is_finite()).then_some(placement)
    }

    /// The corners of a reference's picture in the ultra-wide one, x and y in its pixels from the top left one's centre: top left,
    /// top right, bottom right, bottom left. Sizes are (height, width).
    pub fn corners(&self, ultrawide: (i64, i64), reference: (f64, f64)) -> [(f64, f64); 4] {
        let ((x, y), (sin, cos)) = (centre(whole(ultrawide)), self.rotation.sin_cos());
        let own = ultrawide.1 as f64 / (self.zoom * reference.1); // one of its pixels in the frame
        let (half_h, half_w) = (own * reference.0 / 2.0, own * reference.1 / 2.0);
        [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].map(|(right, down)| {
            let (p, q) = (right * half_w, down * half_h);
            (
                x + self.shift.0 + cos * p - sin * q,
                y + self.shift.1 + sin * p + cos * q,
            )
        })
    }

    /// The bounding box of the reference in the ultra-wide frame with `margin` pixels around it,
    /// cut at the frame's edges. Its sides grow to multiples of `multiple` where the frame has
    /// room. `None` where less than that of the frame is seen.
    pub fn field(
        &self,
        ultrawide: (i64, i64),
        reference: (f64, f64),
        margin: i64,
        multiple: i64,
    ) -> Option<Rectangle> {
        let corners = self.corners(ultrawide, reference);
        let range = |values: [f64; 4], n: i64| -> Option<(i64, i64)> {
            let low = values.into_iter().fold(f64::INFINITY, f64::min);
            let high = values.into_iter().fold(f64::NEG_INFINITY, f64::max);
            if !(low.abs() < 1e6 && high.abs() < 1e6) {
                return None;
            }
            let first = (low.ceil() as i64 - margin).max(0);
            let last = (high.floor() as i64 + margin).min(n - 1);
            if last - first < multiple {
                return None;
            }
            let length = last - first + 1;
            let grown = round_up(length, multiple).min(n);
            let first = (first - (grown - length) / 2).clamp(0, n - grown);
            Some((first, grown))
        };
        let (left, width) = range(corners.map(|c| c.0), ultrawide.1)?;
        let (top, height) = range(corners.map(|c| c.1), ultrawide.0)?;
        Some(Rectangle {
            top,
            left,
            height,
            width,
        })
    }
}

/// x and y of the middle.
pub(super) fn centre((height, width): (f64, f64)) -> (f64, f64) {
    ((width - 1.0) / 2.0, (height - 1.0) / 2.0)
}

/// A size in whole pixels as one that need not be whole.
pub(super) fn whole((height, width): (i64, i64)) -> (f64, f64) {
    (height as f64, width as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::registered::registration::sampling::pixels;
    use tch::{Device, Tensor};

    const PLACEMENT: Placement = Placement {
        zoom: 2.1,
        rotation: 0.05,
        shift: (7.0, -3.0),
    };

    #[test]
    fn there_and_back_is_nowhere() {
        let sizes = ((72, 128), (70.0, 127.5));
        let similarity = PLACEMENT.similarity(sizes.0, sizes.1, Device::Cpu).unwrap();
        let positions = pixels(0, 0, 72, 128, Device::Cpu).unwrap();
        let back = similarity
            .undo_all(&similarity.apply(&positions).unwrap())
            .unwrap();
        assert!((back - positions).abs().max().double_value(&[]) < 1e-4);
        // The reference's middle lies where the placement says.
        let middle = Tensor::from_slice(&[63.25f64, 34.5]).view([1, 2, 1, 1]);
        let found = Vec::<f64>::try_from(similarity.undo_all(&middle).unwrap().view([-1]));
        let found = found.unwrap();
        assert!(
            (found[0] - 70.5).abs() < 1e-9 && (found[1] - 32.5).abs() < 1e-9,
            "{found:?}"
        );
        let numbers = Vec::<f64>::try_from(similarity.numbers()).unwrap();
        let same = Placement::of(&numbers, sizes.0, sizes.1).unwrap();
        assert!(
            (same.zoom - 2.1).abs() < 1e-9
                && (same.rotation - 0.05).abs() < 1e-9
                && (same.shift.0 - 7.0).hypot(same.shift.1 + 3.0) < 1e-9,
            "{same:?}"
        );
        assert_eq!(Placement::of(&[f64::NAN; 6], sizes.0, sizes.1), None);
        assert_eq!(Placement::of(&[0.0; 6], sizes.0, sizes.1), None);
    }

    #[test]
    fn the_field_is_cut_at_the_frame_and_grows_to_multiples() {
        let field = |placement: Placement, margin, multiple| {
            placement.field((72, 128), (72.0, 128.0), margin, multiple)
        };
        let whole = Rectangle {
            top: 0,
            left: 0,
            height: 72,
            width: 128,
        };
        assert_eq!(
            field(Placement::centred(2.0), 0, 1),
            Some(Rectangle {
                top: 18,
                left: 32,
                height: 36,
                width: 64,
            })
        );
        let found = field(Placement::centred(2.0), 3, 8).unwrap();
        assert_eq!((found.height, found.width), (48, 72));
        assert_eq!(field(Placement::centred(0.9), 16, 32), Some(whole));
        let outside = Placement {
            shift: (500.0, 0.0),
            ..Placement::centred(2.0)
        };
        assert_eq!(field(outside, 16, 32), None);
        assert_eq!(field(Placement::centred(f64::NAN), 16, 32), None);
    }
}
