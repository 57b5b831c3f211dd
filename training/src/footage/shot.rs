//! Long shots of one picture: how the camera is held, and how a pixel moves from frame to frame.

use crate::{
    data::random::Random,
    synthesize::camera::{Hand, View},
};
use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::f64::consts::{PI, TAU};
use tch::{Kind, Tensor};

/// How the camera is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Motion {
    /// It does not move at all.
    Tripod,
    /// A slow pan: 0.05 to 0.08 of the input's pixels a frame.
    Pan,
    /// A hand's shaking, without a pan.
    HandHeld,
    /// It stands for 40 frames, moves on for 20 by 15 % of the frame's width, stands, and comes back.
    StopAndGo,
}

/// Frames of a stand, and of a move.
const STAND: usize = 40;
const MOVE: usize = 20;
/// Share of the frame's width of a move.
const FAR: f64 = 0.15;

/// One shot.
#[derive(Debug)]
pub struct Shot {
    motion: Motion,
    source: [f64; 2],
    frame: [f64; 2],
    /// Source pixels to a pixel of the frame.
    scale: f64,
    /// Unit vector.
    heading: [f64; 2],
    /// Frame pixels a frame, of a pan.
    speed: f64,
    hand: Hand,
}

impl Shot {
    /// Draws a shot of a picture of `source` pixels for frames of `frame` pixels (width, height), of
    /// which `input` are one of the network's input. Frames show a share `view` of the picture.
    pub fn draw(
        random: &mut Random,
        motion: Motion,
        source: (usize, usize),
        frame: (usize, usize),
        input: f64,
        view: f64,
    ) -> Self {
        let float = |(a, b): (usize, usize)| [a as f64, b as f64];
        let (source, frame) = (float(source), float(frame));
        let (sin, cos) = random.between(0.0, TAU).sin_cos();
        Self {
            motion,
            source,
            frame,
            scale: view * (source[0] / frame[0]).min(source[1] / frame[1]),
            heading: [cos, sin],
            speed: input * random.between(0.05, 0.08),
            hand: Hand::draw(random, 1.0),
        }
    }

    /// What a frame shows. It stays inside the picture; a pan turns round before its edge.
    pub fn view(&self, frame: usize) -> View {
        let room =
            [0, 1].map(|axis| (self.source[axis] / self.scale - self.frame[axis]).max(0.0) / 2.0);
        let (mut moved, mut angle) = ([0.0; 2], 0.0);
        match self.motion {
            Motion::Tripod => {}
            Motion::Pan => {
                for axis in 0..2 {
                    let way = self.speed * self.heading[axis] * frame as f64;
                    moved[axis] = folded(way, 0.9 * room[axis]);
                }
            }
            Motion::HandHeld => {
                let (shaken, twisted) = self.hand.at(frame as f64);
                moved = shaken.map(|share| share * self.frame[0]);
                angle = twisted;
            }
            Motion::StopAndGo => {
                let far = FAR * self.frame[0] * there_and_back(frame);
                moved = self.heading.map(|along| along * far);
            }
        }
        View {
            centre: [0, 1].map(|axis| {
                let moved = moved[axis].clamp(-room[axis], room[axis]);
                self.source[axis] / 2.0 + moved * self.scale
            }),
            scale: self.scale,
            angle,
        }
    }
}

/// A way from 0 onwards, folded back where it would leave `-most` to `most`.
fn folded(way: f64, most: f64) -> f64 {
    if most <= 0.0 {
        return 0.0;
    }
    let turned = (way + most).rem_euclid(4.0 * most);
    turned.min(4.0 * most - turned) - most
}

/// Where stop and go is: 0 at its start, 1 at its end.
fn there_and_back(frame: usize) -> f64 {
    let (moves, since) = (frame / (STAND + MOVE), frame % (STAND + MOVE));
    let share = since.saturating_sub(STAND) as f64 / MOVE as f64;
    let eased = (1.0 - (PI * share).cos()) / 2.0;
    if moves.is_multiple_of(2) {
        eased
    } else {
        1.0 - eased
    }
}

