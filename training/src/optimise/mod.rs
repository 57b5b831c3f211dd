//! One optimiser step after another.

pub mod adam;
pub mod ema;
pub mod parallel;
pub mod schedule;

use crate::{
    data::batch::ClipPatch,
    fitting::fitting,
    lessons::{Exercise, Lesson},
    optimise::adam::Adam,
    optimise::ema::Ema,
    optimise::parallel::Processes,
    optimise::schedule::{cosine, warming},
    precision::LossScale,
};
use anyhow::{Result, bail, ensure};
use refvsr::{Network, checkpoint::Tensors, device::with_tf32};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// How to train.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Learning rate at the start.
    pub rate: f64,
    /// Learning rate at the end.
    pub final_rate: f64,
    /// Optimiser steps in all: the cosine's period.
    pub steps: u64,
    /// Steps over which the rate rises to the cosine's.
    pub warmup: u64,
    /// Gradients longer than this are shortened to it.
    pub clip_norm: f64,
    /// Decay of the weights' running average, if one is kept.
    pub ema: Option<f64>,
    /// Whether losses are scaled so that gradients fit 16-bit floats.
    pub scaled: bool,
    /// Whether CUDA devices may compute in TF32.
    pub tf32: bool,
}

/// What one step did.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// Number of the step, from 0. Skipped steps are counted.
    pub step: u64,
    /// The loss, a mean over the batch (of all processes, as are all figures).
    pub total: f64,
    /// Its weighted parts.
    pub parts: Vec<(String, f64)>,
    /// Of the outputs (before clamping) against the truth (trunks: the teacher's picture), in dB, a mean over the batch.
    pub psnr: f64,
    /// Before clipping.
    pub gradient_norm: f64,
    /// The learning rate it was made with.
    pub rate: f64,
    /// What the loss was multiplied by, in fp16.
    pub loss_scale: Option<f64>,
    /// Loss or gradients were not finite: the weights were left alone.
    pub skipped: bool,
}

/// Steps that may be skipped in a row before training gives up.
pub const MAX_SKIPPED: u32 = 10;

/// Training gave up: too many losses in a row were not finite.
#[derive(Debug)]
pub struct NotFinite {
    /// The last step.
    pub step: u64,
}

impl std::fmt::Display for NotFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "loss or gradients were not finite {MAX_SKIPPED} steps in a row, up to step {}",
            self.step
        )
    }
}

impl std::error::Error for NotFinite {}

/// A network under training, with everything that changes as it is trained.
#[derive(Debug)]
pub struct Trainer {
    lesson: Box<dyn Lesson>,
    optimiser: Optimiser,
}

/// What changes from step to step.
#[derive(Debug)]
struct Optimiser {
    recipe: Recipe,
    adam: Adam,
    ema: Option<Ema>,
    scale: Option<LossScale>,
    weights: BTreeMap<String, Tensor>,
    steps: u64,
    skipped_in_a_row: u32,
    last_output: Option<Tensor>,
}

impl Trainer {
    /// Step 0 of training.
    ///
    /// # Errors
    /// Where nothing is left to train.
    pub fn new(mut lesson: Box<dyn Lesson>, recipe: Recipe) -> Result<Self> {
        let weights: BTreeMap<String, Tensor> =
            lesson.network().weights().variables().into_iter().collect();
        let mut trained = vec![];
        for (name, weight) in &weights {
            let train = lesson.trains(name);
            let _ = weight.set_requires_grad(train);
            if train {
                trained.push((name.clone(), weight.shallow_clone()));
            }
        }
        lesson.network_mut().skip_idle();
        ensure!(
            !trained.is_empty(),
            "all weights are frozen; nothing is left to train"
        );
        let ema = recipe
            .ema
            .map(|_| Ema::new(trained.iter().map(|(n, w)| (n.clone(), w.shallow_clone()))))
            .transpose()?;
        let scale = recipe.scaled.then(LossScale::default);
        Ok(Self {
            lesson,
            optimiser: Optimiser {
                adam: Adam::new(trained)?,
                recipe,
                ema,
                scale,
                weights,
                steps: 0,
                skipped_in_a_row: 0,
                last_output: None,
            },
        })
    }

