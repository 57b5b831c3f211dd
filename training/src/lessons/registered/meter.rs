//! The meter that tells recorded footage from clean one: it learns from films that sensors and encoders
//! spoilt, and that are known as they were before.

use crate::{
    data::batch::ClipPatch,
    lessons::{Exercise, Lesson, StepLosses, Strip, windows::psnr},
    losses::Loss,
};
use anyhow::{Context, Result, ensure};
use refvsr::{Network, image::enlarge::bicubic, net::footage::Meter};
use tch::{Kind, Tensor};

/// See the module.
#[derive(Debug)]
pub struct Metering {
    network: Network,
}

/// What the names of a meter's weights begin with.
const METER: &str = "footage.";
/// Codes of 8 bits.
const WHITE: f64 = 255.0;
/// Frames that lost more than this, as a mean square in codes, are recorded ones.
const LOST: f64 = 1.0;

impl Metering {
    /// Of a network that has a meter.
    ///
    /// # Errors
    /// For others.
    pub fn new(network: Network) -> Result<Self> {
        ensure!(
            network.meter().is_some(),
            "a network without a meter; model.recorded = true expected"
        );
        Ok(Self { network })
    }

    fn exercise<'a>(&'a self, patch: &ClipPatch) -> Result<Patch<'a>> {
        let device = self.network.device();
        let clean = patch.clean.as_ref().with_context(|| {
            format!("clip patch {}: nothing is known of it before it was recorded; films.recorded > 0 expected", patch.name)
        })?;
        Ok(Patch {
            meter: self.network.meter().context("a network without a meter")?,
            frames: patch.lr.f_to_device(device)?,
            clean: clean.f_to_device(device)?,
            scale: self.network.config().scale,
        })
    }
}

impl Lesson for Metering {
    fn network(&self) -> &Network {
        &self.network
    }

    fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    fn trains(&self, name: &str) -> bool {
        name.starts_with(METER)
    }

    fn prepare<'a>(
        &'a self,
        batch: &[ClipPatch],
        _steps: u64,
    ) -> Result<Vec<Box<dyn Exercise + 'a>>> {
        let ready = |patch| Ok(Box::new(self.exercise(patch)?) as Box<dyn Exercise + 'a>);
        batch.iter().map(ready).collect()
    }

    fn strip(&self, patch: &ClipPatch, output: &Tensor) -> Result<Strip> {
        Ok(Strip {
            pictures: vec![
                output.shallow_clone(),
                patch.hr.f_slice(0, -1, None::<i64>, 1)?,
            ],
            caption: "the last frame that was looked at, the truth of the part's last one",
        })
    }
}

/// Frames of a film, `[n, 3, p, p]`, as they are and as they were.
struct Patch<'a> {
    meter: &'a Meter,
    frames: Tensor,
    clean: Tensor,
    scale: i64,
}

impl Exercise for Patch<'_> {
    fn steps(&self) -> usize {
        1
    }

    /// How wrong it is about each frame: the cross entropy.
    fn losses(&mut self, _k: usize) -> Result<StepLosses> {
        let lost = self.frames.f_sub(&self.clean)?.f_mul_scalar(WHITE)?;
        let lost = lost.f_square()?;
        let lost = lost.f_mean_dim([1i64, 2, 3].as_slice(), false, Kind::Float)?;
        let wanted = lost.f_gt(LOST)?.f_to_kind(Kind::Float)?;
        let count = self.frames.size()[0];
        let found = (0..count)
            .map(|i| Ok(self.meter.odds(&self.frames.f_narrow(0, i, 1)?)?))
            .collect::<Result<Vec<_>>>()?;
        let found = Tensor::f_stack(&found, 0)?;
        let wrong = found.f_binary_cross_entropy_with_logits::<Tensor>(
            &wanted,
            None,
            None,
            tch::Reduction::Mean,
        )?;
        let loss = Loss::plain(wrong);
        let last = |x: &Tensor| x.f_narrow(0, count - 1, 1);
        let output = bicubic(&last(&self.frames)?, self.scale)?;
        Ok(StepLosses {
            parts: vec![("meter".into(), loss.value.shallow_clone())],
            total: loss,
            psnr: psnr(&last(&self.frames)?, &last(&self.clean)?, None)?.f_clamp_max(100.0)?,
            output,
        })
    }

    fn forget(&mut self) {}
}
