//! Rotations and flips, the same for all cameras and frames of a patch.

use super::random::Random;
use anyhow::Result;
use tch::Tensor;

/// A rotation by quarter turns, then a flip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Augment {
    /// Quarter turns, 0 to 3.
    pub turns: i64,
    /// Mirrored left to right.
    pub horizontal: bool,
    /// Mirrored top to bottom.
    pub vertical: bool,
}

impl Augment {
    /// Half of the patches are rotated (by 90, -90 or 180 degrees), half flipped (left to right, top to bottom or both).
    pub fn draw(random: &mut Random) -> Self {
        let turns = if random.below(2) == 0 {
            0
        } else {
            1 + random.below(3) as i64
        };
        let (horizontal, vertical) = if random.below(2) == 0 {
            (false, false)
        } else {
            [(true, false), (false, true), (true, true)][random.below(3) as usize]
        };
        Self {
            turns,
            horizontal,
            vertical,
        }
    }

    /// Applies it to `[.., h, w]`.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn apply(self, frames: Tensor) -> Result<Tensor> {
        let mut axes = vec![];
        axes.extend(self.vertical.then_some(-2));
        axes.extend(self.horizontal.then_some(-1));
        let turned = if self.turns == 0 {
            frames
        } else {
            frames.f_rot90(self.turns, [-2, -1])?
        };
        let flipped = if axes.is_empty() {
            turned
        } else {
            turned.f_flip(axes)?
        };
        Ok(flipped.f_contiguous()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_turned_and_half_are_flipped() {
        let drawn: Vec<_> = (0..4000)
            .map(|k| Augment::draw(&mut Random::new(3, 0, k)))
            .collect();
        let share =
            |f: &dyn Fn(&Augment) -> bool| drawn.iter().filter(|a| f(a)).count() as f64 / 4000.0;
        assert!((share(&|a| a.turns != 0) - 0.5).abs() < 0.03);
        assert!((share(&|a| a.horizontal || a.vertical) - 0.5).abs() < 0.03);
        for turns in 1..4 {
            assert!((share(&|a| a.turns == turns) - 1.0 / 6.0).abs() < 0.03);
        }
        assert!((share(&|a| a.horizontal && a.vertical) - 1.0 / 6.0).abs() < 0.03);
    }

    #[test]
    fn it_does_what_it_says() {
        let t = Tensor::from_slice(&[0i64, 1, 2, 3]).view([1, 2, 2]);
        let list = |a: Augment| {
            Vec::<i64>::try_from(a.apply(t.shallow_clone()).unwrap().view(-1)).unwrap()
        };
        assert_eq!(
            list(Augment {
                turns: 0,
                horizontal: true,
                vertical: false
            }),
            [1, 0, 3, 2]
        );
        assert_eq!(
            list(Augment {
                turns: 0,
                horizontal: false,
                vertical: true
            }),
            [2, 3, 0, 1]
        );
        assert_eq!(
            list(Augment {
                turns: 2,
                horizontal: false,
                vertical: false
            }),
            [3, 2, 1, 0]
        );
        assert_eq!(
            list(Augment {
                turns: 1,
                horizontal: false,
                vertical: false
            }),
            [1, 3, 0, 2]
        );
    }
}