    /// What is learnt.
    pub fn lesson(&self) -> &dyn Lesson {
        self.lesson.as_ref()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.lesson.network()
    }

    /// How it is trained.
    pub fn recipe(&self) -> &Recipe {
        &self.optimiser.recipe
    }

    /// Steps made, skipped ones included.
    pub fn steps(&self) -> u64 {
        self.optimiser.steps
    }

    /// Number of values that are trained.
    pub fn size(&self) -> usize {
        self.optimiser.adam.size()
    }

    /// The latest output `[1, 3, s p, s p]`.
    pub fn last_output(&self) -> Option<&Tensor> {
        self.optimiser.last_output.as_ref()
    }

    /// The weights to validate and to ship: the running averages where they are kept, else the weights themselves.
    pub fn best_weights(&self) -> BTreeMap<String, Tensor> {
        let mut all: BTreeMap<String, Tensor> = self
            .optimiser
            .weights
            .iter()
            .map(|(n, w)| (n.clone(), w.detach()))
            .collect();
        if let Some(ema) = &self.optimiser.ema {
            all.extend(
                ema.averages()
                    .iter()
                    .map(|(n, w)| (n.clone(), w.shallow_clone())),
            );
        }
        all
    }

    /// Trains on a batch of clip patches, as many steps as its lesson makes of each (fewer where the
    /// run's last step comes before). All of a batch are good for equally many steps; each process
    /// has as many of its own. `report` hears of every step.
    ///
    /// # Errors
    /// Where patches do not fit the network, and [`NotFinite`].
    pub fn train_on(
        &mut self,
        batch: &[ClipPatch],
        processes: &Processes,
        report: impl FnMut(&StepReport),
    ) -> Result<()> {
        if self.optimiser.recipe.tf32 {
            with_tf32(|| self.steps_on(batch, processes, report))?
        } else {
            self.steps_on(batch, processes, report)
        }
    }

    fn steps_on(
        &mut self,
        batch: &[ClipPatch],
        processes: &Processes,
        mut report: impl FnMut(&StepReport),
    ) -> Result<()> {
        // Exercises borrow the lesson while everything else of the trainer moves.
        let Self { lesson, optimiser } = self;
        let mut exercises = lesson.prepare(batch, optimiser.steps)?;
        let n = exercises.first().map_or(0, |e| e.steps());
        ensure!(
            exercises.iter().all(|e| e.steps() == n),
            "the clip patches of a batch have different numbers of frames"
        );
        for k in 0..n {
            if optimiser.steps >= optimiser.recipe.steps {
                break;
            }
            let step = optimiser.step(&mut exercises, k, processes)?;
            report(&step);
            if optimiser.skipped_in_a_row >= MAX_SKIPPED {
                bail!(NotFinite { step: step.step });
            }
        }
        Ok(())
    }
}

