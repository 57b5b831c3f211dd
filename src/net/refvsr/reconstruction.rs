//! Reconstruction: both branches joined into the output frame (paper, section 3.3).

use crate::{
    ModelConfig, Result,
    layout::size,
    net::{
        layers::{
            blocks::{Head, PixelShuffleUp, ResList},
            conv::{Conv, Then},
            ops::{added, bicubic, bicubic_twice01, clamp01, gated},
            strips::{Largest, Strip, in_strips},
            variables::Path,
        },
        state::Level2,
    },
    profile::{self, Stage},
};
use tch::Tensor;

/// The last stage (`compute_up` upstream).
#[derive(Debug)]
#[allow(non_snake_case)]
pub struct Reconstruction {
    scale: i64,
    channels: i64,
    fusion_UP: Conv,
    conf_fusion_BWFW: Head,
    feat_fusion_BWFW: Head,
    feat_decoder_BWFW: ResList,
    upsample2: Option<PixelShuffleUp>,
    conv_hr: Conv,
    conv_last: Conv,
}

impl Reconstruction {
    /// `vs` is the network's root.
    pub fn new(vs: &Path<'_>, config: &ModelConfig) -> Result<Self> {
        let c = config.mid_channels;
        Ok(Self {
            scale: config.scale,
            channels: c,
            fusion_UP: Conv::new(vs / "fusion_UP", 2 * c, c, 1)?,
            conf_fusion_BWFW: Head::new(vs / "conf_fusion_BWFW", &[2, 16, c], 1)?,
            feat_fusion_BWFW: Head::new(vs / "feat_fusion_BWFW", &[2 * c, c, c], 1)?,
            feat_decoder_BWFW: ResList::new(vs / "feat_decoder_BWFW", 4, c)?,
            upsample2: if config.scale == 4 {
                Some(PixelShuffleUp::new(vs / "upsample2", c)?)
            } else {
                None
            },
            conv_hr: Conv::new(vs / "conv_hr", c, c, 3)?,
            conv_last: Conv::new(vs / "conv_last", c, 3, 3)?,
        })
    }

    /// See [`Network::skip_idle`](crate::Network::skip_idle).
    pub fn skip_idle(&mut self) {
        self.feat_decoder_BWFW.skip_idle();
    }

    /// The output frame `[1, 3, s h, s w]`, fp32, of `lr` `[1, 3, h, w]`, not limited to \[0, 1\]. Large
    /// ones are computed in strips, and at four times the frame's size in parts of strips.
    pub fn forward(&self, lr: &Tensor, backward: &Level2, forward: &Level2) -> Result<Tensor> {
        let _stage = profile::stage(Stage::Reconstruction);
        let (h, width) = size(lr);
        let largest = Largest {
            channels: self.channels,
            factor: self.scale,
            width,
        };
        in_strips((h, width), (self.channels, 2), self.scale, |strip| {
            let joined = self.joined(strip, [backward, forward])?;
            let lr = strip.of(lr, 1)?;
            strip.in_parts(largest, self.scale, |part| {
                let picture = self.picture(part.of(&joined, 2)?, &part.of(&lr, 1)?)?;
                part.kept(&picture, self.scale)
            })
        })
    }

    /// Both branches joined in a strip, halos with it, at twice the frame's size.
    fn joined(&self, strip: Strip, [backward, forward]: [&Level2; 2]) -> Result<Tensor> {
        let both = [
            &backward.feature.strip(strip)?,
            &forward.feature.strip(strip)?,
        ];
        let confidence = |branch: &Level2| bicubic_twice01(&strip.of(&branch.confidence, 1)?);
        let confidences = [&confidence(backward)?, &confidence(forward)?];
        let fused = self.feat_fusion_BWFW.forward(&both)?;
        let weight = self.conf_fusion_BWFW.forward(&confidences)?;
        let joined = gated(&self.fusion_UP.then(&both, Then::NOTHING)?, weight, &fused)?;
        drop(fused);
        self.feat_decoder_BWFW.forward(&joined)
    }

    /// The output frame from both branches joined, of whole frames or of rows of them.
    fn picture(&self, joined: Tensor, lr: &Tensor) -> Result<Tensor> {
        let mut out = joined;
        if let Some(upsample2) = &self.upsample2 {
            out = upsample2.forward(&out, 0.1)?;
        }
        out = self.conv_hr.then(&[&out], Then::lrelu(0.1))?;
        let (h, w) = size(lr);
        let base = clamp01(&bicubic(lr, self.scale * h, self.scale * w)?)?;
        let detail = self.conv_last.forward(&out)?;
        added(detail.f_to_kind(base.kind())?, &base)
    }
}
