//! `distil`: RefVSR's last layers, fitted to BasicVSR's.
//!
//! Both networks have the same trunks. What follows them comes in another order ([`head`](crate::fetch)), so that weights can be carried over approximately only. Here the rest is learnt,
//! from ordinary frames and without a reference: first the features that BasicVSR has at twice the input's size, then the pictures themselves. The trunks run once
//! a clip patch, without gradients, and many steps draw from what they gave.

use crate::{
    adam::Adam,
    basicvsr::{BasicVsr, conv, lrelu, part},
    batch::{ClipPatch, Source},
    config::Config,
    data::{PatchOptions, Patches, Split, patches::Stage, random::Random},
    fetch::save,
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
use std::{collections::VecDeque, path::PathBuf};
use tch::{Kind, Tensor};

/// Layers that are fitted to features.
const MIDDLE: [&str; 5] = ["upsample1.", "feat_fusion2_1.", "fusion_UP.", "feat_fusion_BWFW.", "feat_decoder_BWFW."];
/// Layers behind, which are fitted to pictures with them.
const LAST: [&str; 3] = ["upsample2.", "conv_hr.", "conv_last."];

/// Side of the clip patches.
const PATCH: usize = 40;
/// Frames of a clip patch, and how many at either end have too few neighbours to learn from.
const FRAMES: usize = 9;
const MARGIN: usize = 2;
/// Clip patches to draw from at a time, and the steps after which the oldest gives way to a new one.
const POOL: usize = 16;
const RENEW: u64 = 25;
/// Clip patches of valid/ to judge by.
const HELD_OUT: usize = 2;
/// As in the config: batches of one, weights that are good already, rare large gradients.
const WARMUP: u64 = 100;
const CLIP_NORM: f64 = 1.0;

/// Fits the layers behind the trunks to BasicVSR's, where fetch-weights could only bring them near: first to its features, then to pictures.
///
/// A start for `pretrain default`, to be named after warm-start.safetensors in start.weights. The reference camera is not looked at.
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
        write!(f, "features {:.2} % off, {:.3} dB (BasicVSR {:.3} dB)", 100.0 * self.features, self.psnr, self.psnr_basicvsr)
    }
}

/// What the layers see of a frame, and what they are to make of it.
struct Sample {
    lr: Tensor,
    hr: Tensor,
    backward: Tensor,
    forward: Tensor,
}

/// Fits; the layers before, after the features and in the end, as `each` gets to know. Writes the output file.
///
/// # Errors
/// Where files are missing or do not fit.
pub fn distil(options: &DistilOptions, progress: &ProgressBar, mut each: impl FnMut(&str, Fit)) -> Result<()> {
    let device = options.device.parse::<DeviceChoice>()?.resolve()?;
    let mut config = Config::load("default", &[])?;
    config.start.weights.clone_from(&options.weights);
    let network = initial_network(&config, device)?;
    let first = options.weights.first().context("--weights: at least one file")?;
    let teacher = BasicVsr::new(&read_tensors(first)?, device).with_context(|| first.display().to_string())?;
    let names = |prefixes: &[&str]| {
        let of = |name: &String| prefixes.iter().any(|p| name.starts_with(p));
        network.weights().variables().into_iter().filter(|(name, _)| of(name)).collect::<Tensors>()
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
            augment: split == Split::Train,
            seed: options.seed,
            workers: 1,
            ahead: 2,
            stride: 1,
        })
    };
    let held_out = open(Split::Valid)?.start(0)?.take(HELD_OUT).map(|p| samples(&teacher, &p?)).collect::<Result<Vec<_>>>()?;
    let held_out: Vec<Sample> = held_out.into_iter().flatten().collect();
    let mut patches = open(Split::Train)?.start(0)?;
    let mut next = || -> Result<Vec<Sample>> { samples(&teacher, &patches.next().context("the training data have come to an end")??) };

    progress.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} steps, {eta} left")?);
    progress.set_length(options.feature_steps + options.picture_steps);
    let mut random = Random::new(options.seed, 1, 0);
    let mut pool: VecDeque<Vec<Sample>> = VecDeque::new();
    each("before", judge(&all, &teacher, &held_out)?);
    let phases =
        [("features", &middle, options.feature_steps, options.rate), ("pictures", &all, options.picture_steps, 0.3 * options.rate)];
    for (what, trained, steps, rate) in phases.into_iter().filter(|(_, _, steps, _)| *steps > 0) {
        let mut adam = Adam::new(trained.iter().map(|(name, t)| (name.clone(), t.set_requires_grad(true))))?;
        for step in 0..steps {
            if pool.len() < POOL || step % RENEW == 0 {
                pool.truncate(POOL - 1);
                pool.push_front(next()?);
            }
            let samples = &pool[random.below(pool.len() as u64) as usize];
            let sample = &samples[random.below(samples.len() as u64) as usize];
            let features = joined(&all, sample)?;
            let loss = if what == "features" {
                // A hundredth is about their variance.
                let wanted = tch::no_grad(|| teacher.fused(&sample.backward, &sample.forward))?;
                features.f_sub(&wanted)?.f_square()?.f_mean(None)?.f_mul_scalar(100.0)?
            } else {
                // The square, which PSNR goes by, did worse.
                picture(&all, &features, &sample.lr)?.f_sub(&sample.hr)?.f_abs()?.f_mean(None)?
            };
            adam.zero_grad();
            loss.f_backward()?;
            let norm = adam.gradient_norm()?.f_double_value(&[])?;
            ensure!(norm.is_finite(), "{what}, step {step}: gradients are not finite; a lower --rate may help");
            if norm > CLIP_NORM {
                adam.scale_gradients(CLIP_NORM / norm)?;
            }
            adam.step(cosine(step, steps, rate, rate / 100.0) * warming(step, WARMUP))?;
            if step % 20 == 0 {
                progress.set_message(format!("{what}, loss {:.4}", loss.f_double_value(&[])?));
            }
            progress.inc(1);
        }
        each(what, judge(&all, &teacher, &held_out)?);
    }
    let notes = [("made by", "refvsr-train distil".to_owned()), ("from", first.display().to_string())];
    save(&options.output, &all.into_iter().map(|(name, t)| (name, t.detach())).collect(), &notes)
}