impl Optimiser {
    /// The optimiser step `k` of some exercises. With several of them gradients are gathered one
    /// after the other, so that memory does not grow with the batch. Then the processes' gradients
    /// are added up, so that all make the same step.
    fn step(
        &mut self,
        exercises: &mut [Box<dyn Exercise + '_>],
        k: usize,
        processes: &Processes,
    ) -> Result<StepReport> {
        let share = 1.0 / (exercises.len() as u64 * processes.count()) as f64;
        let scale = self.scale.map(|scale| scale.factor());
        self.adam.zero_grad();
        let mut sums: Vec<(String, Tensor)> = vec![];
        for exercise in exercises.iter_mut() {
            let losses = exercise.losses(k)?;
            losses
                .total
                .times(share * scale.unwrap_or(1.0))?
                .graph
                .f_backward()?;
            self.last_output = Some(losses.output.detach());
            let psnr = [("psnr".to_owned(), losses.psnr)];
            let all = [("total".to_owned(), losses.total.value)]
                .into_iter()
                .chain(psnr)
                .chain(losses.parts);
            for (i, (name, value)) in all.enumerate() {
                let value = value.f_mul_scalar(share)?;
                match sums.get_mut(i) {
                    Some((_, sum)) => *sum = sum.f_add(&value)?,
                    None => sums.push((name, value)),
                }
            }
        }
        if let Some(scale) = scale {
            self.adam.scale_gradients(1.0 / scale)?;
        }
        let mut figures = Tensor::f_stack(&sums.iter().map(|(_, v)| v).collect::<Vec<_>>(), 0)?;
        if processes.count() > 1 {
            let n = figures.numel() as i64;
            let all = processes.sum(&Tensor::f_cat(
                &[&figures, &self.adam.flat_gradients()?],
                0,
            )?)?;
            figures = all.f_narrow(0, 0, n)?;
            self.adam
                .set_gradients(&all.f_narrow(0, n, all.numel() as i64 - n)?)?;
        }
        // The only wait for the device (besides that for other processes): all figures of the step in one transfer.
        let norm = self.adam.gradient_norm()?.f_view([1])?;
        let figures: Vec<f64> =
            Vec::try_from(&Tensor::f_cat(&[figures, norm], 0)?.f_to_kind(Kind::Double)?)?;
        let [total, psnr, parts @ .., gradient_norm] = &figures[..] else {
            bail!("a step without figures")
        };

        let rate = cosine(
            self.steps,
            self.recipe.steps,
            self.recipe.rate,
            self.recipe.final_rate,
        ) * warming(self.steps, self.recipe.warmup);
        let skipped = !total.is_finite() || !gradient_norm.is_finite();
        if skipped {
            // Too large a scale makes finite gradients infinite: that is no fault of theirs.
            if !self.scale.as_mut().is_some_and(LossScale::halve) {
                self.skipped_in_a_row += 1;
            }
            exercises.iter_mut().for_each(|e| e.forget());
        } else {
            self.skipped_in_a_row = 0;
            if let Some(scale) = &mut self.scale {
                scale.good();
            }
            let factor = self.recipe.clip_norm / (gradient_norm + 1e-6);
            if factor < 1.0 {
                self.adam.scale_gradients(factor)?;
            }
            self.adam.step(rate)?;
            if let (Some(ema), Some(decay)) = (&mut self.ema, self.recipe.ema) {
                ema.update(&self.weights, decay)?;
            }
        }
        let names = sums.iter().skip(2).map(|(name, _)| name.clone());
        let report = StepReport {
            step: self.steps,
            total: *total,
            psnr: *psnr,
            parts: names.zip(parts.iter().copied()).collect(),
            gradient_norm: *gradient_norm,
            rate,
            loss_scale: scale,
            skipped,
        };
        self.steps += 1;
        Ok(report)
    }
}

impl Trainer {
    /// Everything that further steps depend on, besides the data: weights as `weight.NAME`, moments, averages,
    /// and what the lesson keeps.
    pub fn state(&self) -> Tensors {
        let weights = self
            .optimiser
            .weights
            .iter()
            .map(|(name, w)| (format!("weight.{name}"), w.detach()));
        weights
            .chain(self.optimiser.adam.state())
            .chain(self.optimiser.ema.iter().flat_map(Ema::state))
            .chain(self.lesson.memory())
            .collect()
    }

    /// Updates the optimiser has made: the steps that were not skipped.
    pub fn updates(&self) -> u64 {
        self.optimiser.adam.steps()
    }

    /// The scale of the loss, in fp16.
    pub fn loss_scale(&self) -> Option<LossScale> {
        self.optimiser.scale
    }

    /// Takes up what [`state`](Self::state), [`steps`](Self::steps), [`updates`](Self::updates) and [`loss_scale`](Self::loss_scale) gave.
    ///
    /// # Errors
    /// Where something is missing or of another shape.
    pub fn restore(
        &mut self,
        state: &Tensors,
        steps: u64,
        updates: u64,
        scale: Option<LossScale>,
    ) -> Result<()> {
        for (name, weight) in &mut self.optimiser.weights {
            let saved = fitting(state, &format!("weight.{name}"), weight)?;
            tch::no_grad(|| weight.f_copy_(saved))?;
        }
        self.optimiser.adam.restore(state, updates)?;
        if let Some(ema) = &mut self.optimiser.ema {
            ema.restore(state)?;
        }
        self.lesson.remember(state)?;
        if let (Some(ours), Some(saved)) = (&mut self.optimiser.scale, scale) {
            *ours = saved;
        }
        (self.optimiser.steps, self.optimiser.skipped_in_a_row) = (steps, 0);
        Ok(())
    }
}
