//! The live model: its one branch, its enlargement and its fusion, all at once, from films.
//!
//! Films are learnt from part by part, as by [`Steady`](super::steady::Steady), so that recurrence stays.
//! The truth of every frame tells what it should give; some films have a wide camera, drawn from their truth.

use super::{
    against_truth,
    camera::{References, nothing},
    features::Motions,
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
    net::registered::{Details, RegisteredVsr, WIDE_DENSITY},
};
use tch::Tensor;

/// See the module.
#[derive(Debug)]
pub struct Live {
    network: Network,
    losses: Losses,
    references: References,
    /// Weights whose names start so stay as they are.
    frozen: Vec<String>,
    seed: u64,
    streams: Streams,
}

/// Families of random numbers.
const FILMS: u64 = 25;
const CAMERAS: u64 = 26;
/// Input pixels at a patch's edges that no picture is judged by: what moves in has no past.
const EDGE: i64 = 4;

impl Live {
    /// Of a network of the live variant.
    ///
    /// # Errors
    /// For other networks, and for losses that need more than two pictures.
    pub fn new(
        network: Network,
        losses: Losses,
        references: References,
        frozen: Vec<String>,
        seed: u64,
    ) -> Result<Self> {
        layers(&network)?;
        ensure!(
            !losses.needs_vgg(),
            "the losses {losses} need VGG19; the live model learns from output and truth alone"
        );
        Ok(Self {
            network,
            losses,
            references,
            frozen,
            seed,
            streams: Streams::default(),
        })
    }

    fn film(&self, patch: &ClipPatch, steps: u64) -> Result<FilmPart<'_>> {
        let device = self.network.device();
        let network = layers(&self.network)?;
        let (part, mut frames) = part_of(patch, device)?;
        frames.truncate(part.before + part.frames);
        let motions = Precision::Fp32Fast.compute(device, || Motions::back(network, &frames))?;
        let number = hash(&patch.name) ^ steps;
        let mut random = Random::new(self.seed, FILMS, number);
        let has_camera = random.between(0.0, 1.0) < self.references.wide;
        Ok(FilmPart {
            lesson: self,
            network,
            part,
            frames,
            hr: patch.hr.f_to_device(device)?,
            motions,
            camera: has_camera.then(|| Random::new(self.seed, CAMERAS, number)),
            random,
        })
    }
}

impl Lesson for Live {
    fn network(&self) -> &Network {
        &self.network
    }

    fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    fn trains(&self, name: &str) -> bool {
        !self.frozen.iter().any(|part| name.starts_with(part))
    }

    fn prepare<'a>(
        &'a self,
        batch: &[ClipPatch],
        steps: u64,
    ) -> Result<Vec<Box<dyn Exercise + 'a>>> {
        let ready = |patch| Ok(Box::new(self.film(patch, steps)?) as Box<dyn Exercise + 'a>);
        batch.iter().map(ready).collect()
    }

    fn strip(&self, patch: &ClipPatch, output: &Tensor) -> Result<Strip> {
        Ok(Strip {
            pictures: vec![
                patch.lr.f_slice(0, -1, None::<i64>, 1)?,
                output.shallow_clone(),
                patch.hr.f_slice(0, -1, None::<i64>, 1)?,
            ],
            caption: "a late input of the part, its last output and its last truth",
        })
    }

    fn memory(&self) -> Tensors {
        self.streams.memory()
    }

    fn remember(&self, state: &Tensors) -> Result<()> {
        self.streams.remember(state, self.network.device())
    }
}

/// A part of a film being learnt from, `[1, ..]` a frame.
struct FilmPart<'a> {
    lesson: &'a Live,
    network: &'a RegisteredVsr,
    part: Part,
    /// Those shown before the part, and the part's own.
    frames: Vec<Tensor>,
    /// The truth of the part's own, `[frames, 3, s p, s p]`.
    hr: Tensor,
    /// The ways to frames before.
    motions: Motions,
    /// What the wide camera is drawn from, if there is one.
    camera: Option<Random>,
    random: Random,
}

impl FilmPart<'_> {
    /// What the wide camera adds to a frame.
    fn details(&mut self, frame: &Tensor, truth: &Tensor) -> Result<Details> {
        let side = frame.size()[2].max(frame.size()[3]);
        let detail = match &self.camera {
            Some(camera) => self.lesson.references.detail(
                &mut camera.clone(),
                &mut self.random,
                frame,
                truth,
                (WIDE_DENSITY, side),
            )?,
            None => None,
        };
        Ok(Details {
            wide: Some(detail.map_or_else(|| nothing(WIDE_DENSITY, frame.device()), Ok)?),
            tele: None,
        })
    }
}

impl Exercise for FilmPart<'_> {
    fn steps(&self) -> usize {
        1
    }

    /// The pictures of all frames of the part.
    fn losses(&mut self, _k: usize) -> Result<StepLosses> {
        let scale = self.lesson.network.config().scale;
        let inner = |x: &Tensor| -> Result<Tensor> {
            let (edge, size) = (EDGE * scale, x.size());
            Ok(x.f_narrow(2, edge, size[2] - 2 * edge)?
                .f_narrow(3, edge, size[3] - 2 * edge)?)
        };
        let mut last = self.lesson.streams.before(self.part);
        let mut total: Option<StepLosses> = None;
        let share = 1.0 / self.part.frames as f64;
        for k in 0..self.part.frames {
            let at = self.part.before + k;
            let frame = self.frames[at].shallow_clone();
            let truth = self.hr.f_narrow(0, k as i64, 1)?;
            let state = match &last {
                Some(feature) => Some(self.motions.to_next(feature, at)?),
                None => None,
            };
            let feature = self.network.forward_step(&frame, state.as_ref())?;
            let details = tch::no_grad(|| self.details(&frame, &truth))?;
            let picture = self.network.enlarged(&feature, &frame, &details)?.picture;
            last = Some(feature);
            let mut made = against_truth(&self.lesson.losses, inner(&picture)?, &inner(&truth)?)?;
            made.total = made.total.times(share)?;
            made.output = picture;
            total = Some(match total {
                Some(before) => together(before, made)?,
                None => made,
            });
        }
        let feature = last.context("a part without frames")?.detach();
        self.lesson.streams.keep(self.part, feature);
        total.context("a part without frames")
    }

    fn forget(&mut self) {
        self.lesson.streams.forget(self.part);
    }
}

/// The losses of frames so far with those of one more, whose picture is shown.
fn together(before: StepLosses, next: StepLosses) -> Result<StepLosses> {
    let total: Loss = before.total.plus(&next.total)?;
    Ok(StepLosses { total, ..next })
}