/// The frames of a clip patch with BasicVSR's features, but for those near its ends.
fn samples(teacher: &BasicVsr, patch: &ClipPatch) -> Result<Vec<Sample>> {
    let frame = |t: &Tensor, i: usize| t.f_narrow(0, i as i64, 1)?.f_to_device(teacher.device());
    let lr = (0..FRAMES).map(|i| frame(&patch.lr, i)).collect::<Result<Vec<_>, _>>()?;
    let (backward, forward) = tch::no_grad(|| teacher.features(&lr))?;
    let sample = |i: usize| {
        let [lr, backward, forward] = [&lr[i], &backward[i], &forward[i]].map(Tensor::shallow_clone);
        Ok(Sample { lr, hr: frame(&patch.hr, i)?, backward, forward })
    };
    (MARGIN..FRAMES - MARGIN).map(sample).collect()
}

fn judge(weights: &Tensors, teacher: &BasicVsr, samples: &[Sample]) -> Result<Fit> {
    tch::no_grad(|| {
        let (mut error, mut variance, mut psnr, mut theirs) = (0.0, 0.0, 0.0, 0.0);
        for sample in samples {
            let wanted = teacher.fused(&sample.backward, &sample.forward)?;
            let ours = joined(weights, sample)?;
            error += ours.f_sub(&wanted)?.f_square()?.f_mean(Kind::Double)?.f_double_value(&[])?;
            variance += wanted.f_var(true)?.f_double_value(&[])?;
            psnr += metrics::psnr(&picture(weights, &ours, &sample.lr)?.f_clamp(0.0, 1.0)?, &sample.hr)?;
            theirs += metrics::psnr(&teacher.picture(&wanted, &sample.lr)?, &sample.hr)?;
        }
        let n = samples.len() as f64;
        Ok(Fit { features: error / variance, psnr: psnr / n, psnr_basicvsr: theirs / n })
    })
}

