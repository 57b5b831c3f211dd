//! Parts of pictures.

use crate::Result;
use tch::Tensor;

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

/// A part of `[1, C, h, w]`.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where it does not lie inside.
pub fn crop(x: &Tensor, part: Rectangle) -> Result<Tensor> {
    Ok(x.f_narrow(2, part.top, part.height)?
        .f_narrow(3, part.left, part.width)?)
}

/// The opposite of [`crop`]: zero around it.
pub fn uncrop(x: &Tensor, part: Rectangle, (height, width): (i64, i64)) -> Result<Tensor> {
    let right = width - part.left - part.width;
    let bottom = height - part.top - part.height;
    Ok(x.f_constant_pad_nd([part.left, right, part.top, bottom])?)
}
