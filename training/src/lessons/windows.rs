//! RefVSR's lesson: windows of a clip patch, each from its frames alone but for the forward
//! recurrence, against the losses of the config (paper, section 3.3).

use crate::{
    data::batch::ClipPatch,
    lessons::{Exercise, Lesson, StepLosses, Strip},
    losses::vgg::Vgg,
    losses::{Losses, Report, Target, seen_by_pixel_losses},
    precision::Precision,
};
use anyhow::{Context, Result, ensure};
use refvsr::{
    Network,
    config::Recurrence,
    net::{Frame, Kept, Run},
};
use tch::{Kind, Tensor};

/// See the module.
#[derive(Debug)]
pub struct Windows {
    network: Network,
    losses: Losses,
    /// Weights whose names start so stay as they are.
    frozen: Vec<String>,
    precision: Precision,
    vgg: Option<Vgg>,
}

impl Windows {
    /// Of a RefVSR network.
    ///
    /// # Errors
    /// Where the losses need VGG19 and there is none.
    pub fn new(
        network: Network,
        losses: Losses,
        frozen: Vec<String>,
        precision: Precision,
        vgg: Option<Vgg>,
    ) -> Result<Self> {
        ensure!(
            vgg.is_some() || !losses.needs_vgg(),
            "the losses {losses} need VGG19 weights"
        );
        Ok(Self {
            network,
            losses,
            frozen,
            precision,
            vgg,
        })
    }

    /// A clip patch made ready.
    fn clip(&self, patch: &ClipPatch) -> Result<Clip<'_>> {
        let device = self.network.device();
        let reference_features = match &self.vgg {
            Some(vgg) if self.losses.needs_references() => {
                let references = patch.loss_references.f_to_device(device)?;
                Some(
                    self.precision
                        .compute(|| vgg.features_of_all(&references))?,
                )
            }
            _ => None,
        };
        let clip = Clip {
            lesson: self,
            name: patch.name.clone(),
            lr: patch.frames("lr", &patch.lr, device)?,
            wide: patch.frames("wide", &patch.wide, device)?,
            hr: patch.frames("hr", &patch.hr, device)?,
            reference_features,
            kept: None,
        };
        let (n, t) = (clip.lr.len(), self.network.config().frame_num);
        ensure!(
            n >= t,
            "a clip patch of {n} frames is shorter than the window of {t}"
        );
        Ok(clip)
    }
}

impl Lesson for Windows {
    fn network(&self) -> &Network {
        &self.network
    }

    fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    fn trains(&self, name: &str) -> bool {
        !self.frozen.iter().any(|prefix| name.starts_with(prefix))
    }

    fn prepare<'a>(
        &'a self,
        batch: &[ClipPatch],
        _steps: u64,
    ) -> Result<Vec<Box<dyn Exercise + 'a>>> {
        let ready = |patch| Ok(Box::new(self.clip(patch)?) as Box<dyn Exercise + 'a>);
        batch.iter().map(ready).collect()
    }

    fn strip(&self, patch: &ClipPatch, output: &Tensor) -> Result<Strip> {
        // The window of the last step may not be the patch's last, at the end of a run; the pictures
        // are a help, not a measure.
        let frame_num = self.network.config().frame_num as i64;
        let centre = patch.lr.size()[0] - frame_num + frame_num / 2;
        let there = |x: &Tensor| -> Result<Tensor> { Ok(x.f_narrow(0, centre, 1)?) };
        let device = self.network.device();
        let lr = there(&patch.lr)?.f_to_device(device)?;
        let wide = there(&patch.wide)?.f_to_device(device)?;
        let confidence = tch::no_grad(|| {
            self.network.confidence(Frame {
                lr: &lr,
                references: &[&wide],
            })
        })?;
        Ok(Strip {
            pictures: vec![
                there(&patch.lr)?,
                there(&patch.wide)?,
                output.shallow_clone(),
                there(&patch.hr)?,
                there(&patch.loss_references)?,
                confidence.f_expand([1, 3, -1, -1], false)?,
            ],
            caption: "input, reference, output, truth, loss reference, confidence (black none, white full)",
        })
    }
}

/// A clip patch ready for use, `[1, 3, ..]` a frame, with what all its windows share.
struct Clip<'a> {
    lesson: &'a Windows,
    name: String,
    lr: Vec<Tensor>,
    wide: Vec<Tensor>,
    hr: Vec<Tensor>,
    reference_features: Option<Tensor>,
    kept: Option<Kept>,
}

impl Exercise for Clip<'_> {
    fn steps(&self) -> usize {
        self.lr.len() + 1 - self.lesson.network.config().frame_num
    }

    /// Window `k`, frames k..k+t, through the network.
    fn losses(&mut self, k: usize) -> Result<StepLosses> {
        let Windows {
            network,
            losses,
            precision,
            vgg,
            ..
        } = self.lesson;
        let config = network.config();
        let (t, centre) = (config.frame_num, k + config.look_ahead());
        let references: Vec<[&Tensor; 1]> = self.wide[k..k + t].iter().map(|w| [w]).collect();
        let window: Vec<Frame<'_>> = self.lr[k..k + t]
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
        let out = precision.compute(|| network.forward(&window, self.kept.as_ref(), run));
        let (output, next) = out.with_context(|| format!("clip {}", self.name))?;
        let seen = (k + t) as i64;
        let features = self
            .reference_features
            .as_ref()
            .map(|f| f.f_narrow(0, 0, seen))
            .transpose()?;
        let reduce = config.hd.then_some(config.scale);
        let hr = self.hr.get(centre).context("a clip without truth")?;
        let target = Target {
            hr,
            reference_features: features.as_ref(),
            reduce,
        };
        let Report { parts, total } = losses.of(&output, target, vgg.as_ref(), *precision)?;
        let psnr = tch::no_grad(|| psnr(&output, hr, reduce))?;
        self.kept = Some(next.detach());
        Ok(StepLosses {
            parts,
            total,
            psnr,
            output,
        })
    }

    fn forget(&mut self) {
        self.kept = None;
    }
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
