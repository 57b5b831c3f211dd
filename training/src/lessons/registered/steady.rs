//! A forward trunk that stays as good as it is at a clip's start, however long the clip.
//!
//! Films are learnt from part by part, and every part begins with the feature that the part before
//! ended with: the network sees what its own weights make of long recordings. What a part should give
//! is told by the truth, and by the network as it was before: begun anew a few frames earlier, where
//! it is at its best, and from clean frames where the films are recorded. The backward branch begins
//! anew at every part, as in use; it learns too unless it is frozen. What knows the features can stay.

use super::{
    against_truth,
    features::{Features, Motions, backward, forward},
    fusion::layers,
    streams::{Streams, part_of},
};
use crate::{
    data::{
        batch::{ClipPatch, Part},
        random::{Random, hash},
    },
    lessons::{Exercise, Lesson, StepLosses, Strip},
    losses::{Loss, Losses},
};
use anyhow::{Context, Result, ensure};
use refvsr::{
    Network, Precision,
    checkpoint::Tensors,
    net::registered::{Details, RegisteredVsr},
};
use tch::{Kind, Tensor};

/// See the module.
#[derive(Debug)]
pub struct Steady {
    pupil: Network,
    teacher: Network,
    losses: Losses,
    /// Weight of the mean absolute difference of features.
    features: f64,
    /// Weights whose names start so stay as they are, besides [`FIXED`].
    frozen: Vec<String>,
    seed: u64,
    streams: Streams,
}

/// No gradients pass these.
const FIXED: [&str; 1] = ["spynet."];
const BACKWARD: &str = "backward_trunk.";
/// Input pixels at a patch's edges that no picture is judged by: what moves in has no past.
const EDGE: i64 = 4;
/// A family of random numbers.
const FRAMES: u64 = 24;

impl Steady {
    /// Of two registered networks of the same form.
    ///
    /// # Errors
    /// For other networks, and for losses that need more than two pictures.
    pub fn new(
        pupil: Network,
        mut teacher: Network,
        losses: Losses,
        features: f64,
        frozen: Vec<String>,
        seed: u64,
    ) -> Result<Self> {
        teacher.freeze(); // its convolutions then take the library's own kernels
        layers(&pupil)?;
        layers(&teacher)?;
        ensure!(
            !losses.needs_vgg(),
            "the losses {losses} need VGG19; a steady trunk learns from features and pictures alone"
        );
        Ok(Self {
            pupil,
            teacher,
            losses,
            features,
            frozen,
            seed,
            streams: Streams::default(),
        })
    }

    fn exercise<'a>(&'a self, patch: &ClipPatch, steps: u64) -> Result<Films<'a>> {
        let device = self.pupil.device();
        let (part, frames) = part_of(patch, device)?;
        let (pupil, teacher) = (layers(&self.pupil)?, layers(&self.teacher)?);
        let own = part.before..part.before + part.frames;
        let clean = match &patch.clean {
            Some(clean) => Some(patch.frames("clean", clean, device)?),
            None => None,
        };
        // Begun anew at the first frame shown, and no gradients: the teacher's part of the work.
        let (past, ahead, wanted, fixed) = Precision::Fp32Fast.compute(device, || {
            let ways = |frames: &[Tensor]| -> refvsr::Result<(Motions, Motions)> {
                let past = Motions::back(teacher, &frames[..own.end])?;
                Ok((past, Motions::onward(teacher, &frames[own.start..])?))
            };
            let (past, ahead) = ways(&frames)?;
            let of = |frames: &[Tensor], (past, ahead): (&Motions, &Motions)| {
                let mut features = Features {
                    forward: forward(teacher, &frames[..own.end], past)?.split_off(own.start),
                    backward: backward(teacher, &frames[own.start..], ahead)?,
                };
                features.backward.truncate(part.frames);
                refvsr::Result::Ok(features)
            };
            let (wanted, fixed) = match &clean {
                Some(clean) => {
                    let (past, ahead) = ways(clean)?;
                    (of(clean, (&past, &ahead))?, None)
                }
                None => {
                    let wanted = of(&frames, (&past, &ahead))?;
                    let fixed = wanted.backward.iter().map(Tensor::shallow_clone).collect();
                    (wanted, (!self.trains(BACKWARD)).then_some(fixed))
                }
            };
            Ok((past, ahead, wanted, fixed))
        })?;
        Ok(Films {
            lesson: self,
            pupil,
            part,
            hr: patch.hr.f_to_device(device)?,
            frames: frames[own.start..]
                .iter()
                .map(Tensor::shallow_clone)
                .collect(),
            past,
            ahead,
            wanted,
            fixed,
            random: Random::new(self.seed, FRAMES, hash(&patch.name) ^ steps),
        })
    }
}

impl Lesson for Steady {
    fn network(&self) -> &Network {
        &self.pupil
    }

    fn network_mut(&mut self) -> &mut Network {
        &mut self.pupil
    }

    fn trains(&self, name: &str) -> bool {
        let frozen = self.frozen.iter().map(String::as_str);
        !FIXED.into_iter().chain(frozen).any(|f| name.starts_with(f))
    }

