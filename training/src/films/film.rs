//! One film: a photo that a camera looks at for a while, and what its sensor makes of it.

use super::{options::Options, photo::Photo, recording, way::Support};
use crate::{
    data::{augment::Augment, random::Random, recolour::Recolour},
    footage::recorded::{Recording, recorded},
    synthesize::{camera::View, reduce::reduce},
};
use anyhow::Result;
use refvsr::net::layers::local::gaussian;
use tch::{Kind, Tensor};

/// How a frame is reduced to the input's size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reduction {
    /// Bicubic, as the clips that are judged by.
    Bicubic,
    /// Means over squares.
    Area,
    /// Bicubic, of a picture blurred by so much (standard deviation in output pixels).
    Soft(f64),
}

impl Reduction {
    fn draw(random: &mut Random, other: f64) -> Self {
        if random.between(0.0, 1.0) >= other {
            Self::Bicubic
        } else if random.below(2) == 0 {
            Self::Area
        } else {
            Self::Soft(random.between(0.6, 1.8))
        }
    }

    fn apply(self, picture: &Tensor, scale: i64) -> Result<Tensor> {
        match self {
            Self::Bicubic => reduce(picture, scale),
            Self::Area => {
                let side = [scale; 2];
                Ok(picture.f_avg_pool2d(side, side, [0, 0], false, true, None::<i64>)?)
            }
            Self::Soft(deviation) => reduce(&gaussian(picture, deviation)?, scale),
        }
    }
}

/// Frames of a film.
#[derive(Debug)]
pub struct Frames {
    /// As sensor and recording give them, `[n, 3, p, p]`.
    pub lr: Tensor,
    /// The same without noise and recording.
    pub clean: Tensor,
    /// The truth of some of them, `[m, 3, s p, s p]`.
    pub hr: Tensor,
}

/// The same, one by one.
struct Shown {
    lr: Vec<Tensor>,
    clean: Vec<Tensor>,
    hr: Vec<Tensor>,
}

/// What is drawn of a film; its frames are functions of their numbers.
#[derive(Debug)]
pub struct Film {
    /// Of the photo, among those there are.
    pub photo: usize,
    /// What the camera stands on.
    pub support: Support,
    /// The sensor's noise: standard deviation at middle brightness, where white is 1.
    pub noise: f64,
    /// How inputs are made.
    pub reduction: Reduction,
    /// The encoder that they then go through, if any.
    pub recording: Option<Recording>,
    views: Vec<View>,
    augment: Augment,
    recolour: Option<Recolour>,
    patch: i64,
    /// Its frames' noise begins here.
    seed: u64,
}

/// Codes of 8 bits.
const WHITE: f64 = 255.0;
/// Families of random numbers, under a film's own seed.
const NOISE: u64 = 1;

impl Film {
    /// Draws a film of so many frames of one of the photos.
    pub fn draw(random: &mut Random, photos: &[Photo], options: &Options, frames: usize) -> Self {
        let photo = random.below(photos.len() as u64) as usize;
        let support = Support::draw(random, options.still);
        let side = (options.patch as i64 * options.scale) as f64;
        let size = photos[photo].size;
        // Photos are sharp at their own pixels, where nothing moves across them.
        let largest = size.iter().fold(f64::INFINITY, |a, &b| a.min(b / side));
        let scale = match support {
            Support::Tripod if random.below(2) == 0 => 1.0,
            _ => random.between(1.0, 1.8),
        }
        .min(largest);
        let way = support.way(random, frames);
        let places = [0, 1].map(|axis| {
            let room = (size[axis] - side * scale).max(0.0);
            let start = random.between(0.0, room).floor();
            let at = way
                .iter()
                .map(|offset| folded(start + offset[axis] * options.scale as f64 * scale, room))
                .map(|corner| corner + side * scale / 2.0);
            at.collect::<Vec<f64>>()
        });
        let [x, y] = places;
        let views = x.into_iter().zip(y).map(|(x, y)| View {
            centre: [x, y],
            scale,
            angle: 0.0,
        });
        let views = views.collect();
        // Two films of five are clean, two have noise of up to 2 codes, one of more.
        let codes = match random.below(5) {
            0 | 1 => 0.0,
            2 | 3 => random.between(0.0, options.noise.min(2.0)),
            _ => random.between(0.0, options.noise),
        };
        let augment = if options.augment {
            Augment::draw(random)
        } else {
            Augment {
                turns: 0,
                horizontal: false,
                vertical: false,
            }
        };
        let recoloured = random.between(0.0, 1.0) < options.recoloured;
        Self {
            photo,
            support,
            noise: codes / WHITE,
            reduction: Reduction::draw(random, options.other_reductions),
            views,
            augment,
            recolour: recoloured.then(|| Recolour::draw(random)),
            patch: options.patch as i64,
            seed: random.bits(),
            recording: recording::draw(random, options.recorded),
        }
    }

