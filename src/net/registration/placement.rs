//! Where a reference camera looks, as seen by the ultra-wide one: zoom, rotation and shift.

use crate::{Result, image::size::round_up, net::local::summed};
use tch::{Kind, Tensor};

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

/// A part of the ultra-wide frame, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rectangle {
    /// First row.
    pub top: i64,
    /// First column.
    pub left: i64,
    /// Rows.
    pub height: i64,
    /// Columns.
    pub width: i64,
}

/// A scaling rotation from positions in one picture to positions in another, in pixels. Pixel
/// centres are whole numbers.
#[derive(Debug, Clone, Copy)]
pub struct Similarity {
    cos: f64,
    sin: f64,
    from: (f64, f64),
    to: (f64, f64),
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
    /// sizes (height, width).
    pub fn similarity(&self, ultrawide: (i64, i64), reference: (f64, f64)) -> Similarity {
        let scale = self.zoom * reference.1 / ultrawide.1 as f64;
        let ((cx, cy), to) = (centre(whole(ultrawide)), centre(reference));
        Similarity {
            cos: scale * self.rotation.cos(),
            sin: scale * self.rotation.sin(),
            from: (cx + self.shift.0, cy + self.shift.1),
            to,
        }
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
        let similarity = self.similarity(ultrawide, reference);
        let (h, w) = (reference.0 - 0.5, reference.1 - 0.5);
        let corners =
            [(-0.5, -0.5), (-0.5, h), (w, -0.5), (w, h)].map(|corner| similarity.undo(corner));
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

    /// The placement that brings `positions` of the ultra-wide frame nearest to `targets` in the
    /// reference, both `[1, 2, h, w]`, by least squares with `weight` `[1, 1, h, w]`. Pairs that
    /// lie off it (things nearer than the background) lose weight in repetitions. `None`
    /// where there is nothing to fit to.
    pub fn fit(
        positions: &Tensor,
        targets: &Tensor,
        weight: &Tensor,
        ultrawide: (i64, i64),
        reference: (f64, f64),
    ) -> Result<Option<Self>> {
        const ROUNDS: usize = 8;
        let squares = LeastSquares::new(positions, targets, ultrawide, reference)?;
        let mut weights = weight.shallow_clone();
        let mut found = None;
        for round in 0..ROUNDS {
            let Some(placement) = squares.solve(&weights)? else {
                return Ok(None);
            };
            found = Some(placement);
            if round + 1 < ROUNDS {
                let similarity = placement.similarity(ultrawide, reference);
                let off = similarity.undo_all(targets)?.f_sub(positions)?;
                let off = summed(&off.f_square()?)?;
                // Half the weight at half a pixel, little far off.
                weights = weight.f_div(&off.f_mul_scalar(4.0)?.f_add_scalar(1.0)?)?;
            }
        }
        Ok(found)
    }
}

/// x and y of the middle.
fn centre((height, width): (f64, f64)) -> (f64, f64) {
    ((width - 1.0) / 2.0, (height - 1.0) / 2.0)
}

/// A size in whole pixels as one that need not be whole.
pub(super) fn whole((height, width): (i64, i64)) -> (f64, f64) {
    (height as f64, width as f64)
}

/// Pairs of positions to which a placement is fitted, whatever their weights.
struct LeastSquares {
    /// What a pair adds to each of eight sums, `[8, pairs]`.
    terms: Tensor,
    ultrawide: (i64, i64),
    reference: (f64, f64),
}

impl LeastSquares {
    fn new(
        positions: &Tensor,
        targets: &Tensor,
        ultrawide: (i64, i64),
        reference: (f64, f64),
    ) -> Result<Self> {
        let ((px, py), (qx, qy)) = (centre(whole(ultrawide)), centre(reference));
        let part = |t: &Tensor, channel: i64, origin: f64| -> Result<Tensor> {
            Ok(t.f_select(1, channel)?
                .f_to_kind(Kind::Double)?
                .f_sub_scalar(origin)?
                .f_reshape([-1])?)
        };
        let (x, y) = (part(positions, 0, px)?, part(positions, 1, py)?);
        let (u, v) = (part(targets, 0, qx)?, part(targets, 1, qy)?);
        let one = x.f_ones_like()?;
        let squares = x.f_square()?.f_add(&y.f_square()?)?;
        let along = x.f_mul(&u)?.f_add(&y.f_mul(&v)?)?;
        let across = y.f_mul(&u)?.f_sub(&x.f_mul(&v)?)?;
        Ok(Self {
            terms: Tensor::f_stack(&[&one, &x, &y, &u, &v, &squares, &along, &across], 0)?,
            ultrawide,
            reference,
        })
    }

