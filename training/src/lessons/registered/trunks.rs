//! The light model's lesson: trunks of fewer residual blocks that give what a teacher's give.
//!
//! Everything but the trunks is the teacher's and stays as it is, so that what was trained on the
//! teacher's features can be used with the pupil's. The teacher answers for any pictures: no truth is
//! needed, and colours may be changed at will.

use super::{
    against_truth,
    features::{Features, Motions},
    fusion::layers,
};
use crate::{
    data::{
        batch::ClipPatch,
        random::{Random, hash},
        recolour::Recolour,
    },
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
    /// Share of patches whose colours are changed.
    recoloured: f64,
    seed: u64,
}

/// Families of random numbers.
const FRAMES: u64 = 5;
const COLOURS: u64 = 6;
/// Steps on one batch: its teacher's features are dear.
const REPEATS: usize = 2;
/// What is trained.
const TRUNKS: [&str; 2] = ["backward_trunk.", "forward_trunk."];

impl Trunks {
    /// Of two registered networks of equally many channels.
    ///
    /// # Errors
    /// For other networks, and for losses that need more than two pictures.
    pub fn new(
        pupil: Network,
        teacher: Network,
        losses: Losses,
        features: f64,
        recoloured: f64,
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
            "the losses {losses} need VGG19; trunks learn from features and pictures alone"
        );
        Ok(Self {
            pupil,
            teacher,
            losses,
            features,
            recoloured,
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

    /// All patches of a batch at once: one exercise.
    fn prepare<'a>(
        &'a self,
        batch: &[ClipPatch],
        steps: u64,
    ) -> Result<Vec<Box<dyn Exercise + 'a>>> {
        let device = self.pupil.device();
        let clips = batch
            .iter()
            .map(|patch| {
                let mut random = Random::new(self.seed, COLOURS, hash(&patch.name) ^ steps);
                if random.between(0.0, 1.0) < self.recoloured {
                    Recolour::draw(&mut random).apply(&patch.lr)
                } else {
                    Ok(patch.lr.shallow_clone())
                }
            })
            .collect::<Result<Vec<_>>>()?;
        let names: String = batch.iter().map(|patch| patch.name.as_str()).collect();
        let lr = Tensor::f_stack(&clips, 1)?;
        let lr = lr.f_to_device(device)?.f_unbind(0)?;
        let teacher = layers(&self.teacher)?;
        let (motions, wanted) = Precision::Fp32Fast.compute(device, || {
            let motions = Motions::of(teacher, &lr)?;
            let wanted = Features::of(teacher, &lr, &motions)?;
            Ok((motions, wanted))
        })?;
        Ok(vec![Box::new(Clips {
            lesson: self,
            pupil: layers(&self.pupil)?,
            teacher,
            motions,
            random: Random::new(self.seed, FRAMES, hash(&names) ^ steps),
            wanted,
            lr,
        })])
    }

    fn strip(&self, patch: &ClipPatch, output: &Tensor) -> Result<Strip> {
        Ok(Strip {
            pictures: vec![patch.lr.f_narrow(0, 0, 1)?, output.shallow_clone()],
            caption: "the patch's first input in its own colours, an output",
        })
    }
}

/// Clip patches with the teacher's features of them, `[patches, 3, ..]` a frame.
struct Clips<'a> {
    lesson: &'a Trunks,
    pupil: &'a RegisteredVsr,
    teacher: &'a RegisteredVsr,
    lr: Vec<Tensor>,
    motions: Motions,
    wanted: Features,
    random: Random,
}

impl Exercise for Clips<'_> {
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
        let picture = |of: &RegisteredVsr, features: &Features| {
            let joined = of.joined(&features.backward[k], &features.forward[k])?;
            let out = of.enlarged(&joined, &self.lr[k], &Details::default())?;
            Ok::<_, refvsr::Error>(out.picture)
        };
        let device = self.lesson.teacher.device();
        let wanted = Precision::Fp32Fast.compute(device, || picture(self.teacher, &self.wanted))?;
        let output = picture(self.pupil, &found)?;
        let StepLosses {
            mut parts,
            total,
            psnr,
            output,
        } = against_truth(&self.lesson.losses, output, &wanted)?;
        parts.push(("features".into(), alike.value.shallow_clone()));
        Ok(StepLosses {
            parts,
            total: total.plus(&alike)?,
            psnr,
            output: output.f_slice(0, -1, None::<i64>, 1)?,
        })
    }

    fn forget(&mut self) {}
}
