//! The light model's lesson: trunks of fewer residual blocks that give what a teacher's give.
//!
//! Everything but the trunks is the teacher's and stays as it is, so that what was trained on the
//! teacher's features can be used with the pupil's.

use super::{
    against_truth,
    features::{Features, Motions},
    fusion::layers,
};
use crate::{
    data::batch::ClipPatch,
    data::random::{Random, hash},
    lessons::{Exercise, Lesson, StepLosses, Strip},
    losses::Losses,
};
use anyhow::{Result, ensure};
use refvsr::{
    Network, Precision,
    checkpoint::Tensors,
    net::registered::{Details, RegisteredVsr},
};
use tch::{Kind, Tensor};

/// See the module.
#[derive(Debug)]
pub struct Trunks {
    pupil: Network,
    teacher: Network,
    losses: Losses,
    /// Weight of the mean absolute difference of features.
    features: f64,
    seed: u64,
}

/// A family of random numbers.
const FRAMES: u64 = 5;
/// Steps on one clip patch: its teacher's features are dear.
const REPEATS: usize = 2;
/// What is trained.
const TRUNKS: [&str; 2] = ["backward_trunk.", "forward_trunk."];

impl Trunks {
    /// Of two registered networks of equally many channels.
    ///
    /// # Errors
    /// For other networks, and for losses that need more than output and truth.
    pub fn new(
        pupil: Network,
        teacher: Network,
        losses: Losses,
        features: f64,
        seed: u64,
    ) -> Result<Self> {
        layers(&pupil)?;
        layers(&teacher)?;
        let channels = |network: &Network| network.config().mid_channels;
        ensure!(
            channels(&pupil) == channels(&teacher),
            "model.mid_channels is {}, the teacher's {}",
            channels(&pupil),
            channels(&teacher)
        );
        ensure!(
            !losses.needs_vgg(),
            "the losses {losses} need VGG19; trunks learn from features, output and truth alone"
        );
        Ok(Self {
            pupil,
            teacher,
            losses,
            features,
            seed,
        })
    }
}

/// A teacher's weights for a pupil whose trunks have `blocks` residual blocks: those at equal
/// distances, and everything else.
pub fn thinned(teacher: &Network, blocks: i64) -> Tensors {
    let of = teacher.config().num_blocks;
    let mut weights: Tensors = teacher.weights().variables().into_iter().collect();
    for trunk in TRUNKS {
        let blocks_of = format!("{trunk}main.2.");
        let all: Vec<(String, Tensor)> = weights
            .iter()
            .filter_map(|(name, t)| {
                Some((name.strip_prefix(&blocks_of)?.to_owned(), t.shallow_clone()))
            })
            .collect();
        weights.retain(|name, _| !name.starts_with(&blocks_of));
        for (rest, tensor) in all {
            let Some((number, layer)) = rest.split_once('.') else {
                continue;
            };
            let number: i64 = number.parse().unwrap_or(-1);
            if let Some(place) = (0..blocks).find(|i| i * of / blocks == number) {
                weights.insert(format!("{blocks_of}{place}.{layer}"), tensor);
            }
        }
    }
    weights
}

impl Lesson for Trunks {
    fn network(&self) -> &Network {
        &self.pupil
    }

    fn network_mut(&mut self) -> &mut Network {
        &mut self.pupil
    }

    fn trains(&self, name: &str) -> bool {
        TRUNKS.iter().any(|trunk| name.starts_with(trunk))
    }

    fn prepare<'a>(&'a self, patch: &ClipPatch, steps: u64) -> Result<Box<dyn Exercise + 'a>> {
        let device = self.pupil.device();
        let lr = patch.frames("lr", &patch.lr, device)?;
        let teacher = layers(&self.teacher)?;
        let wanted = Precision::Fp32Fast.compute(device, || {
            Features::of(teacher, &lr, &Motions::of(teacher, &lr)?)
        })?;
        let pupil = layers(&self.pupil)?;
        Ok(Box::new(Clip {
            lesson: self,
            pupil,
            hr: patch.frames("hr", &patch.hr, device)?,
            motions: Motions::of(pupil, &lr)?,
            random: Random::new(self.seed, FRAMES, hash(&patch.name) ^ steps),
            wanted,
            lr,
        }))
    }

    fn strip(&self, patch: &ClipPatch, output: &Tensor) -> Result<Strip> {
        Ok(Strip {
            pictures: vec![patch.lr.f_narrow(0, 0, 1)?, output.shallow_clone()],
            caption: "the patch's first input, an output",
        })
    }
}

/// A clip patch with the teacher's features of it, `[1, 3, ..]` a frame.
struct Clip<'a> {
    lesson: &'a Trunks,
    pupil: &'a RegisteredVsr,
    lr: Vec<Tensor>,
    hr: Vec<Tensor>,
    motions: Motions,
    wanted: Features,
    random: Random,
}

impl Exercise for Clip<'_> {
    fn steps(&self) -> usize {
        REPEATS
    }

    /// Features of all frames and the picture of one.
    fn losses(&mut self, _k: usize) -> Result<StepLosses> {
        let found = Features::of(self.pupil, &self.lr, &self.motions)?;
        let pairs = found
            .both()
            .zip(self.wanted.both())
            .map(|(ours, theirs)| Ok(ours.f_sub(theirs)?.f_abs()?.f_mean(Kind::Float)?))
            .collect::<Result<Vec<_>>>()?;
        let alike = crate::losses::Loss::plain(Tensor::f_stack(&pairs, 0)?.f_mean(Kind::Float)?)
            .times(self.lesson.features)?;
        let k = self.random.below(self.lr.len() as u64) as usize;
        let (lr, hr) = (&self.lr[k], &self.hr[k]);
        let joined = self.pupil.joined(&found.backward[k], &found.forward[k])?;
        let output = self.pupil.enlarged(&joined, lr, &Details::default())?;
        let StepLosses {
            mut parts,
            total,
            psnr,
            output,
        } = against_truth(&self.lesson.losses, output, hr)?;
        parts.push(("features".into(), alike.value.shallow_clone()));
        Ok(StepLosses {
            parts,
            total: total.plus(&alike)?,
            psnr,
            output,
        })
    }

    fn forget(&mut self) {}
}
