//! `distil`: RefVSR's last layers, fitted to BasicVSR's.
//!
//! Both networks have the same trunks. What follows them comes in another order ([`head`](crate::fetch)), so that weights can be carried over approximately only. Here the rest is learnt,
//! from ordinary frames and without a reference: first the features that BasicVSR has at twice the input's size, then the pictures themselves. The trunks run once
//! a clip patch, without gradients, and many steps draw from what they gave.

mod clip;
mod layers;
mod pool;
mod state;

use self::{
    clip::Clip,
    layers::{joined, picture},
    pool::Pool,
    state::{Progress, set},
};
use crate::{
    adam::Adam,
    basicvsr::BasicVsr,
    batch::Source,
    config::Config,
    data::{PatchOptions, Patches, Split, patches::Stage, random::Random},
    ema::Ema,
    saved::write_tensors,
    schedule::{cosine, warming},
    train::initial_network,
};
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use refvsr::{
    checkpoint::{Tensors, read_tensors},
    device::DeviceChoice,
    metrics,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{Write, stderr},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};
use tch::{Kind, Reduction, Tensor};

/// Layers that are fitted to features.
const MIDDLE: [&str; 5] = [
    "upsample1.",
    "feat_fusion2_1.",
    "fusion_UP.",
    "feat_fusion_BWFW.",
    "feat_decoder_BWFW.",
];
/// Layers behind, which are fitted to pictures with them.
const LAST: [&str; 3] = ["upsample2.", "conv_hr.", "conv_last."];

/// Side of the clip patches.
const PATCH: usize = 40;
/// Frames of a clip patch. Those at its ends are learnt from as well: clips have ends.
const FRAMES: usize = 9;
/// Steps after which the oldest clip patch gives way to a new one.
const RENEW: u64 = 10;
/// Clip patches of valid/ to judge by.
const HELD_OUT: usize = 2;
/// Differences of pictures count by their squares, which PSNR goes by, up to this one, and by themselves from there on: rare large ones, squared, unsettle batches of one.
const SQUARE_BELOW: f64 = 0.02;
/// As in the config: batches of one, weights that are good already, rare large gradients.
const WARMUP: u64 = 100;
const CLIP_NORM: f64 = 1.0;
/// Share of the rate that a phase ends with: not nothing, as a mean of many weights is kept, which is the better the more they differ.
const LAST_RATE: f64 = 0.2;
/// Steps after which the state is saved: what a crash can cost at most.
const SAVE_EVERY: u64 = 100;

/// Fits the layers behind the trunks to BasicVSR's, where fetch-weights could only bring them near: first to its features, then to pictures.
///
/// A start for `pretrain default`, to be named after warm-start.safetensors in start.weights. The reference camera is not looked at.
///
/// Until it is done its state lies beside the output (FILE.state): stopped with Ctrl-C, or killed, the same command goes on from there to the same weights.
#[derive(Debug, Clone, clap::Args)]
pub struct DistilOptions {
    /// The folder with train/ and valid/ in it.
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,
    /// warm-start.safetensors of fetch-weights; more files, each after a --weights of its own, take the place of what is in those before: an earlier output, say.
    #[arg(long, value_name = "FILE", required = true)]
    pub weights: Vec<PathBuf>,
    /// The file to write: the fitted layers, by upstream's names.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Steps of fitting features.
    #[arg(long, default_value_t = 800)]
    pub feature_steps: u64,
    /// Steps of fitting pictures, after that.
    #[arg(long, default_value_t = 2500)]
    pub picture_steps: u64,
    /// Learning rate for features; for pictures three tenths of it.
    #[arg(long, default_value_t = 1e-3)]
    pub rate: f64,
    /// What the patches drawn are a function of.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// How good the layers are on patches of valid/, which they do not learn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Mean square error of the features, as a share of their variance.
    pub features: f64,
    /// PSNR of the pictures in dB.
    pub psnr: f64,
    /// BasicVSR's own.
    pub psnr_basicvsr: f64,
}

impl std::fmt::Display for Fit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "features {:.2} % off, {:.3} dB (BasicVSR {:.3} dB)",
            100.0 * self.features,
            self.psnr,
            self.psnr_basicvsr
        )
    }
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing is fitted yet.
    Before,
    /// Fitting BasicVSR's features.
    Features,
    /// Fitting pictures.
    Pictures,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::Features => "features",
            Self::Pictures => "pictures",
        })
    }
}

/// The families of random numbers that the draws from the pool come from, one a phase; the patches have others.
const DRAWS: u64 = 10;