/// Where each pixel of a frame that shows `now` lay in the frame before, which showed `before`: a grid
/// to sample that one at, `[1, height, width, 2]`.
///
/// # Errors
/// Where memory runs out.
pub fn way_back(now: View, before: View, width: i64, height: i64) -> Result<Tensor> {
    let (w, h) = (width as f64, height as f64);
    let (sin, cos) = (now.angle - before.angle).sin_cos();
    let zoomed = now.scale / before.scale;
    let apart = [0, 1].map(|axis| (now.centre[axis] - before.centre[axis]) / before.scale);
    let (back_sin, back_cos) = before.angle.sin_cos();
    // Both views count from their middles, in their own pixels and turned as they are.
    let matrix = [
        zoomed * cos,
        -zoomed * sin * h / w,
        2.0 * (back_cos * apart[0] + back_sin * apart[1]) / w,
        zoomed * sin * w / h,
        zoomed * cos,
        2.0 * (back_cos * apart[1] - back_sin * apart[0]) / h,
    ];
    let matrix = Tensor::f_from_slice(&matrix)?
        .f_to_kind(Kind::Float)?
        .f_view([1, 2, 3])?;
    Ok(Tensor::f_affine_grid_generator(
        &matrix,
        [1, 3, height, width],
        false,
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::png::Picture, synthesize::render::Scene};
    use refvsr::metrics::psnr;

    fn shot(motion: Motion, seed: u64) -> Shot {
        let mut random = Random::new(seed, 0, 0);
        Shot::draw(&mut random, motion, (4000, 3000), (384, 256), 4.0, 0.6)
    }

    /// Input pixels from one frame to the next.
    fn step(shot: &Shot, frame: usize) -> f64 {
        let [a, b] = [frame, frame + 1].map(|n| shot.view(n).centre);
        (b[0] - a[0]).hypot(b[1] - a[1]) / shot.scale / 4.0
    }

    #[test]
    fn motions_are_what_they_are_called() {
        for seed in 0..20 {
            assert!((0..300).all(|n| step(&shot(Motion::Tripod, seed), n) == 0.0));
            let pan = shot(Motion::Pan, seed);
            assert!((0..3000).all(|n| step(&pan, n) < 0.1));
            assert!((0..100).all(|n| step(&pan, n) > 0.04));
            let hand = shot(Motion::HandHeld, seed);
            let mean = (0..300).map(|n| step(&hand, n)).sum::<f64>() / 300.0;
            assert!((0.01..1.0).contains(&mean), "{mean}");
            let going = shot(Motion::StopAndGo, seed);
            let still = (0..300).filter(|&n| step(&going, n) == 0.0).count();
            assert_eq!(still, 200, "40 of 60 frames");
            assert!((0..300).any(|n| step(&going, n) > 0.5));
        }
    }

    #[test]
    fn views_stay_inside_however_long() {
        for motion in Motion::value_variants() {
            let shot = shot(*motion, 3);
            for view in (0..3000).map(|n| shot.view(n)) {
                let half = [192.0, 128.0].map(|side| side * view.scale);
                assert!(view.centre[0] >= half[0] - 1e-6 && view.centre[0] <= 4000.0 - half[0]);
                assert!(view.centre[1] >= half[1] - 1e-6 && view.centre[1] <= 3000.0 - half[1]);
            }
        }
    }

    #[test]
    fn the_way_back_brings_the_frame_before_onto_this_one() {
        const SIDE: usize = 128;
        let data: Vec<u8> = (0..SIDE * SIDE * 3)
            .map(|i| {
                let (x, y) = ((i / 3 % SIDE) as f64, (i / 3 / SIDE) as f64);
                (128.0 + 60.0 * (x / 5.0).sin() + 50.0 * (y / 7.0 + x / 11.0).cos()) as u8
            })
            .collect();
        let picture = Picture {
            width: SIDE,
            height: SIDE,
            data,
        };
        let mut scene = Scene::new(&picture).unwrap();
        let before = View {
            centre: [64.0, 64.0],
            scale: 0.9,
            angle: 0.02,
        };
        let now = View {
            centre: [66.5, 61.0],
            scale: 0.85,
            angle: -0.05,
        };
        let (w, h) = (80, 56);
        let mut seen = |view| scene.view(view, w, h, None).unwrap();
        let (a, b) = (seen(before), seen(now));
        let grid = way_back(now, before, w as i64, h as i64).unwrap();
        let warped = a.grid_sampler(&grid, 2, 1, false);
        let inner = |t: &Tensor| t.narrow(2, 8, 40).narrow(3, 8, 64);
        let (still, moved) = (
            psnr(&inner(&a), &inner(&b)).unwrap(),
            psnr(&inner(&warped), &inner(&b)).unwrap(),
        );
        assert!(moved > 35.0 && moved > still + 15.0, "{still} {moved}");
    }
}