    /// The placement for these weights, `[1, 1, h, w]`; `None` where there is nothing to fit to.
    fn solve(&self, weight: &Tensor) -> Result<Option<Placement>> {
        let weight = weight.f_reshape([-1])?.f_to_kind(Kind::Double)?;
        let sums = Vec::<f64>::try_from(self.terms.f_mv(&weight)?)?;
        Ok(placement_of(&sums, self.ultrawide, self.reference))
    }
}

/// The placement that eight weighted sums say.
fn placement_of(sums: &[f64], ultrawide: (i64, i64), reference: (f64, f64)) -> Option<Placement> {
    let &[n, x, y, u, v, squares, along, across] = sums else {
        return None;
    };
    let (x, y, u, v) = (x / n, y / n, u / n, v / n);
    let spread = squares / n - x * x - y * y;
    // Fewer than a few pixels of weight, or all of them in one place, say nothing.
    if n.is_nan() || n < 16.0 || spread < 4.0 {
        return None;
    }
    let cos = (along / n - x * u - y * v) / spread;
    let sin = (across / n - y * u + x * v) / spread;
    let scale = cos.hypot(sin);
    let fitted = Similarity {
        cos,
        sin,
        from: (x, y),
        to: (u, v),
    };
    let shift = fitted.undo((0.0, 0.0));
    let placement = Placement {
        zoom: scale * ultrawide.1 as f64 / reference.1,
        rotation: sin.atan2(cos),
        shift,
    };
    (scale > 1e-3 && shift.0.is_finite() && shift.1.is_finite()).then_some(placement)
}

impl Similarity {
    fn undo(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let square = self.cos * self.cos + self.sin * self.sin;
        let (x, y) = (x - self.to.0, y - self.to.1);
        (
            self.from.0 + (self.cos * x - self.sin * y) / square,
            self.from.1 + (self.sin * x + self.cos * y) / square,
        )
    }

    /// Positions `[1, 2, h, w]` moved over.
    pub fn apply(&self, positions: &Tensor) -> Result<Tensor> {
        linear(positions, self.cos, self.sin, self.from, self.to)
    }

    /// Where positions `[1, 2, h, w]` of the other picture come from.
    pub fn undo_all(&self, positions: &Tensor) -> Result<Tensor> {
        let square = self.cos * self.cos + self.sin * self.sin;
        linear(
            positions,
            self.cos / square,
            -self.sin / square,
            self.to,
            self.from,
        )
    }
}

fn linear(
    positions: &Tensor,
    cos: f64,
    sin: f64,
    from: (f64, f64),
    to: (f64, f64),
) -> Result<Tensor> {
    let x = positions.f_narrow(1, 0, 1)?.f_sub_scalar(from.0)?;
    let y = positions.f_narrow(1, 1, 1)?.f_sub_scalar(from.1)?;
    let u = x.f_mul_scalar(cos)?.f_add(&y.f_mul_scalar(sin)?)?;
    let v = y.f_mul_scalar(cos)?.f_sub(&x.f_mul_scalar(sin)?)?;
    Ok(Tensor::f_cat(
        &[u.f_add_scalar(to.0)?, v.f_add_scalar(to.1)?],
        1,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::registration::sampling::pixels;
    use tch::Device;

    const PLACEMENT: Placement = Placement {
        zoom: 2.1,
        rotation: 0.05,
        shift: (7.0, -3.0),
    };

    #[test]
    fn there_and_back_is_nowhere() {
        let similarity = PLACEMENT.similarity((72, 128), (70.0, 127.5));
        let positions = pixels(0, 0, 72, 128, Device::Cpu).unwrap();
        let back = similarity
            .undo_all(&similarity.apply(&positions).unwrap())
            .unwrap();
        assert!((back - positions).abs().max().double_value(&[]) < 1e-4);
        let (x, y) = similarity.undo(similarity.to);
        assert!(
            (x - 70.5).abs() < 1e-9 && (y - 32.5).abs() < 1e-9,
            "{x} {y}"
        );
    }

    #[test]
    fn a_fit_finds_the_placement_in_spite_of_a_near_thing() {
        let sizes = ((72, 128), (72.0, 128.0));
        let positions = pixels(10, 20, 40, 64, Device::Cpu).unwrap();
        let targets = PLACEMENT
            .similarity(sizes.0, sizes.1)
            .apply(&positions)
            .unwrap();
        // A quarter of the field is 5 pixels nearer.
        let mut near = targets.narrow(3, 0, 16).narrow(1, 0, 1);
        near += 10.5;
        let weight = Tensor::ones([1, 1, 40, 64], (Kind::Float, Device::Cpu));
        let found = Placement::fit(&positions, &targets, &weight, sizes.0, sizes.1)
            .unwrap()
            .unwrap();
        assert!(
            (found.zoom / PLACEMENT.zoom - 1.0).abs() < 0.005
                && (found.rotation - PLACEMENT.rotation).abs() < 0.003
                && (found.shift.0 - PLACEMENT.shift.0).abs() < 0.5
                && (found.shift.1 - PLACEMENT.shift.1).abs() < 0.2,
            "{found:?}"
        );
        let nothing = Placement::fit(&positions, &targets, &(weight * 0.0), sizes.0, sizes.1);
        assert!(nothing.unwrap().is_none());
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
