//! How alike the scenes of two pictures are, from thumbnails of them.

use crate::{Result, layout::rgb_size};
use tch::{Device, Kind, Tensor};

/// Pixels of a thumbnail's longer side.
const SIDE: i64 = 32;
/// Standard deviation of brightness below which a picture shows nothing to compare.
const LEAST_CONTRAST: f64 = 0.04;
/// Correlation below which two pictures are of different scenes. In real footage frames that follow
/// one another stood over 0.5 under the fastest motion, and those about a cut below 0.25.
const LEAST_LIKENESS: f64 = 0.4;

/// A picture's brightness at a size of about 32x18.
#[derive(Debug, Clone, PartialEq)]
pub struct Thumbnail {
    values: Vec<f32>,
    height: i64,
    width: i64,
}

impl Thumbnail {
    /// Of an RGB picture, `[1, 3, H, W]` in \[0, 1\], on any device.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for anything but a picture.
    pub fn new(picture: &Tensor) -> Result<Self> {
        let (h, w) = rgb_size("picture", picture)?;
        let longer = h.max(w);
        let small = |side: i64| (SIDE.min(longer) * side / longer).max(1);
        let (height, width) = (small(h), small(w));
        let pixels = picture
            .f_to_kind(Kind::Float)?
            .f_adaptive_avg_pool2d([height, width])?
            .f_mean_dim([1i64].as_slice(), false, None::<Kind>)?
            .f_nan_to_num(0.0, 1.0, 0.0)?
            .f_to_device(Device::Cpu)?
            .f_flatten(0, -1)?;
        Ok(Self {
            values: Vec::try_from(&pixels)?,
            height,
            width,
        })
    }

    /// Whether both show one scene, which may have moved by a tenth of the picture, and become
    /// brighter or darker. Pictures without contrast, and those of different shapes, count as alike:
    /// they say nothing of it.
    pub fn shows_scene_of(&self, other: &Self) -> bool {
        let same_shape = (self.height, self.width) == (other.height, other.width);
        if !same_shape || self.contrast().min(other.contrast()) < LEAST_CONTRAST {
            return true;
        }
        self.likeness(other) >= LEAST_LIKENESS
    }

    /// The highest correlation of both over all shifts, -1 to 1.
    fn likeness(&self, other: &Self) -> f64 {
        let most = |side: i64| (side + 5) / 10;
        let (down, right) = (most(self.height), most(self.width));
        let shifts = (-down..=down).flat_map(|dy| (-right..=right).map(move |dx| (dy, dx)));
        shifts
            .map(|shift| correlation(&self.pairs(other, shift)))
            .fold(-1.0, f64::max)
    }

    /// The values that lie on one another where the other is moved by rows and columns.
    fn pairs(&self, other: &Self, (dy, dx): (i64, i64)) -> Vec<(f64, f64)> {
        let (h, w) = (self.height, self.width);
        let rows = 0.max(dy)..h.min(h + dy);
        let at = |values: &[f32], y: i64, x: i64| {
            let index = usize::try_from(y * w + x).ok();
            f64::from(index.and_then(|i| values.get(i)).copied().unwrap_or(0.0))
        };
        rows.flat_map(|y| (0.max(dx)..w.min(w + dx)).map(move |x| (y, x)))
            .map(|(y, x)| (at(&self.values, y, x), at(&other.values, y - dy, x - dx)))
            .collect()
    }

    /// Standard deviation.
    fn contrast(&self) -> f64 {
        let values: Vec<_> = self.values.iter().map(|&v| f64::from(v)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        (variance / values.len() as f64).sqrt()
    }
}

/// Of pairs of values; 0 where one side of them is constant.
fn correlation(pairs: &[(f64, f64)]) -> f64 {
    let n = pairs.len() as f64;
    let (a, b) = pairs
        .iter()
        .fold((0.0, 0.0), |(a, b), pair| (a + pair.0 / n, b + pair.1 / n));
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        aa += (x - a).powi(2);
        bb += (y - b).powi(2);
        ab += (x - a) * (y - b);
    }
    let scale = (aa * bb).sqrt();
    if scale > 0.0 { ab / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scene of stripes and a slope, moved to the left by so many pixels of 320.
    fn scene(tilt: f64, moved: f64) -> Tensor {
        let (h, w) = (180, 320);
        let values: Vec<f32> = (0..h * w)
            .map(|i| {
                let (y, x) = (f64::from(i / w), f64::from(i % w) + moved);
                (0.5 + 0.3 * ((x + tilt * y) / 23.0).sin() + 0.1 * ((y - x) / 41.0).cos()) as f32
            })
            .collect();
        Tensor::from_slice(&values)
            .view([1, 1, i64::from(h), i64::from(w)])
            .repeat([1, 3, 1, 1])
    }

    fn alike(a: &Tensor, b: &Tensor) -> bool {
        let [a, b] = [a, b].map(|picture| Thumbnail::new(picture).unwrap());
        a.shows_scene_of(&b)
    }

    #[test]
    fn motion_and_light_are_no_cut() {
        let still = scene(0.3, 0.0);
        assert!(alike(&still, &still));
        assert!(alike(&still, &scene(0.3, 30.0)));
        assert!(alike(&still, &(scene(0.3, -12.0) * 0.4 + 0.5)));
    }

    #[test]
    fn another_scene_is_a_cut() {
        assert!(!alike(&scene(0.3, 0.0), &scene(-2.0, 0.0)));
        assert!(!alike(&scene(0.3, 0.0), &(1.0 - scene(0.3, 0.0))));
    }

    #[test]
    fn nothing_to_see_is_no_cut() {
        let black = Tensor::zeros([1, 3, 180, 320], (Kind::Float, Device::Cpu));
        assert!(alike(&black, &scene(0.3, 0.0)));
        assert!(alike(&scene(0.3, 0.0), &black));
        assert!(alike(&black.narrow(2, 0, 1), &black.narrow(3, 0, 1)));
    }

    #[test]
    fn pictures_of_a_few_pixels_have_thumbnails() {
        let t = Thumbnail::new(&Tensor::rand([1, 3, 1, 5], (Kind::Float, Device::Cpu))).unwrap();
        assert_eq!((t.height, t.width), (1, 5));
        assert!(Thumbnail::new(&Tensor::zeros([3, 3], (Kind::Float, Device::Cpu))).is_err());
    }
}
