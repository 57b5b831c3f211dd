//! The layers that are fitted, as functions of their weights: the same that [`Network`](refvsr::Network) has, where there is no reference.

use super::clip::{Clip, Features};
use crate::basicvsr::{conv, lrelu};
use anyhow::{Context, Result};
use refvsr::{checkpoint::Tensors, config::Recurrence, net::flow::warp};
use tch::{Tensor, no_grad};

/// How many frames gradients pass through a level-2 feature to that of the frame before. Values go through all frames.
const LINKS: usize = 1;

/// What RefVSR has before its second enlargement, `[1, C, 2 h, 2 w]`, of frame `i`, from the trunks' features: with no reference, and with the fusion of both branches wide open.
pub fn joined(weights: &Tensors, clip: &Clip, i: usize) -> Result<Tensor> {
    let [backward, forward] = clip
        .branches(i)
        .map(|(branch, place)| level2(weights, branch, place));
    let both = Tensor::f_cat(&[backward?, forward?], 1)?;
    let hidden = lrelu(&conv(weights, "feat_fusion_BWFW.0.0", &both)?, 0.2)?;
    let x = conv(weights, "fusion_UP", &both)?.f_add(&lrelu(
        &conv(weights, "feat_fusion_BWFW.1.0", &hidden)?,
        0.2,
    )?)?;
    let mut y = x.shallow_clone();
    for n in 0..4 {
        let block = format!("feat_decoder_BWFW.RBs.{n}");
        let hidden = lrelu(&conv(weights, &format!("{block}.conv1"), &y)?, 0.2)?;
        y = y.f_add(&conv(weights, &format!("{block}.conv2"), &hidden)?)?;
    }
    Ok(x.f_add(&conv(weights, "feat_decoder_BWFW.conv_tail", &y)?)?)
}

/// A branch's level-2 feature of the frame in that `place`, `[1, C, 2 h, 2 w]`: of its level-1 feature, and of the level-2 feature of the frame seen before, moved along.
fn level2(weights: &Tensors, branch: &Features, place: usize) -> Result<Tensor> {
    let step = |before: Option<&Tensor>, k: usize| -> Result<Tensor> {
        let up = channels_last(
            &conv(weights, "upsample1.upsample_conv", &branch.level1[k])?.f_pixel_shuffle(2)?,
        )?;
        let before = match before {
            Some(before) => warp(before, &branch.grids2[k - 1], Recurrence::Clean)?,
            None => up.f_zeros_like()?,
        };
        lrelu(
            &conv(
                weights,
                "feat_fusion2_1.0.0",
                &Tensor::f_cat(&[&before, &up], 1)?,
            )?,
            0.2,
        )
    };
    let mut feature = None;
    for k in 0..=place {
        let next = || step(feature.as_ref(), k);
        feature = Some(if k + LINKS < place {
            no_grad(next)
        } else {
            next()
        }?);
    }
    feature.context("a branch without frames")
}

/// The picture at 4 times the input's size, from the features at twice; not limited to \[0, 1\].
pub fn picture(weights: &Tensors, features: &Tensor, lr: &Tensor) -> Result<Tensor> {
    let x = lrelu(
        &channels_last(&conv(weights, "upsample2.upsample_conv", features)?.f_pixel_shuffle(2)?)?,
        0.1,
    )?;
    let x = conv(
        weights,
        "conv_last",
        &lrelu(&conv(weights, "conv_hr", &x)?, 0.1)?,
    )?;
    let size = lr.size();
    Ok(x.f_add(
        &lr.f_upsample_bicubic2d([4 * size[2], 4 * size[3]], false, None, None)?
            .f_clamp(0.0, 1.0)?,
    )?)
}

/// The same values, with the channels of a pixel beside one another in memory: convolutions are faster on that.
fn channels_last(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_permute([0, 2, 3, 1])?
        .f_contiguous()?
        .f_permute([0, 3, 1, 2])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{basicvsr::BasicVsr, batch::ClipPatch};
    use refvsr::{
        ModelConfig, Network,
        net::{Frame, Run},
    };
    use tch::{Device, Kind};

    /// The layers as steps see them are the network's, where the reference adds nothing: on a window whose centre has a frame before it and one behind.
    #[test]
    fn layers_compute_what_the_network_does() {
        tch::manual_seed(5);
        let preset = ModelConfig::preset("refvsr-mfid").unwrap();
        let config = ModelConfig {
            mid_channels: 64,
            num_blocks: 1,
            frame_num: 3,
            recurrence: Recurrence::Clean,
            ..preset
        };
        let network = Network::new(config, Device::Cpu).unwrap();
        for (name, mut variable) in network.weights().variables() {
            let open = name == "conf_fusion_BWFW.1.0.bias";
            let nothing = [
                "conf_fusion.1.",
                "feat_fusion2.1.",
                "feat_decoder.conv_tail.",
                "feat_decoder2.conv_tail.",
                "conf_fusion_BWFW.1.",
            ];
            no_grad(|| {
                let _ = variable.g_mul_scalar_(if nothing.iter().any(|n| name.starts_with(n)) {
                    0.0
                } else {
                    2.0
                });
                let _ = variable.g_add_scalar_(if open { 1.0 } else { 0.0 });
            });
        }
        let weights = crate::distil::teacher_weights(&network);
        let lr = Tensor::rand([3, 3, 24, 32], (Kind::Float, Device::Cpu));
        let patch = ClipPatch {
            name: String::new(),
            lr: lr.shallow_clone(),
            wide: lr.shallow_clone(),
            hr: lr.shallow_clone(),
            loss_references: lr.shallow_clone(),
        };
        no_grad(|| {
            let clip = Clip::new(&BasicVsr::new(&weights, Device::Cpu).unwrap(), &patch).unwrap();
            let references: Vec<[&Tensor; 1]> = clip.lr.iter().map(|lr| [lr]).collect();
            let window: Vec<Frame<'_>> = references
                .iter()
                .map(|lr| Frame {
                    lr: lr[0],
                    references: lr,
                })
                .collect();
            let (out, _) = network.forward(&window, None, Run::Streaming).unwrap();
            let lr = &clip.lr[1];
            let ours = picture(&weights, &joined(&weights, &clip, 1).unwrap(), lr).unwrap();
            let alone = Clip::new(
                &BasicVsr::new(&weights, Device::Cpu).unwrap(),
                &ClipPatch {
                    lr: lr.shallow_clone(),
                    ..patch
                },
            )
            .unwrap();
            assert!(
                (joined(&weights, &clip, 1).unwrap() - joined(&weights, &alone, 0).unwrap())
                    .abs()
                    .max()
                    .double_value(&[])
                    > 0.01
            );
            let added = (&out - lr.upsample_bicubic2d([96, 128], false, None, None))
                .abs()
                .max()
                .double_value(&[]);
            assert!(added > 0.01, "the layers add something: {added}");
            assert!((&out - &ours).abs().max().double_value(&[]) < 1e-5);
        });
    }
}
