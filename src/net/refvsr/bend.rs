//! Bending: blocks of pixels sampled scaled and turned, as the alignment predicts them (paper, section 3.2).

use crate::{
    Result,
    layout::{channels_last, size},
    native::sample::Outside,
    net::layers::ops::{GRID, centred, sample},
};
use tch::{Kind, Tensor};

/// Radians that one unit of the predicted angle stands for. A sixth of a turn, cut to the digits the
/// published weights were trained with.
#[allow(clippy::approx_constant)]
const ANGLE: f64 = 1.0472;

/// A gathered picture, or some rows of it, to sample from at [`positions`].
pub struct Bent {
    /// With a pixel more where the picture ends, see [`reflected`].
    pub padded: Tensor,
    /// Rows of the whole padded picture before the first one of `padded`.
    pub rows_before: i64,
    /// The first row that is wanted.
    pub first: i64,
    /// Of the whole picture, without those pixels.
    pub size: (i64, i64),
    /// Pixels between a place and where it comes from, at most, along either axis.
    pub reach: i64,
}

impl Bent {
    /// Samples at row and column, `[H, W]` each.
    pub fn at(&self, positions: &[Tensor; 2]) -> Result<Tensor> {
        if positions[0].requires_grad() {
            // In training pictures are whole.
            channels_last(&sample_corners(&self.padded, positions)?)
        } else {
            self.sample_grid(positions)
        }
    }

    /// The same by a sampler: faster, and equal but for gradients at whole positions. Where a position is
    /// at or beyond the border, upstream's two weights along an axis add up to 2, not 1: hence the
    /// factors.
    fn sample_grid(&self, [y, x]: &[Tensor; 2]) -> Result<Tensor> {
        let (h, w) = size(&self.padded);
        let local = if self.rows_before == 0 {
            y.shallow_clone()
        } else {
            y.f_sub_scalar(self.rows_before)?
        };
        let grid = Tensor::f_stack(&[centred(x, w)?, centred(&local, h)?], 2)?;
        let sampled = sample(&self.padded, &grid.f_unsqueeze(0)?, Outside::Edge, true)?;
        let ((height, width), rows) = (self.size, y.size()[0]);
        let doubled = |p: &Tensor, n: i64| -> Result<Tensor> {
            let beyond = p.f_lt(0.0)?.f_logical_or(&p.f_ge(n + 1)?)?;
            let factor = beyond.f_to_kind(sampled.kind())?.f_add_scalar(1.0)?;
            Ok(factor.f_unsqueeze(0)?.f_unsqueeze(0)?)
        };
        if sampled.requires_grad() {
            let factor = doubled(y, height)?.f_mul(&doubled(x, width)?)?;
            return Ok(sampled.f_mul(&factor)?);
        }
        // Only places that are near to a border can come from beyond it.
        let near = |p: &Tensor, dim: i64, n: i64, first: i64, length: i64| -> Result<()> {
            let above = self.reach.min(n);
            for (from, end) in [(0, above), ((n - self.reach).max(above), n)] {
                let (from, end) = (from.max(first), end.min(first + length));
                if from < end {
                    let factor = doubled(&p.f_narrow(dim, from - first, end - from)?, n)?;
                    let mut part = sampled.f_narrow(2 + dim, from - first, end - from)?;
                    let _ = part.f_mul_(&factor)?;
                }
            }
            Ok(())
        };
        near(y, 0, height, self.first, rows)?;
        near(x, 1, width, 0, width)?;
        Ok(sampled)
    }
}

/// `[h, w]` with a pixel more at each side, by reflection: `[h + 2, w + 2]`.
pub fn reflected(x: &Tensor) -> Result<Tensor> {
    let wider = |x: &Tensor, dim: i64| -> Result<Tensor> {
        let (before, behind) = (x.f_narrow(dim, 1, 1)?, x.f_narrow(dim, -2, 1)?);
        Ok(Tensor::f_cat(&[&before, x, &behind], dim)?)
    };
    wider(&wider(x, 1)?, 0)
}

/// Where in `values`, padded by 1, each pixel comes from: row and column, `[H, W]` each. Sums are in upstream's order: many positions are whole numbers but for the last bit, and
/// which side they lie on decides the gradient.
pub fn positions((h, w): (i64, i64), affine: &Tensor, k: i64) -> Result<[Tensor; 2]> {
    let affine = affine.f_to_kind(GRID)?;
    let options = (GRID, affine.device());
    let (rows, columns) = (h / k, w / k);
    let r = ((k - 1) / 2) as f64;
    let part =
        |i: i64| -> Result<Tensor> { Ok(affine.f_select(1, i)?.f_view([rows, 1, columns, 1])?) };
    let taps = Tensor::f_arange(k, options)?.f_sub_scalar(r + 0.5)?; // offsets from the block's middle
    let offset_y = part(0)?.f_mul(&taps.f_view([1, k, 1, 1])?)?; // [rows, k, columns, 1]
    let offset_x = part(1)?.f_mul(&taps.f_view([1, 1, 1, k])?)?; // [rows, 1, columns, k]
    let angle = part(2)?.f_sub_scalar(1.0)?.f_mul_scalar(ANGLE)?;
    let (sin, cos) = (angle.f_sin()?, angle.f_cos()?);
    let start = |n: i64| -> Result<Tensor> {
        Ok(Tensor::f_arange(n, options)?
            .f_mul_scalar(k as f64)?
            .f_add_scalar(1.0)?)
    };
    let y = offset_y.f_mul(&cos)?.f_sub(&offset_x.f_mul(&sin)?)?;
    let x = offset_y.f_mul(&sin)?.f_add(&offset_x.f_mul(&cos)?)?;
    let y = y
        .f_add_scalar(r + 0.5)?
        .f_add(&start(rows)?.f_view([rows, 1, 1, 1])?)?;
    let x = x
        .f_add_scalar(r + 0.5)?
        .f_add(&start(columns)?.f_view([1, 1, columns, 1])?)?;
    Ok([y.f_reshape([h, w])?, x.f_reshape([h, w])?])
}

