//! One optimiser step a window: what happens to the weights, without files, clocks or screens.

use crate::{
    adam::Adam,
    batch::ClipPatch,
    ema::Ema,
    fitting::fitting,
    losses::{Losses, Report, Target, seen_by_pixel_losses},
    parallel::Processes,
    precision::{LossScale, Precision},
    schedule::{cosine, warming},
    vgg::Vgg,
};
use anyhow::{Context, Result, bail, ensure};
use refvsr::{
    Network,
    checkpoint::Tensors,
    config::Recurrence,
    net::{Frame, Kept, Run},
};
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

/// How to train.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// What to lower.
    pub losses: Losses,
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
    /// Weights whose names start so stay as they are.
    pub frozen: Vec<String>,
    /// What the network computes in; on the CPU fp16 leaves the numbers fp32 and only scales the losses.
    pub precision: Precision,
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
    /// Of the outputs (before clamping) against the truth, in dB, a mean over the batch.
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
    network: Network,
    recipe: Recipe,
    vgg: Option<Vgg>,
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
    /// Where the losses need VGG19 and there is none, or nothing is left to train.
    pub fn new(mut network: Network, recipe: Recipe, vgg: Option<Vgg>) -> Result<Self> {
        ensure!(
            vgg.is_some() || !recipe.losses.needs_vgg(),
            "the losses {} need VGG19 weights",
            recipe.losses
        );
        let weights: BTreeMap<String, Tensor> = network.weights().variables().into_iter().collect();
        let frozen = |name: &str| recipe.frozen.iter().any(|prefix| name.starts_with(prefix));
        let mut trained = vec![];
        for (name, weight) in &weights {
            let train = !frozen(name);
            let _ = weight.set_requires_grad(train);
            if train {
                trained.push((name.clone(), weight.shallow_clone()));
            }
        }
        network.skip_idle();
        ensure!(
            !trained.is_empty(),
            "all weights are frozen; nothing is left to train"
        );
        let ema = recipe
            .ema
            .map(|_| Ema::new(trained.iter().map(|(n, w)| (n.clone(), w.shallow_clone()))))
            .transpose()?;
        let scale = (recipe.precision == Precision::Fp16).then(LossScale::default);
        Ok(Self {
            adam: Adam::new(trained)?,
            network,
            recipe,
            vgg,
            ema,
            scale,
            weights,
            steps: 0,
            skipped_in_a_row: 0,
            last_output: None,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// How it is trained.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Steps made, skipped ones included.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Number of values that are trained.
    pub fn size(&self) -> usize {
        self.adam.size()
    }

    /// The latest output `[1, 3, s p, s p]`.
    pub fn last_output(&self) -> Option<&Tensor> {
        self.last_output.as_ref()
    }

    /// The weights to validate and to ship: the running averages where they are kept, else the weights themselves.
    pub fn best_weights(&self) -> BTreeMap<String, Tensor> {
        let mut all: BTreeMap<String, Tensor> = self
            .weights
            .iter()
            .map(|(n, w)| (n.clone(), w.detach()))
            .collect();
        if let Some(ema) = &self.ema {
            all.extend(
                ema.averages()
                    .iter()
                    .map(|(n, w)| (n.clone(), w.shallow_clone())),
            );
        }
        all
    }

    /// Trains on every window of a batch of clip patches, one optimiser step a window, as many windows as the patches' frames allow (fewer where the run's
    /// last step comes before).
    /// The patches must have equally many frames; each process has as many of its own. `report` hears of every step.
    ///
    /// # Errors
    /// Where patches do not fit the network, and [`NotFinite`].
    pub fn train_on(
        &mut self,
        batch: &[ClipPatch],
        processes: &Processes,
        mut report: impl FnMut(&StepReport),
    ) -> Result<()> {
        let t = self.network.config().frame_num;
        let clips = batch
            .iter()
            .map(|patch| self.prepare(patch))
            .collect::<Result<Vec<_>>>()?;
        let n = clips.first().map_or(0, |c| c.lr.len());
        ensure!(
            clips.iter().all(|c| c.lr.len() == n),
            "the clip patches of a batch have different numbers of frames"
        );
        ensure!(
            n >= t,
            "a clip patch of {n} frames is shorter than the window of {t}"
        );
        let mut kept: Vec<Option<Kept>> = clips.iter().map(|_| None).collect();
        for k in 0..=n - t {
            if self.steps >= self.recipe.steps {
                break;
            }
            let step = self.step(&clips, k, &mut kept, processes)?;
            report(&step);
            if self.skipped_in_a_row >= MAX_SKIPPED {
                bail!(NotFinite { step: step.step });
            }
        }
        Ok(())
    }

    /// The optimiser step of window `k`, frames k..k+t. With several clips gradients are gathered one clip after the other, so that memory does
    /// not grow with the batch. Then the processes' gradients are added up, so that all make the same step.
    fn step(
        &mut self,
        clips: &[Clip],
        k: usize,
        kept: &mut [Option<Kept>],
        processes: &Processes,
    ) -> Result<StepReport> {
        let share = 1.0 / (clips.len() as u64 * processes.count()) as f64;
        let scale = self.scale.map(|scale| scale.factor());
        self.adam.zero_grad();
        let mut sums: Vec<(String, Tensor)> = vec![];
        for (clip, kept) in clips.iter().zip(kept.iter_mut()) {
            let (losses, next) = self.losses(clip, k, kept.as_ref())?;
            losses
                .total
                .times(share * scale.unwrap_or(1.0))?
                .graph
                .f_backward()?;
            *kept = Some(next.detach());
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
            kept.iter_mut().for_each(|k| *k = None); // what was kept may be as bad
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

    /// Window `k` of a clip through the network.
    fn losses(
        &mut self,
        clip: &Clip,
        k: usize,
        kept: Option<&Kept>,
    ) -> Result<(WindowLosses, Kept)> {
        let config = self.network.config();
        let (t, centre) = (config.frame_num, k + config.look_ahead());
        let references: Vec<[&Tensor; 1]> = clip.wide[k..k + t].iter().map(|w| [w]).collect();
        let window: Vec<Frame<'_>> = clip.lr[k..k + t]
            .iter()
            .zip(&references)
            .map(|(lr, references)| Frame { lr, references })
            .collect();
        // Where the two compute the same, one forward step a window is enough.
        let run = if config.recurrence == Recurrence::Clean {
            Run::Streaming
        } else {
            Run::Training
        };
        let precision = self.recipe.precision;
        let out = precision.compute(|| self.network.forward(&window, kept, run));
        let (sr, next) = out.with_context(|| format!("clip {}", clip.name))?;
        let seen = (k + t) as i64;
        let features = clip
            .reference_features
            .as_ref()
            .map(|f| f.f_narrow(0, 0, seen))
            .transpose()?;
        let reduce = config.hd.then_some(config.scale);
        let hr = clip.hr.get(centre).context("a clip without truth")?;
        let target = Target {
            hr,
            reference_features: features.as_ref(),
            reduce,
        };
        let Report { parts, total } =
            self.recipe
                .losses
                .of(&sr, target, self.vgg.as_ref(), precision)?;
        let psnr = tch::no_grad(|| psnr(&sr, hr, reduce))?;
        self.last_output = Some(sr.detach());
        Ok((WindowLosses { parts, total, psnr }, next))
    }

    /// A clip patch on the network's device, frame by frame, with what all its windows share.
    fn prepare(&self, patch: &ClipPatch) -> Result<Clip> {
        let device = self.network.device();
        let frames = |what: &str, x: &Tensor| -> Result<Vec<Tensor>> {
            let size = x.size();
            ensure!(
                size.len() == 4 && size[1] == 3,
                "clip patch {}: {what} is {size:?}, [n, 3, H, W] expected",
                patch.name
            );
            ensure!(
                size[0] == patch.lr.size()[0],
                "clip patch {}: {} frames of {what}",
                patch.name,
                size[0]
            );
            let x = x.f_to_device(device)?;
            (0..size[0])
                .map(|i| Ok(x.f_narrow(0, i, 1)?.f_contiguous()?))
                .collect()
        };
        let reference_features = match &self.vgg {
            Some(vgg) if self.recipe.losses.needs_references() => {
                let references = patch.loss_references.f_to_device(device)?;
                Some(
                    self.recipe
                        .precision
                        .compute(|| vgg.features_of_all(&references))?,
                )
            }
            _ => None,
        };
        Ok(Clip {
            name: patch.name.clone(),
            lr: frames("lr", &patch.lr)?,
            wide: frames("wide", &patch.wide)?,
            hr: frames("hr", &patch.hr)?,
            reference_features,
        })
    }

    /// Everything that further steps depend on, besides the data: weights as `weight.NAME`, moments, averages.
    pub fn state(&self) -> Tensors {
        let weights = self
            .weights
            .iter()
            .map(|(name, w)| (format!("weight.{name}"), w.detach()));
        weights
            .chain(self.adam.state())
            .chain(self.ema.iter().flat_map(Ema::state))
            .collect()
    }

    /// Updates the optimiser has made: the steps that were not skipped.
    pub fn updates(&self) -> u64 {
        self.adam.steps()
    }

    /// The scale of the loss, in fp16.
    pub fn loss_scale(&self) -> Option<LossScale> {
        self.scale
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
        for (name, weight) in &mut self.weights {
            let saved = fitting(state, &format!("weight.{name}"), weight)?;
            tch::no_grad(|| weight.f_copy_(saved))?;
        }
        self.adam.restore(state, updates)?;
        if let Some(ema) = &mut self.ema {
            ema.restore(state)?;
        }
        if let (Some(ours), Some(saved)) = (&mut self.scale, scale) {
            *ours = saved;
        }
        (self.steps, self.skipped_in_a_row) = (steps, 0);
        Ok(())
    }
}

/// A clip patch ready for use, `[1, 3, ..]` a frame.
struct Clip {
    name: String,
    lr: Vec<Tensor>,
    wide: Vec<Tensor>,
    hr: Vec<Tensor>,
    reference_features: Option<Tensor>,
}

struct WindowLosses {
    parts: Vec<(String, Tensor)>,
    total: crate::losses::Loss,
    psnr: Tensor,
}

/// PSNR of an output as the pixel losses see it (not limited to \[0, 1\] without `reduce`), in dB; a scalar on the device.
///
/// # Errors
/// Where shapes differ.
pub fn psnr(sr: &Tensor, hr: &Tensor, reduce: Option<i64>) -> Result<Tensor> {
    let error = seen_by_pixel_losses(sr, reduce)?
        .f_sub(hr)?
        .f_square()?
        .f_mean(Kind::Float)?;
    Ok(error.f_log10()?.f_mul_scalar(-10.0)?)
}
