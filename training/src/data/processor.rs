//! Another camera's lens and image processor: what makes its picture of the same thing look other
//! than the ultra-wide camera's.

use crate::data::random::Random;
use anyhow::{Result, ensure};
use refvsr::net::layers::local::{gaussian, windowed};
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// How much of the difference of others is left between cameras that are nearly alike.
const ALIKE: f64 = 0.2;
/// Registration of such cameras leaves about a third of what it leaves of others.
const REGISTERED: f64 = 1.0 / 3.0;
/// Their lens's blur, whatever others have.
const SHARP: [f64; 2] = [0.0, 0.3];

/// How much cameras differ. Pixels are the reference's own at the density at which it is fused (half
/// an input pixel for the wide camera, a quarter for the tele camera); pairs are ranges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strengths {
    /// Share of cameras that differ by a fifth of what follows only, are as sharp as their density
    /// allows, and lie where they should to a third of what others are off [default: 0].
    #[serde(default)]
    pub alike: f64,
    /// The lens's blur: standard deviation in pixels. Pictures are reduced to their density besides.
    pub blur: [f64; 2],
    /// Share of cameras that sharpen.
    pub sharpened: f64,
    /// By what share of what another blur takes away.
    pub sharpening: [f64; 2],
    /// That blur, in pixels.
    pub sharpening_reach: [f64; 2],
    /// Exponent of the tone curve.
    pub gamma: [f64; 2],
    /// Deviation of the entries of a colour matrix from those of the identity.
    pub colours: f64,
    /// Deviation of a slowly changing gain: shading, local tone mapping.
    pub shading: f64,
    /// The same of an offset: flare.
    pub flare: f64,
    /// Most noise: standard deviation, where white is 1.
    pub noise: f64,
    /// Share of pictures of which a part shows something else.
    pub something_else: f64,
}

impl Strengths {
    /// Those of the bundled models' configs, which say of each why.
    pub const PHONE: Self = Self {
        alike: 0.0,
        blur: [0.0, 0.95],
        sharpened: 0.5,
        sharpening: [0.0, 1.2],
        sharpening_reach: [0.5, 1.25],
        gamma: [0.75, 1.35],
        colours: 0.04,
        shading: 0.06,
        flare: 0.03,
        noise: 0.02,
        something_else: 0.35,
    };

    /// Those of cameras that are nearly alike. Things get in the way of them as often.
    fn nearly_alike(&self) -> Self {
        let less = |value: f64| ALIKE * value;
        Self {
            alike: 0.0,
            blur: SHARP,
            sharpening: self.sharpening.map(less),
            gamma: self.gamma.map(|gamma| gamma.powf(ALIKE)),
            colours: less(self.colours),
            shading: less(self.shading),
            flare: less(self.flare),
            noise: less(self.noise),
            ..self.clone()
        }
    }

    /// Checks that ranges are ranges, shares shares and everything else at least 0.
    ///
    /// # Errors
    /// With the value's name.
    pub fn check(&self) -> Result<()> {
        let ranges = [
            ("blur", self.blur),
            ("sharpening", self.sharpening),
            ("sharpening_reach", self.sharpening_reach),
            ("gamma", self.gamma),
        ];
        for (name, [least, most]) in ranges {
            ensure!(
                0.0 <= least && least <= most && most <= 10.0,
                "references.camera.{name} is [{least}, {most}]; a range within 0 to 10 expected"
            );
        }
        let shares = [
            ("alike", self.alike),
            ("sharpened", self.sharpened),
            ("colours", self.colours),
            ("shading", self.shading),
            ("flare", self.flare),
            ("noise", self.noise),
            ("something_else", self.something_else),
        ];
        check_shares("references.camera", &shares)
    }
}

/// Checks that values of a section of the config, by name, lie between 0 and 1.
///
/// # Errors
/// With the value's name.
pub fn check_shares(section: &str, shares: &[(&str, f64)]) -> Result<()> {
    for (name, value) in shares {
        ensure!(
            (0.0..=1.0).contains(value),
            "{section}.{name} is {value}; 0 to 1 expected"
        );
    }
    Ok(())
}

/// One camera's.
#[derive(Debug)]
pub struct Processor {
    /// How far registration leaves its pictures off, against others.
    pub misplaced: f64,
    blur: f64,
    /// Amount and reach.
    sharpening: Option<(f64, f64)>,
    gamma: f64,
    /// `[3, 3, 1, 1]`.
    matrix: Tensor,
    gain: Tensor,
    offset: Tensor,
    noise: f64,
    /// Where something else is seen, 0 or 1 after [`spread`], and which way that is mirrored.
    other: Option<(Tensor, i64)>,
}

