//! What a run tells while it goes: bar, log, TensorBoard.

use super::{tensorboard::EventFile, validate::Scores};
use crate::{
    config::Config,
    lessons::Strip,
    optimise::{StepReport, Trainer},
};
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::{
    fs::{File, OpenOptions},
    io::{Write, stderr},
    path::Path,
    time::{Duration, Instant},
};
use tch::{Device, Kind, Tensor};

/// One JSON object a line: steps, validations, beginnings.
pub const LOG: &str = "log.jsonl";

/// All that a run tells: bar, log, TensorBoard.
pub struct Journal {
    bar: ProgressBar,
    /// Of the first process only; the others tell nothing.
    files: Option<(File, EventFile)>,
    picture_every: u64,
    pictured_at: u64,
    step_started: Instant,
    failed: Option<anyhow::Error>,
}

impl Journal {
    pub fn open(
        folder: &Path,
        config: &Config,
        trainer: &Trainer,
        show: bool,
        first: bool,
    ) -> Result<Self> {
        let path = folder.join(LOG);
        let open = || -> Result<_> {
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .with_context(|| path.display().to_string())?;
            Ok((log, EventFile::create(folder)?))
        };
        let bar = if show && first {
            ProgressBar::new(config.optimiser.steps)
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(ProgressStyle::with_template(
            "{wide_bar} {pos}/{len} steps, {eta} left  {msg}",
        )?);
        bar.set_position(trainer.steps());
        bar.reset_eta();
        Ok(Self {
            bar,
            files: first.then(open).transpose()?,
            picture_every: config.output.picture_every,
            pictured_at: trainer.steps(),
            step_started: Instant::now(),
            failed: None,
        })
    }

    pub fn log(&mut self, entry: &serde_json::Value) -> Result<()> {
        match &mut self.files {
            Some((log, _)) => writeln!(log, "{entry}").context("writing the log"),
            None => Ok(()),
        }
    }

    fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        match &mut self.files {
            Some((_, events)) => events.scalars(step, values),
            None => Ok(()),
        }
    }

    pub fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            let _ = writeln!(stderr(), "{text}");
        } else {
            self.bar.println(text);
        }
    }

    pub fn step(&mut self, step: &StepReport, frames: u64) {
        let seconds = self.step_started.elapsed().as_secs_f64();
        self.step_started = Instant::now();
        let pace = frames as f64 / seconds.max(1e-9);
        let StepReport {
            step: number,
            total,
            psnr,
            gradient_norm,
            rate,
            loss_scale,
            skipped,
            ref parts,
        } = *step;
        if skipped {
            self.say(&format!(
                "step {number}: loss {total}, gradient {gradient_norm}: not finite, skipped"
            ));
        }
        let losses: serde_json::Map<_, _> = parts
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let entry = json!({
            "event": "step", "step": number, "loss": total, "losses": losses, "psnr": psnr, "gradient_norm": gradient_norm, "rate": rate,
            "loss_scale": loss_scale, "skipped": skipped, "frames_per_second": pace,
        });
        let mut write = || -> Result<()> {
            self.log(&entry)?;
            let parts: Vec<(String, f64)> = parts
                .iter()
                .map(|(name, value)| (format!("loss/{name}"), *value))
                .collect();
            let figures = [
                ("loss/total", total),
                ("train/psnr", psnr),
                ("train/gradient_norm", gradient_norm),
                ("train/rate", rate),
                ("train/fps", pace),
            ];
            let scale = loss_scale.map(|scale| ("train/loss_scale", scale));
            self.scalars(
                number,
                parts
                    .iter()
                    .map(|(name, value)| (name.as_str(), *value))
                    .chain(figures)
                    .chain(scale),
            )
        };
        if let Err(e) = write() {
            self.failed.get_or_insert(e);
        }
        self.bar.set_position(number + 1);
        self.bar
            .set_message(format!("loss {total:.4}, {psnr:.2} dB, {pace:.2} frames/s"));
    }

    /// What went wrong in [`step`](Self::step).
    pub fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The time until the next step counts from here; `waited` for data is said where it is long.
    pub fn pace(&mut self, waited: Duration) {
        if waited > Duration::from_secs(10) {
            self.say(&format!(
                "waited {:.0} s for training data; more data.workers may help",
                waited.as_secs_f64()
            ));
        }
        self.step_started = Instant::now();
    }

    pub fn picture_due(&mut self, step: u64) -> bool {
        let due = self.files.is_some()
            && step / self.picture_every > self.pictured_at / self.picture_every;
        if due {
            self.pictured_at = step;
        }
        due
    }

    /// Pictures side by side at the height of the highest.
    pub fn picture(&mut self, step: u64, strip: &Strip) -> Result<()> {
        let Some((_, events)) = &mut self.files else {
            return Ok(());
        };
        let of = |x: &Tensor, dim: usize| x.size().get(dim).copied().unwrap_or_default();
        let height = strip.pictures.iter().map(|x| of(x, 2)).max().unwrap_or(0);
        let pictures = strip.pictures.iter().map(|x| -> Result<Tensor> {
            let width = height * of(x, 3) / of(x, 2).max(1);
            Ok(x.f_to_device(Device::Cpu)?
                .f_upsample_nearest2d([height, width], None, None)?)
        });
        let pictures = Tensor::f_cat(&pictures.collect::<Result<Vec<_>>>()?, 3)?
            .f_clamp(0.0, 1.0)?
            .f_mul_scalar(255.0)?
            .f_round()?
            .f_to_kind(Kind::Uint8)?;
        let size = (
            u32::try_from(of(&pictures, 3))?,
            u32::try_from(of(&pictures, 2))?,
        );
        let pixels: Vec<u8> = Vec::try_from(
            pictures
                .f_squeeze_dim(0)?
                .f_permute([1, 2, 0])?
                .f_contiguous()?
                .f_view([-1])?,
        )?;
        let picture =
            image::RgbImage::from_raw(size.0, size.1, pixels).context("a strip of another size")?;
        let mut png = std::io::Cursor::new(vec![]);
        picture.write_to(&mut png, image::ImageFormat::Png)?;
        events.picture(step, strip.caption, size, png.get_ref())
    }

    pub fn scores(&mut self, step: u64, scores: &Scores) -> Result<()> {
        self.log(&json!({ "event": "validation", "step": step, "scores": scores }))?;
        let gain = scores.psnr - scores.psnr_without_reference;
        self.scalars(
            step,
            [
                ("validation/psnr", scores.psnr),
                ("validation/ssim", scores.ssim),
                (
                    "validation/psnr_without_reference",
                    scores.psnr_without_reference,
                ),
                ("validation/gain_of_reference", gain),
                (
                    "validation/gain_over_bicubic",
                    scores.psnr - scores.psnr_bicubic,
                ),
            ],
        )?;
        self.say(&format!(
            "step {step}: {:.3} dB, SSIM {:.4}; bicubic {:.3} dB; the reference gives {gain:+.3} dB",
            scores.psnr, scores.ssim, scores.psnr_bicubic
        ));
        self.step_started = Instant::now();
        Ok(())
    }

    pub fn finish(&self) {
        self.bar.finish();
    }
}
