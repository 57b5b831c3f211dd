//! The clip patches at hand: a few, each drawn from many times, the oldest giving way to new ones.

use super::clip::Clip;
use crate::{
    basicvsr::BasicVsr,
    batch::{ClipPatch, Source},
    data::random::Random,
};
use anyhow::{Context, Result};
use std::collections::VecDeque;

/// Clip patches to draw from at a time.
const SIZE: usize = 24;
/// The family of random numbers that the shares of stretching come from; the patches have others.
const SHARES: u64 = 9;

/// Clip patches with what the trunks give for them.
pub struct Pool<'a> {
    patches: Box<dyn Iterator<Item = Result<ClipPatch>>>,
    teacher: &'a BasicVsr,
    seed: u64,
    taken: u64,
    clips: VecDeque<Clip>,
}

impl<'a> Pool<'a> {
    /// The pool as it is when so many patches of the source were taken into it: a function of the source, the seed and that number alone.
    pub fn after(
        taken: u64,
        source: &dyn Source,
        teacher: &'a BasicVsr,
        seed: u64,
    ) -> Result<Self> {
        let first = taken.saturating_sub(SIZE as u64);
        let mut pool = Self {
            patches: source.start(first)?,
            teacher,
            seed,
            taken: first,
            clips: VecDeque::new(),
        };
        while pool.taken < taken {
            pool.renew()?;
        }
        Ok(pool)
    }

    /// Patches taken so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether a new patch takes an old one's place.
    pub fn is_full(&self) -> bool {
        self.clips.len() == SIZE
    }

    /// Takes one more patch, its contrast stretched by some random share, in the place of the oldest.
    pub fn renew(&mut self) -> Result<()> {
        let patch = self
            .patches
            .next()
            .context("the training data have come to an end")??;
        let share = Random::new(self.seed, SHARES, self.taken).between(0.0, 1.0);
        self.clips.truncate(SIZE - 1);
        self.clips
            .push_front(Clip::new(self.teacher, &Clip::stretched(patch, share)?)?);
        self.taken += 1;
        Ok(())
    }

    /// The more detailed of two. The pool must not be empty.
    pub fn draw(&self, random: &mut Random) -> &Clip {
        let [one, other] =
            [(); 2].map(|()| &self.clips[random.below(self.clips.len() as u64) as usize]);
        if one.detail > other.detail {
            one
        } else {
            other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distil::teacher_weights;
    use refvsr::{ModelConfig, Network, config::Recurrence};
    use tch::{Device, Kind, Tensor};

    /// Patch k is grey, as bright as k is large.
    struct Greys;

    impl Source for Greys {
        fn start(&self, position: u64) -> Result<Box<dyn Iterator<Item = Result<ClipPatch>>>> {
            let grey = |k: u64, side: i64| {
                Tensor::full(
                    [1, 3, side, side],
                    k as f64 / 100.0,
                    (Kind::Float, Device::Cpu),
                )
            };
            let patch = move |k| ClipPatch {
                name: String::new(),
                lr: grey(k, 8),
                wide: grey(k, 8),
                hr: grey(k, 32),
                loss_references: grey(k, 32),
            };
            Ok(Box::new((position..).map(move |k| Ok(patch(k)))))
        }
    }

    #[test]
    fn a_pool_begun_later_is_the_one_that_came_so_far() {
        let preset = ModelConfig::preset("refvsr-mfid").unwrap();
        let config = ModelConfig {
            mid_channels: 64,
            num_blocks: 1,
            recurrence: Recurrence::Clean,
            ..preset
        };
        let network = Network::new(config, Device::Cpu).unwrap();
        let teacher = BasicVsr::new(&teacher_weights(&network), Device::Cpu).unwrap();
        let brightness = |pool: &Pool<'_>| {
            pool.clips
                .iter()
                .map(|clip| clip.hr[0].double_value(&[0, 0, 0, 0]))
                .collect::<Vec<_>>()
        };
        let mut pool = Pool::after(0, &Greys, &teacher, 3).unwrap();
        for taken in 1..=SIZE as u64 + 5 {
            pool.renew().unwrap();
            assert_eq!(
                (pool.taken(), pool.is_full()),
                (taken, taken >= SIZE as u64)
            );
            if [1, 7, SIZE as u64 + 5].contains(&taken) {
                let later = Pool::after(taken, &Greys, &teacher, 3).unwrap();
                assert_eq!(brightness(&later), brightness(&pool), "after {taken}");
            }
        }
        assert!(
            brightness(&pool).iter().any(|b| *b > 0.05),
            "they are not all alike"
        );
    }
}
