//! Large pictures in strips of rows: the layers at two and four times the frame's size take most of the
//! memory there is, and need only a few rows at a time.

use super::rectangle::Rectangle;
use crate::{Result, layout::room_like};
use std::cell::Cell;
use tch::Tensor;

/// Memory that the largest feature of a picture may take that is not cut, twice that of a strip; and rows that
/// a strip has at the least: with fewer, the rows around it would be a large part of the work.
const LIMIT: Limit = Limit {
    bytes: 32 << 20,
    least_rows: 96,
};

#[derive(Debug, Clone, Copy)]
struct Limit {
    bytes: i64,
    least_rows: i64,
}

thread_local! {
    /// Tests cut small pictures too.
    static LIMIT_HERE: Cell<Limit> = const { Cell::new(LIMIT) };
}

/// Rows of the frame above and below a strip that are computed with it, since 3 x 3 convolutions see one
/// more row each. Sixteen convolutions at twice the size are within reach of it.
const HALO: i64 = 8;
/// The same of a part of a strip: eight convolutions at four times the size are within reach of it. A part
/// has a third of a strip's rows at the least.
const PART_HALO: i64 = 2;
/// Strips and parts start at multiples of so many rows of the frame, so that a convolution's tiles lie in them
/// as they do in the whole picture.
const UNIT: i64 = 4;

/// Rows of a frame, counted at the frame's own size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strip {
    /// First row, of the halo above.
    first: i64,
    /// Rows, with both halos.
    rows: i64,
    /// Rows of the halo above.
    above: i64,
    /// Rows without halos.
    kept: i64,
}

impl Strip {
    /// All `rows` of a frame.
    pub fn whole(rows: i64) -> Self {
        Self {
            first: 0,
            rows,
            above: 0,
            kept: rows,
        }
    }

    /// First row and number of rows, with halos, of a picture `factor` times the frame's size.
    pub fn span(self, factor: i64) -> (i64, i64) {
        (factor * self.first, factor * self.rows)
    }

    /// The strip of a picture `[1, C, factor * h, w]`, with halos.
    pub fn of(self, x: &Tensor, factor: i64) -> Result<Tensor> {
        let (first, rows) = self.span(factor);
        Ok(x.f_narrow(2, first, rows)?)
    }

    /// The rows of a part of the frame that lie in this strip, halos left out: `part` is counted from the
    /// strip's first row, the answer from the frame's. `None` where there are none.
    pub fn kept_rows(self, part: Rectangle) -> Option<Rectangle> {
        let top = part.top.max(self.above);
        let height = (part.top + part.height).min(self.above + self.kept) - top;
        (height > 0).then_some(Rectangle {
            top: self.first + top,
            height,
            ..part
        })
    }

    /// First row of the halo above.
    pub fn first(self) -> i64 {
        self.first
    }

    /// What was computed of a strip without its halos.
    pub fn kept(self, x: &Tensor, factor: i64) -> Result<Tensor> {
        Ok(x.f_narrow(2, factor * self.above, factor * self.kept)?)
    }

    /// Computes a picture of the rows that the strip keeps, `factor` times their size, part by part: for
    /// layers that reach less far and need more memory than those the strip was cut for. Parts are counted
    /// from the strip's first row; otherwise as [`in_strips`].
    pub fn in_parts(
        self,
        largest: Largest,
        factor: i64,
        mut work: impl FnMut(Strip) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let Limit { bytes, least_rows } = LIMIT_HERE.get();
        let limit = Limit {
            bytes,
            least_rows: (least_rows / 3).max(UNIT),
        };
        let rows = Rows {
            first: self.above,
            count: self.kept,
            of: self.rows,
        };
        join(&strips(rows, largest, limit, PART_HALO), factor, &mut work)
    }
}

/// The largest features that are made of a strip.
#[derive(Debug, Clone, Copy)]
pub struct Largest {
    /// Their channels.
    pub channels: i64,
    /// Their size as a multiple of the frame's.
    pub factor: i64,
    /// The frame's width.
    pub width: i64,
}

/// Rows of a frame that are to be computed.
#[derive(Debug, Clone, Copy)]
struct Rows {
    first: i64,
    count: i64,
    /// Rows there are.
    of: i64,
}

/// The strips of these rows.
fn strips(rows: Rows, largest: Largest, limit: Limit, halo: i64) -> Vec<Strip> {
    let Largest {
        channels,
        factor,
        width,
    } = largest;
    let row = (4 * channels * width * factor * factor).max(1);
    let most = if rows.count * row <= limit.bytes {
        rows.count.max(1)
    } else {
        (limit.bytes / 2 / row - 2 * halo).max(limit.least_rows) / UNIT * UNIT
    };
    (0..rows.count)
        .step_by(usize::try_from(most).unwrap_or(usize::MAX))
        .map(|start| {
            let kept = most.min(rows.count - start);
            let start = rows.first + start;
            let first = (start - halo).max(0);
            let end = (start + kept + halo).min(rows.of);
            Strip {
                first,
                rows: end - first,
                above: start - first,
                kept,
            }
        })
        .collect()
}

/// Computes a picture `[1, C, factor * h, factor * w]` of a frame of `h` x `w` pixels strip by strip. `work`
/// gives what the strip keeps of it.
pub fn in_strips(
    (h, width): (i64, i64),
    (channels, largest): (i64, i64),
    factor: i64,
    mut work: impl FnMut(Strip) -> Result<Tensor>,
) -> Result<Tensor> {
    let rows = Rows {
        first: 0,
        count: h,
        of: h,
    };
    let largest = Largest {
        channels,
        factor: largest,
        width,
    };
    join(
        &strips(rows, largest, LIMIT_HERE.get(), HALO),
        factor,
        &mut work,
    )
}

fn join(
    strips: &[Strip],
    factor: i64,
    work: &mut dyn FnMut(Strip) -> Result<Tensor>,
) -> Result<Tensor> {
    if let [whole] = strips {
        return work(*whole);
    }
    let rows = strips.iter().map(|strip| strip.kept).sum::<i64>();
    let (mut out, mut from): (Option<Tensor>, i64) = (None, 0);
    for strip in strips {
        let part = work(*strip)?;
        let whole = match out.take() {
            Some(whole) => whole,
            None => room_like(&part, factor * rows)?,
        };
        whole
            .f_narrow(2, factor * from, factor * strip.kept)?
            .f_copy_(&part)?;
        from += strip.kept;
        out = Some(whole);
    }
    out.ok_or_else(|| crate::Error::Broken("a picture without strips".into()))
}

#[cfg(test)]
mod tests;
