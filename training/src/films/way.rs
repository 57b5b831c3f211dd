//! How a camera stands or moves through a film.

use crate::{data::random::Random, synthesize::camera::Wave};
use std::f64::consts::TAU;

/// What recordings are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// A tripod: nothing moves.
    Tripod,
    /// A slow pan, under a tenth of an input pixel a frame.
    SlowPan,
    /// A hand that holds still: fractions of a pixel.
    Hand,
    /// Pans with rests between them.
    StopAndGo,
    /// A pan by half a pixel to four a frame.
    Pan,
}

/// Shares of those that move: slow pan, hand, stop and go, pan.
const MOVING: [(f64, Support); 4] = [
    (0.25, Support::SlowPan),
    (0.25, Support::Hand),
    (0.15, Support::StopAndGo),
    (0.35, Support::Pan),
];

impl Support {
    /// Draws one: `still` of them are tripods.
    pub fn draw(random: &mut Random, still: f64) -> Self {
        if random.between(0.0, 1.0) < still {
            return Self::Tripod;
        }
        let mut left = random.between(0.0, 1.0);
        for (share, support) in MOVING {
            if left < share {
                return support;
            }
            left -= share;
        }
        Self::Pan
    }

    /// Where the picture lies at each of `frames` frames, in input pixels from where it begins.
    pub fn way(self, random: &mut Random, frames: usize) -> Vec<[f64; 2]> {
        let heading = random.between(0.0, TAU);
        let straight = |length: f64| [length * heading.cos(), length * heading.sin()];
        match self {
            Self::Tripod => vec![[0.0; 2]; frames],
            Self::SlowPan | Self::Pan => {
                let (least, most): (f64, f64) = match self {
                    Self::SlowPan => (0.01, 0.1),
                    _ => (0.5, 4.0),
                };
                // As many slow ones as fast ones.
                let speed = least * (most / least).powf(random.between(0.0, 1.0));
                (0..frames).map(|t| straight(speed * t as f64)).collect()
            }
            Self::Hand => {
                let mut axis = || {
                    [
                        Wave::draw(random, 2.0, 0.2, 1.0),
                        Wave::draw(random, 0.5, 1.0, 4.0),
                        Wave::draw(random, 0.12, 4.0, 10.0),
                    ]
                };
                let axes = [axis(), axis()];
                let at = |t: usize| axes.map(|waves| waves.iter().map(|w| w.at(t as f64)).sum());
                (0..frames).map(at).collect()
            }
            Self::StopAndGo => {
                let (mut length, mut moves) = (0.0, random.below(2) == 0);
                let mut way = vec![];
                while way.len() < frames {
                    let speed = if moves { random.between(0.2, 2.0) } else { 0.0 };
                    for _ in 0..8 + random.below(24) {
                        way.push(straight(length));
                        length += speed;
                    }
                    moves = !moves;
                }
                way.truncate(frames);
                way
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fastest(way: &[[f64; 2]]) -> f64 {
        let steps = way
            .windows(2)
            .map(|w| (w[1][0] - w[0][0]).hypot(w[1][1] - w[0][1]));
        steps.fold(0.0, f64::max)
    }

    #[test]
    fn supports_move_as_their_names_say() {
        for k in 0..100 {
            let way = |support: Support| support.way(&mut Random::new(1, 0, k), 100);
            assert_eq!(fastest(&way(Support::Tripod)), 0.0);
            assert!((0.0099..0.1001).contains(&fastest(&way(Support::SlowPan))));
            assert!((0.4999..4.001).contains(&fastest(&way(Support::Pan))));
            assert!(
                fastest(&way(Support::Hand)) < 1.2,
                "{}",
                fastest(&way(Support::Hand))
            );
            let way = way(Support::StopAndGo);
            let rests = way.windows(2).filter(|w| w[0] == w[1]).count();
            assert!((1..99).contains(&rests), "{rests} rests");
            assert_eq!(way.len(), 100);
        }
    }

    #[test]
    fn as_many_are_still_as_were_asked_for() {
        let mut random = Random::new(2, 0, 0);
        let drawn: Vec<Support> = (0..4000)
            .map(|_| Support::draw(&mut random, 0.45))
            .collect();
        let share = |of: Support| drawn.iter().filter(|&&s| s == of).count() as f64 / 4000.0;
        assert!((share(Support::Tripod) - 0.45).abs() < 0.03);
        for (expected, support) in MOVING {
            assert!(
                (share(support) - 0.55 * expected).abs() < 0.03,
                "{support:?}"
            );
        }
    }
}