/// Fits; the layers before, after the features and in the end, as `each` gets to know. Writes the output file; until then its state lies beside it, from which the
/// same call goes on to the same weights. False where `stop` became true: it has left with its state saved.
///
/// # Errors
/// Where files are missing or do not fit.
pub fn distil(
    options: &DistilOptions,
    stop: &AtomicBool,
    progress: &ProgressBar,
    mut each: impl FnMut(Phase, Fit),
) -> Result<bool> {
    if let Some(folder) = options.output.parent() {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let Given {
        teacher,
        middle,
        all,
        patches,
        held_out,
    } = Given::new(options)?;
    let mut state = options.output.clone().into_os_string();
    state.push(".state");
    let state = PathBuf::from(state);
    let mut at = Progress::new(options, patches.fingerprint())?;
    let mut saved = None;
    if state.exists() {
        let (tensors, there) = at.load(&state)?;
        set(&all, &tensors).with_context(|| state.display().to_string())?;
        (at, saved) = (there, Some(tensors));
    }
    let mut pool = Pool::after(at.patches, &patches, &teacher, options.seed)?;

    progress.set_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {pos}/{len} steps, {eta} left",
    )?);
    progress.set_length(options.feature_steps + options.picture_steps);
    if saved.is_none() {
        each(Phase::Before, judge(&all, &teacher, &held_out)?);
    }
    let phases = [
        (
            Phase::Features,
            &middle,
            options.feature_steps,
            options.rate,
        ),
        (
            Phase::Pictures,
            &all,
            options.picture_steps,
            0.3 * options.rate,
        ),
    ];
    for (phase, trained, steps, rate) in phases.into_iter().filter(|(_, _, steps, _)| *steps > 0) {
        if saved.is_some() && at.phase != phase {
            progress.inc(steps); // made before
            continue;
        }
        let mut adam = Adam::new(
            trained
                .iter()
                .map(|(name, t)| (name.clone(), t.set_requires_grad(true))),
        )?;
        let mut average = Ema::new(
            trained
                .iter()
                .map(|(name, t)| (name.clone(), t.shallow_clone())),
        )?;
        let made = match saved.take() {
            Some(tensors) => {
                adam.restore(&tensors, at.steps)
                    .and_then(|()| average.restore(&tensors))
                    .with_context(|| state.display().to_string())?;
                let notice = format!(
                    "going on after step {} of {phase}, from {}",
                    at.steps,
                    state.display()
                );
                progress.suspend(|| drop(writeln!(stderr(), "{notice}")));
                at.steps
            }
            None => 0,
        };
        progress.inc(made);
        for step in made..steps {
            if !pool.is_full() || step % RENEW == 0 {
                pool.renew()?;
            }
            let mut random = Random::new(options.seed, DRAWS + phase as u64, step);
            let clip = pool.draw(&mut random);
            let i = random.below(clip.len() as u64) as usize;
            let loss = loss(phase, &all, &teacher, clip, i)?;
            adam.zero_grad();
            loss.f_backward()?;
            let norm = adam.gradient_norm()?.f_double_value(&[])?;
            ensure!(
                norm.is_finite(),
                "{phase}, step {step}: gradients are not finite; a lower --rate may help"
            );
            if norm > CLIP_NORM {
                adam.scale_gradients(CLIP_NORM / norm)?;
            }
            adam.step(cosine(step, steps, rate, LAST_RATE * rate) * warming(step, WARMUP))?;
            // The mean of the weights of the second half.
            if let n @ 1.. = (step + 1).saturating_sub(steps / 2) {
                average.update(trained, 1.0 - 1.0 / n as f64)?;
            }
            if step % 20 == 0 {
                progress.set_message(format!("{phase}, loss {:.4}", loss.f_double_value(&[])?));
            }
            progress.inc(1);
            let stop = stop.load(Ordering::Relaxed);
            if stop || (step + 1) % SAVE_EVERY == 0 || step + 1 == steps {
                (at.phase, at.steps, at.patches) = (phase, step + 1, pool.taken());
                at.save(&state, &all, &adam, &average)?;
            }
            if stop {
                return Ok(false);
            }
        }
        set(trained, average.averages())?;
        each(phase, judge(&all, &teacher, &held_out)?);
    }
    let notes = [
        ("made by", "refvsr-train distil".to_owned()),
        ("from", options.weights[0].display().to_string()),
    ];
    write_tensors(&options.output, &all, &notes)?;
    if state.exists() {
        fs::remove_file(&state).with_context(|| state.display().to_string())?;
    }
    Ok(true)
}

/// What the work is done with.
struct Given {
    teacher: BasicVsr,
    /// The layers fitted to features; all that are fitted.
    middle: Tensors,
    all: Tensors,
    patches: Patches,
    held_out: Patches,
}