impl Processor {
    /// Draws one.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn draw(random: &mut Random, strengths: &Strengths) -> Result<Self> {
        // Where there are none, no number is drawn for them: older configs draw what they did.
        if strengths.alike > 0.0 && random.between(0.0, 1.0) < strengths.alike {
            let alike = Self::draw(random, &strengths.nearly_alike())?;
            return Ok(Self {
                misplaced: REGISTERED,
                ..alike
            });
        }
        let mut between = |[least, most]: [f64; 2]| random.between(least, most);
        let (blur, gamma) = (between(strengths.blur), between(strengths.gamma));
        let sharpening = (
            between(strengths.sharpening),
            between(strengths.sharpening_reach),
        );
        let chance = |random: &mut Random, share: f64| random.between(0.0, 1.0) < share;
        let identity = Tensor::f_eye(3, (Kind::Float, tch::Device::Cpu))?.f_view([3, 3, 1, 1])?;
        Ok(Self {
            misplaced: 1.0,
            blur,
            sharpening: chance(random, strengths.sharpened).then_some(sharpening),
            gamma,
            matrix: normal(random, &[3, 3, 1, 1])?
                .f_mul_scalar(strengths.colours)?
                .f_add(&identity)?,
            gain: coarse(random, 3, strengths.shading)?.f_add_scalar(1.0)?,
            offset: coarse(random, 3, strengths.flare)?,
            noise: random.between(0.0, strengths.noise),
            other: if chance(random, strengths.something_else) {
                let limit = random.between(0.3, 1.2);
                let side = 2 + random.below(2) as i64;
                Some((coarse(random, 1, 1.0)?.f_sub_scalar(limit)?, side))
            } else {
                None
            },
        })
    }

    /// What is seen through its lens, sharpened by its processor. A pixel at the density at which the
    /// picture `[1, 3, H, W]` is fused is `own` of the picture's.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn seen(&self, picture: &Tensor, own: f64) -> Result<Tensor> {
        let mut seen = gaussian(picture, own * self.blur.max(1e-3))?;
        if let Some((amount, reach)) = self.sharpening {
            let coarse = gaussian(&seen, own * reach)?;
            seen = seen.f_add(&seen.f_sub(&coarse)?.f_mul_scalar(amount)?)?;
        }
        if let Some((there, side)) = &self.other {
            let there = spread(there, &seen)?.f_gt(0.0)?.f_to_kind(seen.kind())?;
            let other = picture.f_flip([*side])?.f_sub(&seen)?;
            seen = seen.f_add(&other.f_mul(&there)?)?;
        }
        windowed(&seen, &reducing(own)).map_err(Into::into)
    }

    /// Its tones and colours of a picture `[1, 3, H, W]`.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn developed(&self, picture: &Tensor) -> Result<Tensor> {
        let x = picture
            .f_clamp(1e-4, 1.0)?
            .f_pow_tensor_scalar(self.gamma)?;
        let matrix = self.matrix.f_to_device(x.device())?;
        let x = x.f_conv2d(&matrix, None::<Tensor>, [1, 1], [0, 0], [1, 1], 1)?;
        Ok(x.f_mul(&spread(&self.gain, &x)?)?
            .f_add(&spread(&self.offset, &x)?)?
            .f_clamp(0.0, 1.0)?)
    }

    /// A picture with its noise, as from a file of 8 bits.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn recorded(&self, random: &mut Random, picture: &Tensor) -> Result<Tensor> {
        let noise = normal(random, &picture.size())?
            .f_mul_scalar(self.noise)?
            .f_to_device(picture.device())?;
        Ok(picture
            .f_add(&noise)?
            .f_clamp(0.0, 1.0)?
            .f_mul_scalar(255.0)?
            .f_round()?
            .f_div_scalar(255.0)?)
    }
}

/// The window through which bicubic reducing (a = -0.5, antialiased) to one pixel of `own` looks.
fn reducing(own: f64) -> Vec<f32> {
    let bicubic = |x: f64| match x {
        x if x <= 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x <= 2.0 => ((2.5 - 0.5 * x) * x - 4.0) * x + 2.0,
        _ => 0.0,
    };
    let reach = (2.0 * own).ceil() as i32;
    let weights: Vec<f64> = (-reach..=reach)
        .map(|k| bicubic(f64::from(k.abs()) / own))
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| (weight / sum) as f32).collect()
}

/// Normally distributed numbers.
fn normal(random: &mut Random, shape: &[i64]) -> Result<Tensor> {
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..(count + 1) / 2)
        .flat_map(|_| {
            let (a, b) = random.normal_pair();
            [a as f32, b as f32]
        })
        .take(count as usize)
        .collect();
    Ok(Tensor::f_from_slice(&values)?.f_view(shape)?)
}

/// A smooth random field for [`spread`]: 2 to 6 numbers a side, `[1, channels, rows, columns]`.
///
/// # Errors
/// Where memory runs out.
pub fn coarse(random: &mut Random, channels: i64, deviation: f64) -> Result<Tensor> {
    let mut side = || 2 + random.below(5) as i64;
    let (rows, columns) = (side(), side());
    Ok(normal(random, &[1, channels, rows, columns])?.f_mul_scalar(deviation)?)
}

/// A coarse field over the whole of a picture `[1, C, H, W]`, bicubic between its numbers.
///
/// # Errors
/// Where memory runs out.
pub fn spread(field: &Tensor, picture: &Tensor) -> Result<Tensor> {
    let size = picture.size();
    Ok(field.f_to_device(picture.device())?.f_upsample_bicubic2d(
        [size[2], size[3]],
        true,
        None,
        None,
    )?)
}