    fn prepare<'a>(
        &'a self,
        batch: &[ClipPatch],
        steps: u64,
    ) -> Result<Vec<Box<dyn Exercise + 'a>>> {
        let ready = |patch| Ok(Box::new(self.exercise(patch, steps)?) as Box<dyn Exercise + 'a>);
        batch.iter().map(ready).collect()
    }

    fn strip(&self, patch: &ClipPatch, output: &Tensor) -> Result<Strip> {
        Ok(Strip {
            pictures: vec![
                patch.lr.f_slice(0, -1, None::<i64>, 1)?,
                output.shallow_clone(),
                patch.hr.f_slice(0, -1, None::<i64>, 1)?,
            ],
            caption: "the last input that is looked ahead to, an output, the part's last truth",
        })
    }

    fn memory(&self) -> Tensors {
        self.streams.memory()
    }

    fn remember(&self, state: &Tensors) -> Result<()> {
        self.streams.remember(state, self.pupil.device())
    }
}

/// A part of a film being learnt from, `[1, ..]` a frame.
struct Films<'a> {
    lesson: &'a Steady,
    pupil: &'a RegisteredVsr,
    part: Part,
    /// The part's own frames, and those that are looked ahead to.
    frames: Vec<Tensor>,
    /// Their truth, `[frames, 3, s p, s p]`.
    hr: Tensor,
    /// The ways to frames before, from the first one shown on.
    past: Motions,
    /// The ways to frames after, from the part's first one on.
    ahead: Motions,
    /// The teacher's features of the part's own frames.
    wanted: Features,
    /// What the backward branch gives of them, where that is known: it is the teacher's.
    fixed: Option<Vec<Tensor>>,
    random: Random,
}

impl Films<'_> {
    /// The backward branch's features of the part's own frames. What comes after the part has no
    /// gradients.
    fn backward(&self) -> Result<Vec<Tensor>> {
        let step = |i: usize, last: Option<&Tensor>| -> refvsr::Result<Tensor> {
            let state = last.map(|last| self.ahead.to_last(last, i)).transpose()?;
            self.pupil.backward_step(&self.frames[i], state.as_ref())
        };
        let learns = self.lesson.trains(BACKWARD);
        let mut found: Vec<Tensor> = vec![];
        for i in (0..self.frames.len()).rev() {
            let last = found.last();
            found.push(match learns && i < self.part.frames {
                true => step(i, last)?,
                false => tch::no_grad(|| step(i, last))?,
            });
        }
        found.reverse();
        found.truncate(self.part.frames);
        Ok(found)
    }
}

impl Exercise for Films<'_> {
    fn steps(&self) -> usize {
        1
    }

    /// Features of the whole part and the picture of one frame.
    fn losses(&mut self, _k: usize) -> Result<StepLosses> {
        let Self { pupil, part, .. } = *self;
        let mut last = self.lesson.streams.before(part);
        let mut found = vec![];
        let mut differences = vec![];
        let off = |feature: &Tensor, wanted: &Tensor| -> Result<Tensor> {
            Ok(feature.f_sub(wanted)?.f_abs()?.f_mean(Kind::Float)?)
        };
        for (i, (frame, wanted)) in self.frames.iter().zip(&self.wanted.forward).enumerate() {
            let state = match &last {
                Some(feature) => Some(self.past.to_next(feature, part.before + i)?),
                None => None,
            };
            let feature = pupil.forward_step(frame, state.as_ref())?;
            differences.push(off(&feature, wanted)?);
            last = Some(feature.shallow_clone());
            found.push(feature);
        }
        let feature = last.context("a part without frames")?.detach();
        self.lesson.streams.keep(part, feature);

        let backward = match self.fixed.take() {
            Some(fixed) => fixed,
            None => self.backward()?,
        };
        if self.lesson.trains(BACKWARD) {
            for (feature, wanted) in backward.iter().zip(&self.wanted.backward) {
                differences.push(off(feature, wanted)?);
            }
        }
        let alike = Loss::plain(Tensor::f_stack(&differences, 0)?.f_mean(Kind::Float)?)
            .times(self.lesson.features)?;
        let k = self.random.below(part.frames as u64) as usize;
        let joined = pupil.joined(&backward[k], &found[k])?;
        let out = pupil.enlarged(&joined, &self.frames[k], &Details::default())?;
        let scale = self.lesson.pupil.config().scale;
        let inner = |x: &Tensor| -> Result<Tensor> {
            let (edge, size) = (EDGE * scale, x.size());
            Ok(x.f_narrow(2, edge, size[2] - 2 * edge)?
                .f_narrow(3, edge, size[3] - 2 * edge)?)
        };
        let truth = inner(&self.hr.f_narrow(0, k as i64, 1)?)?;
        let mut losses = against_truth(&self.lesson.losses, inner(&out.picture)?, &truth)?;
        losses
            .parts
            .push(("features".into(), alike.value.shallow_clone()));
        losses.total = losses.total.plus(&alike)?;
        losses.output = out.picture;
        Ok(losses)
    }

    fn forget(&mut self) {
        self.lesson.streams.forget(self.part);
    }
}