impl Given {
    fn new(options: &DistilOptions) -> Result<Self> {
        let device = options.device.parse::<DeviceChoice>()?.resolve()?;
        let mut config = Config::load("default", &[])?;
        config.start.weights.clone_from(&options.weights);
        let network = initial_network(&config, device)?;
        let first = options
            .weights
            .first()
            .context("--weights: at least one file")?;
        let teacher = BasicVsr::new(&read_tensors(first)?, device)
            .with_context(|| first.display().to_string())?;
        let names = |prefixes: &[&str]| {
            let of = |name: &String| prefixes.iter().any(|p| name.starts_with(p));
            network
                .weights()
                .variables()
                .into_iter()
                .filter(|(name, _)| of(name))
                .collect::<Tensors>()
        };
        let (middle, all) = (names(&MIDDLE), names(&[&MIDDLE[..], &LAST].concat()));
        for (_, variable) in network.weights().variables() {
            let _ = variable.set_requires_grad(false);
        }

        let open = |split| {
            Patches::open(PatchOptions {
                root: options.data.clone(),
                split,
                stage: Stage::Pretrain { scale: 4 },
                patch: PATCH,
                frames: FRAMES,
                repeats: 0,
                augment: split == Split::Train,
                seed: options.seed,
                workers: 1,
                ahead: 2,
                stride: 1,
            })
        };
        Ok(Self {
            teacher,
            middle,
            all,
            patches: open(Split::Train)?,
            held_out: open(Split::Valid)?,
        })
    }
}

/// How far frame `i` is from what the phase fits.
fn loss(
    phase: Phase,
    weights: &Tensors,
    teacher: &BasicVsr,
    clip: &Clip,
    i: usize,
) -> Result<Tensor> {
    let features = joined(weights, clip, i)?;
    if phase == Phase::Pictures {
        return Ok(picture(weights, &features, &clip.lr[i])?.f_smooth_l1_loss(
            &clip.hr[i],
            Reduction::Mean,
            SQUARE_BELOW,
        )?);
    }
    // A hundredth is about their variance.
    let [backward, forward] = clip.features(i);
    let wanted = tch::no_grad(|| teacher.fused(backward, forward))?;
    Ok(features
        .f_sub(&wanted)?
        .f_square()?
        .f_mean(None)?
        .f_mul_scalar(100.0)?)
}

fn judge(weights: &Tensors, teacher: &BasicVsr, held_out: &Patches) -> Result<Fit> {
    let clips = held_out
        .start(0)?
        .take(HELD_OUT)
        .map(|patch| Clip::new(teacher, &patch?))
        .collect::<Result<Vec<_>>>()?;
    tch::no_grad(|| {
        let (mut error, mut variance, mut psnr, mut theirs) = (0.0, 0.0, 0.0, 0.0);
        for (clip, i) in clips
            .iter()
            .flat_map(|clip| (0..clip.len()).map(move |i| (clip, i)))
        {
            let [backward, forward] = clip.features(i);
            let wanted = teacher.fused(backward, forward)?;
            let ours = joined(weights, clip, i)?;
            error += ours
                .f_sub(&wanted)?
                .f_square()?
                .f_mean(Kind::Double)?
                .f_double_value(&[])?;
            variance += wanted.f_var(true)?.f_double_value(&[])?;
            psnr += metrics::psnr(
                &picture(weights, &ours, &clip.lr[i])?.f_clamp(0.0, 1.0)?,
                &clip.hr[i],
            )?;
            theirs += metrics::psnr(&teacher.picture(&wanted, &clip.lr[i])?, &clip.hr[i])?;
        }
        let n = clips.iter().map(Clip::len).sum::<usize>() as f64;
        Ok(Fit {
            features: error / variance,
            psnr: psnr / n,
            psnr_basicvsr: theirs / n,
        })
    })
}

/// What BasicVSR is made of, for tests: a network's weights, and nothing in the layers that only BasicVSR has.
#[cfg(test)]
fn teacher_weights(network: &refvsr::Network) -> Tensors {
    let mut weights: Tensors = network.weights().variables().into_iter().collect();
    for (name, shape) in [("fusion", [64i64, 128, 1, 1]), ("upconv1", [256, 64, 3, 3])] {
        weights.insert(
            format!("basicvsr.{name}.weight"),
            Tensor::zeros(shape, (Kind::Float, tch::Device::Cpu)),
        );
        weights.insert(
            format!("basicvsr.{name}.bias"),
            Tensor::zeros([shape[0]], (Kind::Float, tch::Device::Cpu)),
        );
    }
    weights
}