/// What RefVSR has before its second enlargement, `[1, C, 2 h, 2 w]`, of both branches' features at the input's size: as
/// [`Network`](refvsr::Network) computes it from features alone, with no reference and no level-2 feature of the frame before, and with the fusion of both branches wide open.
fn joined(weights: &Tensors, sample: &Sample) -> Result<Tensor> {
    let level2 = |feature: &Tensor| -> Result<Tensor> {
        let up = channels_last(&conv(weights, "upsample1.upsample_conv", feature)?.f_pixel_shuffle(2)?)?;
        let (name, c) = ("feat_fusion2_1.0.0", up.size()[1]);
        // The first half looks at the level-2 feature of the frame before.
        let half = part(weights, name, "weight")?.f_narrow(1, c, c)?;
        lrelu(&up.f_conv2d(&half, Some(part(weights, name, "bias")?), [1, 1], [1, 1], [1, 1], 1)?, 0.2)
    };
    let both = Tensor::f_cat(&[level2(&sample.backward)?, level2(&sample.forward)?], 1)?;
    let hidden = lrelu(&conv(weights, "feat_fusion_BWFW.0.0", &both)?, 0.2)?;
    let x = conv(weights, "fusion_UP", &both)?.f_add(&lrelu(&conv(weights, "feat_fusion_BWFW.1.0", &hidden)?, 0.2)?)?;
    let mut y = x.shallow_clone();
    for n in 0..4 {
        let block = format!("feat_decoder_BWFW.RBs.{n}");
        let hidden = lrelu(&conv(weights, &format!("{block}.conv1"), &y)?, 0.2)?;
        y = y.f_add(&conv(weights, &format!("{block}.conv2"), &hidden)?)?;
    }
    Ok(x.f_add(&conv(weights, "feat_decoder_BWFW.conv_tail", &y)?)?)
}

/// The picture at 4 times the input's size, from the features at twice; not limited to \[0, 1\].
fn picture(weights: &Tensors, features: &Tensor, lr: &Tensor) -> Result<Tensor> {
    let x = lrelu(&channels_last(&conv(weights, "upsample2.upsample_conv", features)?.f_pixel_shuffle(2)?)?, 0.1)?;
    let x = conv(weights, "conv_last", &lrelu(&conv(weights, "conv_hr", &x)?, 0.1)?)?;
    let size = lr.size();
    Ok(x.f_add(&lr.f_upsample_bicubic2d([4 * size[2], 4 * size[3]], false, None, None)?.f_clamp(0.0, 1.0)?)?)
}

/// The same values, with the channels of a pixel beside one another in memory: convolutions are faster on that.
fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use refvsr::{
        ModelConfig, Network,
        config::Recurrence,
        net::{Frame, Run},
    };
    use tch::Device;

    /// The layers as steps see them are the network's: on a window of one frame, where no state comes in and the reference adds nothing.
    #[test]
    fn layers_compute_what_the_network_does() {
        tch::manual_seed(5);
        let preset = ModelConfig::preset("refvsr-mfid").unwrap();
        let config = ModelConfig { mid_channels: 64, num_blocks: 1, frame_num: 1, recurrence: Recurrence::Clean, ..preset };
        let network = Network::new(config, Device::Cpu).unwrap();
        for (name, mut variable) in network.weights().variables() {
            let open = name == "conf_fusion_BWFW.1.0.bias";
            let nothing =
                ["conf_fusion.1.", "feat_fusion2.1.", "feat_decoder.conv_tail.", "feat_decoder2.conv_tail.", "conf_fusion_BWFW.1."];
            tch::no_grad(|| {
                let _ = variable.g_mul_scalar_(if nothing.iter().any(|n| name.starts_with(n)) { 0.0 } else { 2.0 });
                let _ = variable.g_add_scalar_(if open { 1.0 } else { 0.0 });
            });
        }
        let mut weights: Tensors = network.weights().variables().into_iter().collect();
        for (name, shape) in [("fusion", [64i64, 128, 1, 1]), ("upconv1", [256, 64, 3, 3])] {
            weights.insert(format!("basicvsr.{name}.weight"), Tensor::zeros(shape, (Kind::Float, Device::Cpu)));
            weights.insert(format!("basicvsr.{name}.bias"), Tensor::zeros([shape[0]], (Kind::Float, Device::Cpu)));
        }
        let lr = Tensor::rand([1, 3, 24, 32], (Kind::Float, Device::Cpu));
        tch::no_grad(|| {
            let (out, _) = network.forward(&[Frame { lr: &lr, references: &[&lr] }], None, Run::Streaming).unwrap();
            let (backward, forward) = BasicVsr::new(&weights, Device::Cpu).unwrap().features(&[lr.shallow_clone()]).unwrap();
            let sample = Sample {
                lr: lr.shallow_clone(),
                hr: lr.shallow_clone(),
                backward: backward[0].shallow_clone(),
                forward: forward[0].shallow_clone(),
            };
            let ours = picture(&weights, &joined(&weights, &sample).unwrap(), &lr).unwrap();
            let added = (&out - lr.upsample_bicubic2d([96, 128], false, None, None)).abs().max().double_value(&[]);
            assert!(added > 0.01, "the layers add something: {added}");
            assert!((&out - &ours).abs().max().double_value(&[]) < 1e-5);
        });
    }
}
