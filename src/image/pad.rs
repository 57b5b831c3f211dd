//! Padding to sizes the network can take.

use crate::Result;
use tch::Tensor;

/// Pads `[N, C, H, W]` on the right and bottom to `height` x `width` by reflection, in several goes where the picture is smaller
/// than the padding. A picture that is large enough comes back as it is.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where memory runs out.
pub fn pad_to(picture: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    let mut out = picture.shallow_clone();
    loop {
        let (h, w) = (out.size()[2], out.size()[3]);
        if h >= height && w >= width {
            return Ok(out);
        }
        // A reflection repeats all but the edge itself: of one row or column there is nothing to reflect, so it is repeated.
        let (bottom, right) = (
            (height - h).clamp(0, (h - 1).max(1)),
            (width - w).clamp(0, (w - 1).max(1)),
        );
        out = if h == 1 || w == 1 {
            out.f_replication_pad2d([0, right, 0, bottom])?
        } else {
            out.f_reflection_pad2d([0, right, 0, bottom])?
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn row(picture: &Tensor) -> Vec<f64> {
        Vec::<f64>::try_from(picture.reshape([-1])).unwrap()
    }

    #[test]
    fn reflects_without_repeating_the_edge() {
        let picture = Tensor::from_slice(&[1., 2., 3.]).view([1, 1, 1, 3]);
        let picture = Tensor::cat(&[&picture, &picture], 2);
        assert_eq!(
            row(&pad_to(&picture, 2, 5).unwrap().slice(2, 0, 1, 1)),
            [1., 2., 3., 2., 1.]
        );
        assert_eq!(
            row(&pad_to(&picture, 2, 8).unwrap().slice(2, 0, 1, 1)),
            [1., 2., 3., 2., 1., 2., 3., 2.]
        );
    }

    #[test]
    fn any_size_reaches_any_size() {
        for (h, w) in [(1, 1), (1, 7), (3, 1), (5, 9), (16, 16)] {
            let picture = Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu));
            let out = pad_to(&picture, 16, 16).unwrap();
            assert_eq!(out.size(), [1, 3, 16, 16]);
            assert!(out.narrow(2, 0, h).narrow(3, 0, w).equal(&picture));
        }
    }
}
