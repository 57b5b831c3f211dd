//! What two cameras of a phone would have seen, made from one sharper video.
//!
//! The ultra-wide camera sees the whole picture, but coarsely: the truth, reduced 4 times. The wide camera's lens is twice as long: it
//! sees the middle half, with frames of the same size, so that one of its pixels covers half an ultra-wide pixel each way. As on a phone, the two
//! do not line up exactly and each has its own exposure and white balance.

use crate::frames::Size;
use anyhow::Result;
use refvsr::image::resize::bicubic_antialiased;
use tch::{Kind, Tensor};

/// The footage, decoded.
pub const SOURCE: Size = Size {
    width: 1920,
    height: 1080,
};
/// Both cameras' frames. Small, so that a machine without a GPU is done in a few minutes.
pub const CAMERA: Size = Size {
    width: 256,
    height: 144,
};
/// Ground truth over the ultra-wide frame's size.
pub const SCALE: i64 = 4;
/// The ultra-wide camera's ground truth.
pub const TRUTH: Size = Size {
    width: CAMERA.width * SCALE,
    height: CAMERA.height * SCALE,
};

/// How the wide camera sees the scene, next to the ultra-wide one.
#[derive(Debug, Clone, Copy)]
pub struct Lens {
    /// Focal length over the ultra-wide's.
    pub zoom: f64,
    /// How far its axis points off the ultra-wide's, in half widths and half heights of the ultra-wide picture (right, down).
    pub shift: (f64, f64),
    /// How it is turned against the ultra-wide, in degrees, clockwise.
    pub roll: f64,
    /// Exposure and white balance: a factor each for red, green and blue.
    pub gain: [f32; 3],
}

/// The wide camera of the demonstration: 6 and 3 pixels of the truth off, a third of a degree askew, a little darker and warmer.
pub const WIDE: Lens = Lens {
    zoom: 2.0,
    shift: (0.012, -0.01),
    roll: 0.35,
    gain: [0.95, 0.91, 0.87],
};

/// What each camera saw at one moment, and what the ultra-wide should have seen. RGB `[1, 3, H, W]` in \[0, 1\].
#[derive(Debug)]
pub struct Shot {
    pub truth: Tensor,
    pub ultrawide: Tensor,
    pub wide: Tensor,
}

impl Lens {
    /// The 2x3 matrix that takes a point of this camera's picture to the ultra-wide's. In both, (-1, -1) is the top left corner of the picture and
    /// (1, 1) the bottom right one.
    fn matrix(&self) -> [[f64; 3]; 2] {
        let aspect = SOURCE.width as f64 / SOURCE.height as f64;
        let (sin, cos) = self.roll.to_radians().sin_cos();
        let scaled = |x: f64| x / self.zoom;
        [
            [scaled(cos), scaled(-sin / aspect), self.shift.0],
            [scaled(sin * aspect), scaled(cos), self.shift.1],
        ]
    }

    /// The corners of this camera's field in a picture of the ultra-wide's field of `size`, clockwise from the top left, in pixels.
    pub fn field(&self, size: Size) -> [(f64, f64); 4] {
        let [x, y] = self.matrix();
        [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)].map(|(u, v)| {
            let at =
                |row: [f64; 3], n: i64| (row[0] * u + row[1] * v + row[2] + 1.0) / 2.0 * n as f64;
            (at(x, size.width), at(y, size.height))
        })
    }

    /// The frame of size [`CAMERA`] that this camera takes of `source`.
    fn shoot(&self, source: &Tensor) -> Result<Tensor> {
        let matrix = Tensor::f_from_slice(&self.matrix().concat())?
            .f_to_kind(Kind::Float)?
            .f_view([1, 2, 3])?;
        // Sampled about as densely as the source, then reduced like the truth: nothing aliases.
        let grid =
            Tensor::f_affine_grid_generator(&matrix, [1, 3, TRUTH.height, TRUTH.width], false)?;
        let (bicubic, border) = (2, 1);
        let dense = source.f_grid_sampler(&grid, bicubic, border, false)?;
        let small = bicubic_antialiased(&dense, CAMERA.height, CAMERA.width)?;
        Ok(small
            .f_mul(&Tensor::f_from_slice(&self.gain)?.f_view([1, 3, 1, 1])?)?
            .f_clamp(0.0, 1.0)?)
    }
}