    /// Its number of frames.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// All of its frames as its recording gives them back, if it has one.
    ///
    /// # Errors
    /// Where memory runs out, or the encoder is missing.
    pub fn recorded(&self, photos: &[Photo], scale: i64) -> Result<Option<Vec<Tensor>>> {
        let Some(recording) = &self.recording else {
            return Ok(None);
        };
        let seen = self.shown(photos, 0..self.len(), 0..0, scale, None)?.lr;
        recorded(&seen, recording).map(Some)
    }

    /// Frames `numbers`, and the truth of those in `wanted`. `recorded` is what
    /// [`recorded`](Self::recorded) gave.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn frames(
        &self,
        photos: &[Photo],
        numbers: std::ops::Range<usize>,
        wanted: std::ops::Range<usize>,
        scale: i64,
        recorded: Option<&[Tensor]>,
    ) -> Result<Frames> {
        let Shown { lr, clean, hr } = self.shown(photos, numbers, wanted, scale, recorded)?;
        let all = |frames: Vec<Tensor>| self.augment.apply(Tensor::f_cat(&frames, 0)?);
        Ok(Frames {
            lr: all(lr)?,
            clean: all(clean)?,
            hr: all(hr)?,
        })
    }

    /// The same, before films are turned and flipped.
    fn shown(
        &self,
        photos: &[Photo],
        numbers: std::ops::Range<usize>,
        wanted: std::ops::Range<usize>,
        scale: i64,
        recorded: Option<&[Tensor]>,
    ) -> Result<Shown> {
        let photo = &photos[self.photo];
        let mut scene = photo.scene()?;
        let side = (self.patch * scale) as usize;
        let (mut lr, mut clean, mut hr) = (vec![], vec![], vec![]);
        let mut last: Option<(View, Tensor, Tensor)> = None;
        for number in numbers {
            let view = self.views[number];
            let (full, small) = match last {
                Some((same, full, small)) if same == view => (full, small),
                _ => {
                    let mut full = scene.view(view, side, side, None)?;
                    if let Some(recolour) = &self.recolour {
                        full = recolour.apply(&full)?;
                    }
                    let small = self.reduction.apply(&full, scale)?;
                    (full, small)
                }
            };
            lr.push(match recorded {
                Some(recorded) => recorded[number].shallow_clone(),
                None => self.exposed(&small, number, self.noise)?,
            });
            clean.push(self.exposed(&small, number, 0.0)?);
            if wanted.contains(&number) {
                hr.push(full.shallow_clone());
            }
            last = Some((view, full, small));
        }
        Ok(Shown { lr, clean, hr })
    }

    /// As a sensor gives it: with noise that grows with the light, in 8 bits.
    fn exposed(&self, clean: &Tensor, number: usize, noise: f64) -> Result<Tensor> {
        let mut seen = clean.f_clamp(0.0, 1.0)?;
        if noise > 0.0 {
            let mut random = Random::new(self.seed, NOISE, number as u64);
            let n = seen.numel();
            let normal: Vec<f32> = (0..n.div_ceil(2))
                .flat_map(|_| {
                    let (a, b) = random.normal_pair();
                    [a as f32, b as f32]
                })
                .take(n)
                .collect();
            let normal = Tensor::f_from_slice(&normal)?.f_view(seen.size().as_slice())?;
            let deviation = seen.f_add_scalar(0.5)?.f_sqrt()?.f_mul_scalar(noise)?;
            seen = seen.f_add(&normal.f_mul(&deviation)?)?.f_clamp(0.0, 1.0)?;
        }
        Ok(seen
            .f_mul_scalar(WHITE)?
            .f_round()?
            .f_div_scalar(WHITE)?
            .f_to_kind(Kind::Float)?)
    }
}

/// A way along an axis that turns back at both ends of the room.
fn folded(at: f64, room: f64) -> f64 {
    if room <= 0.0 {
        return 0.0;
    }
    let there = at.rem_euclid(2.0 * room);
    there.min(2.0 * room - there)
}
