//! The density of reference pictures: pixels that cover an ultra-wide pixel in each direction.

use crate::{
    Result,
    image::resize::{bicubic_antialiased, check_reference_area},
    layout::size,
};
use tch::Tensor;

/// A picture's density may be off by this: resizing it would blur its finest detail.
const NEARLY: f64 = 1.1;

/// The density of reference pictures, in pixels an ultra-wide pixel in each direction, and a
/// picture at it.
///
/// `picture` `[1, 3, H, W]` is resized so that `density` of its pixels cover an ultra-wide pixel at
/// this zoom; it is not touched where the density is right to a tenth already.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where that would make it more than 32 times as large as the
/// ultra-wide frame, [`Error::Torch`](crate::Error::Torch) where memory runs out.
pub fn at_density(
    picture: &Tensor,
    ultrawide: (i64, i64),
    zoom: f64,
    density: i64,
) -> Result<Tensor> {
    let (factor, (h, w)) = dense("reference frame", size(picture), ultrawide, zoom, density)?;
    if (1.0 / NEARLY..NEARLY).contains(&factor) {
        return Ok(picture.shallow_clone());
    }
    Ok(bicubic_antialiased(picture, h, w)?.f_clamp(0.0, 1.0)?)
}

/// How many times larger each side of a picture of this size (height, width) is at the density, and its
/// size there. `what` stands for it in the error, if that is absurd.
pub fn dense(
    what: &str,
    (h, w): (i64, i64),
    ultrawide: (i64, i64),
    zoom: f64,
    density: i64,
) -> Result<(f64, (i64, i64))> {
    let factor = (ultrawide.1 * density) as f64 / zoom / w as f64;
    let scaled = |n: i64| ((n as f64 * factor).round() as i64).max(1);
    let wanted = (scaled(h), scaled(w));
    let given = format!("{w}x{h} at zoom {}", (zoom * 1000.0).round() / 1000.0);
    check_reference_area(what, &given, wanted, ultrawide)?;
    Ok((factor, wanted))
}