/// Upstream's own bilinear kernel as it is: the corners before and behind a position are clamped to the picture and the position is too, each for itself. `padded` `[1, C, H + 2, W + 2]`.
fn sample_corners(padded: &Tensor, [y, x]: &[Tensor; 2]) -> Result<Tensor> {
    let (channels, (h, w), out) = (padded.size()[1], size(padded), y.size());
    let corners = |p: &Tensor, last: f64| -> Result<[(Tensor, Tensor); 2]> {
        let floor = p.detach().f_floor()?;
        let (before, behind) = (
            floor.f_clamp(0.0, last)?,
            floor.f_add_scalar(1.0)?.f_clamp(0.0, last)?,
        );
        let p = p.f_clamp(0.0, last)?;
        let weights = (
            before.f_sub(&p)?.f_add_scalar(1.0)?,
            p.f_sub(&behind)?.f_add_scalar(1.0)?,
        );
        Ok([
            (before.f_to_kind(Kind::Int64)?, weights.0),
            (behind.f_to_kind(Kind::Int64)?, weights.1),
        ])
    };
    let (rows, columns) = (corners(y, (h - 1) as f64)?, corners(x, (w - 1) as f64)?);
    let pixels = padded.f_reshape([channels, h * w])?;
    let mut sum = Tensor::f_zeros(
        [1, channels, out[0], out[1]],
        (padded.kind(), padded.device()),
    )?;
    for (row, weight_y) in &rows {
        for (column, weight_x) in &columns {
            let number = row.f_mul_scalar(w)?.f_add(column)?;
            let corner = pixels
                .f_index_select(1, &number.f_reshape([-1])?)?
                .f_view_as(&sum)?;
            sum =
                sum.f_add(&corner.f_mul(&weight_y.f_mul(weight_x)?.f_to_kind(padded.kind())?)?)?;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    /// Upstream's kernel as the facts state it, a pixel at a time.
    fn sample_plainly(values: &Tensor, affine: &Tensor, k: i64) -> Tensor {
        let (h, w) = size(values);
        let padded = values.reflection_pad2d([1, 1, 1, 1]);
        let (last_y, last_x) = ((h + 1) as f64, (w + 1) as f64);
        let out = values.zeros_like();
        let r = ((k - 1) / 2) as f64;
        for (row, column) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            let (by, bx, i, j) = (row / k, column / k, (row % k) as f64, (column % k) as f64);
            let a = |n: i64| affine.double_value(&[0, n, by, bx]);
            let (oy, ox) = ((i - r - 0.5) * a(0), (j - r - 0.5) * a(1));
            let (sin, cos) = ((a(2) - 1.0) * ANGLE).sin_cos();
            let y = oy * cos - ox * sin + r + 0.5 + 1.0 + (k * by) as f64;
            let x = oy * sin + ox * cos + r + 0.5 + 1.0 + (k * bx) as f64;
            let axis = |p: f64, last: f64| {
                let (lt, rb) = (
                    p.floor().clamp(0.0, last),
                    (p.floor() + 1.0).clamp(0.0, last),
                );
                let p = p.clamp(0.0, last);
                [(lt as i64, 1.0 + (lt - p)), (rb as i64, 1.0 - (rb - p))]
            };
            for (sy, wy) in axis(y, last_y) {
                for (sx, wx) in axis(x, last_x) {
                    let mut pixel = out.select(2, row).select(2, column);
                    let _ = pixel.g_add_(&(padded.select(2, sy).select(2, sx) * (wy * wx)));
                }
            }
        }
        out
    }

    fn bend(values: &Tensor, places: &[Tensor; 2], reach: i64) -> Tensor {
        let bent = Bent {
            padded: values.reflection_pad2d([1; 4]),
            rows_before: 0,
            first: 0,
            size: size(values),
            reach,
        };
        bent.at(places).unwrap()
    }

    #[test]
    fn sampling_is_upstreams_kernel() {
        tch::manual_seed(1);
        for k in [2, 4] {
            let values = Tensor::rand([1, 3, 10 * k, 9 * k], (Kind::Double, Device::Cpu));
            let affine = Tensor::rand([1, 3, 10, 9], (Kind::Double, Device::Cpu)) * 6.0 - 3.0; // far beyond the borders, too
            let plain = sample_plainly(&values, &affine, k);
            for trained in [false, true] {
                let affine = affine.set_requires_grad(trained);
                let places = positions(size(&values), &affine, k).unwrap();
                let sampled = bend(&values, &places, 4 * k);
                let off = (sampled.detach() - &plain).abs().max().double_value(&[]);
                assert!(off < 1e-4, "k = {k}, trained: {trained}: {off}");
            }
        }
    }

    #[test]
    fn numbers_are_reflected_as_pictures_are() {
        let picture = Tensor::arange(12, (Kind::Float, Device::Cpu)).view([1, 1, 3, 4]);
        let expected = picture.reflection_pad2d([1; 4]).view([5, 6]);
        assert!(reflected(&picture.view([3, 4])).unwrap().equal(&expected));
    }

    #[test]
    fn ones_leave_everything_in_place() {
        let values = Tensor::rand([1, 2, 8, 12], (Kind::Float, Device::Cpu));
        let ones = Tensor::ones([1, 3, 4, 6], (Kind::Float, Device::Cpu));
        let same = bend(&values, &positions(size(&values), &ones, 2).unwrap(), 8);
        assert!((same - values).abs().max().double_value(&[]) < 1e-5);
    }
}