/// Films a moment of the footage, RGB `[1, 3, H, W]` of size [`SOURCE`].
pub fn shoot(source: &Tensor, wide: &Lens) -> Result<Shot> {
    let truth = crate::frames::rounded(&bicubic_antialiased(source, TRUTH.height, TRUTH.width)?)?;
    let ultrawide = bicubic_antialiased(&truth, CAMERA.height, CAMERA.width)?;
    Ok(Shot {
        ultrawide,
        wide: wide.shoot(source)?,
        truth,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    const IDEAL: Lens = Lens {
        zoom: 2.0,
        shift: (0.0, 0.0),
        roll: 0.0,
        gain: [1.0; 3],
    };

    /// A smooth picture, different everywhere: sines, `[1, 3, H, W]`.
    fn picture() -> Tensor {
        let axis = |n: i64, period: f64| {
            (Tensor::arange(n, (Kind::Float, Device::Cpu)) * (std::f64::consts::TAU / period)).sin()
                * 0.2
        };
        let one = |px: f64, py: f64| {
            axis(SOURCE.width, px).view([1, -1]) + axis(SOURCE.height, py).view([-1, 1]) + 0.5
        };
        Tensor::stack(
            &[one(400.0, 177.0), one(90.0, 600.0), one(1500.0, 310.0)],
            0,
        )
        .unsqueeze(0)
    }

    #[test]
    fn the_wide_frame_is_the_centre_at_twice_the_detail() {
        let source = picture();
        let shot = shoot(&source, &IDEAL).unwrap();
        let centre = source
            .narrow(2, SOURCE.height / 4, SOURCE.height / 2)
            .narrow(3, SOURCE.width / 4, SOURCE.width / 2);
        let expected = bicubic_antialiased(&centre, CAMERA.height, CAMERA.width).unwrap();
        let off = (&shot.wide - expected).abs().max().double_value(&[]);
        assert!(off < 4e-3, "{off}");
    }

    #[test]
    fn sizes_are_as_announced() {
        let shot = shoot(&picture(), &WIDE).unwrap();
        let of = |s: Size| vec![1, 3, s.height, s.width];
        assert_eq!(
            (shot.truth.size(), shot.ultrawide.size(), shot.wide.size()),
            (of(TRUTH), of(CAMERA), of(CAMERA))
        );
        assert_eq!(
            SOURCE.width * TRUTH.height,
            SOURCE.height * TRUTH.width,
            "nothing is stretched"
        );
    }

    #[test]
    fn field_is_where_the_wide_camera_looks() {
        assert_eq!(
            IDEAL.field(TRUTH),
            [
                (256.0, 144.0),
                (768.0, 144.0),
                (768.0, 432.0),
                (256.0, 432.0)
            ]
        );
        // The corners' mean is the axis; the roll keeps lengths.
        let field = WIDE.field(TRUTH);
        let mean = |f: fn(&(f64, f64)) -> f64| field.iter().map(f).sum::<f64>() / 4.0;
        assert!(
            (mean(|c| c.0) - (512.0 + 0.012 * 512.0)).abs() < 1e-9
                && (mean(|c| c.1) - (288.0 - 0.01 * 288.0)).abs() < 1e-9
        );
        assert!(((field[1].0 - field[0].0).hypot(field[1].1 - field[0].1) - 512.0).abs() < 1e-9);
        assert!(field[1].1 > field[0].1, "clockwise");
    }

    #[test]
    fn gain_is_the_wide_cameras_own() {
        let grey = Tensor::full(
            [1, 3, SOURCE.height, SOURCE.width],
            0.6,
            (Kind::Float, Device::Cpu),
        );
        let shot = shoot(&grey, &WIDE).unwrap();
        for (channel, gain) in WIDE.gain.iter().enumerate() {
            let off = (shot.wide.get(0).get(channel as i64) - f64::from(*gain) * 0.6)
                .abs()
                .max()
                .double_value(&[]);
            assert!(off < 1e-5, "{off}");
        }
        assert!((shot.ultrawide - 0.6).abs().max().double_value(&[]) < 1e-5);
    }
}
