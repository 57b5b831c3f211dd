//! Antialiased bicubic resizing, and bringing the other cameras' frames to the ultra-wide one's scale.

use crate::{Error, Result};
use tch::Tensor;

/// Resizes `[N, 3, H, W]` to `height` x `width` by bicubic interpolation (a = -0.5), antialiased where it shrinks (the kernel widens, as
/// MATLAB's `imresize` and Pillow do). Values can overshoot \[0, 1\] a little. The same size comes back untouched.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where memory runs out.
pub fn bicubic_antialiased(picture: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    if picture.size()[2..] == [height, width] {
        return Ok(picture.shallow_clone());
    }
    Ok(picture.f_internal_upsample_bicubic2d_aa(
        [height, width],
        false,
        None::<f64>,
        None::<f64>,
    )?)
}

/// The size at which one pixel of another camera's frame covers half an ultra-wide pixel.
///
/// `zoom` is the other lens's focal length over the ultra-wide's (wide 2, tele 5 in RealMCVSR): its frame shows 1/`zoom` of the ultra-wide's
/// width, so it should be `2 / zoom` times as many pixels wide. Both axes are scaled alike. Sizes are `(height, width)`; equal sizes
/// at zoom 2 are upstream's case and change nothing.
pub fn reference_size(ultrawide: (i64, i64), reference: (i64, i64), zoom: f64) -> (i64, i64) {
    let factor = ultrawide.1 as f64 * 2.0 / zoom / reference.1 as f64;
    let scaled = |n: i64| ((n as f64 * factor).round() as i64).max(1);
    (scaled(reference.0), scaled(reference.1))
}

/// Largest area of a reference frame brought to scale, in ultra-wide frames. Equal sensors at zoom 1 make 4.
const MAX_REFERENCE_AREA: i64 = 32;
/// An area that is always taken, however small the ultra-wide frame is.
const MIN_REFERENCE_LIMIT: i64 = 1 << 16;

/// Refuses reference frames that are too large once brought to `scaled` (height, width). `given` says
/// what they were before.
pub(crate) fn check_reference_area(
    what: &str,
    given: &str,
    scaled: (i64, i64),
    ultrawide: (i64, i64),
) -> Result<()> {
    let area = |(h, w): (i64, i64)| h.saturating_mul(w);
    let most = area(ultrawide)
        .saturating_mul(MAX_REFERENCE_AREA)
        .max(MIN_REFERENCE_LIMIT);
    if area(scaled) <= most {
        return Ok(());
    }
    // A mistake, of a caps event perhaps, that would take all memory.
    Err(Error::Shape {
        what: what.into(),
        actual: format!(
            "{given}, which makes {}x{} at the ultra-wide frame's scale",
            scaled.1, scaled.0
        ),
        expected: format!(
            "at most {MAX_REFERENCE_AREA} times the {}x{} pixels of the ultra-wide frame",
            ultrawide.1, ultrawide.0
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sizes_at_zoom_two_change_nothing() {
        assert_eq!(reference_size((270, 480), (270, 480), 2.0), (270, 480));
        assert_eq!(reference_size((270, 480), (1080, 1920), 2.0), (270, 480));
        assert_eq!(reference_size((270, 480), (270, 480), 5.0), (108, 192));
        assert_eq!(reference_size((2, 2), (1, 1000), 100.0), (1, 1));
    }

    #[test]
    fn shrinking_is_antialiased() {
        // A checkerboard averages out; without antialiasing it would alias to black or white.
        let n = Tensor::arange(64, (tch::Kind::Float, tch::Device::Cpu));
        let board = (n.view([1, 1, 64, 1]) + n.view([1, 1, 1, 64])).remainder(2.0);
        let small = bicubic_antialiased(&board, 16, 16).unwrap();
        let off = (small.narrow(2, 2, 12).narrow(3, 2, 12) - 0.5)
            .abs()
            .max()
            .double_value(&[]);
        assert!(off < 0.02, "{off}");
    }
}
