//! Propagation: one step of a recurrent branch, with the reference fused into it (paper, section 3.1, the RAP module).

use super::{
    alignment::{AlignedAttention, Places},
    matching::FeatureMatch,
};
use crate::{
    Error, ModelConfig, Result,
    layout::size,
    net::{
        layers::{
            blocks::{Head, PixelShuffleUp, ResList},
            ops::{bicubic, bicubic_twice01, clamp01, gated},
            strips::{Strip, in_strips},
            variables::Path,
        },
        state::{Level2, State, Upper},
    },
    profile::{self, Stage},
};
use tch::Tensor;

/// What the references have to say about one frame: a function of that frame alone.
#[derive(Debug)]
pub struct Reference {
    /// Matching confidence, `[1, 1, h, w]`.
    confidence: Tensor,
    /// The same at twice the size, limited to \[0, 1\].
    confidence2: Tensor,
    /// Aligned reference features at the frame's size, `[1, C, h, w]`; none where level 1 does not use
    /// them.
    aligned: Option<Tensor>,
    /// Features of the references, `[1, C, h', w']` each.
    features: Vec<Tensor>,
    /// Where they come to lie at twice the frame's size. They are brought there when they are needed,
    /// since that takes four times their memory and little time.
    places2: Places,
}

impl Reference {
    /// Matching confidence, `[1, 1, h, w]`.
    pub(crate) fn confidence(&self) -> &Tensor {
        &self.confidence
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.confidence, &self.confidence2]
            .into_iter()
            .chain(&self.aligned)
            .chain(&self.features)
            .chain(self.places2.tensors())
    }
}

/// Reference alignment and propagation (RAP).
#[derive(Debug)]
pub struct Propagation {
    feature_match: FeatureMatch,
    aa1: AlignedAttention,
    aa2: AlignedAttention,
    ref_encoder1: Head,
    res1: ResList,
    ref_encoder2: Head,
    res2: ResList,
    conf_fusion: Head,
    feat_fusion: Head,
    feat_decoder: ResList,
    upsample1: PixelShuffleUp,
    conf_fusion2: Head,
    feat_fusion2_1: Head,
    feat_fusion2: Head,
    feat_decoder2: ResList,
    /// The references' share at level 1 is not computed while it is always zero.
    skips_idle: bool,
}

impl Propagation {
    /// `vs` is the network's root.
    pub fn new(vs: &Path<'_>, config: &ModelConfig) -> Result<Self> {
        let (c, k) = (config.mid_channels, config.matching_kernel());
        Ok(Self {
            feature_match: FeatureMatch::new(vs / "feature_match", config)?,
            aa1: AlignedAttention::new(vs / "aa1", k / 2)?,
            aa2: AlignedAttention::new(vs / "aa2", k)?,
            ref_encoder1: Head::new(vs / "ref_encoder1", &[3, c, c], 1)?,
            res1: ResList::new(vs / "res1", 4, c)?,
            ref_encoder2: Head::new(vs / "ref_encoder2", &[c, c, c], 2)?,
            res2: ResList::new(vs / "res2", 4, c)?,
            conf_fusion: Head::new(vs / "conf_fusion", &[2, 16, c], 1)?,
            feat_fusion: Head::new(vs / "feat_fusion", &[2 * c, c, c], 1)?,
            feat_decoder: ResList::new(vs / "feat_decoder", 8, c)?,
            upsample1: PixelShuffleUp::new(vs / "upsample1", c)?,
            conf_fusion2: Head::new(vs / "conf_fusion2", &[2, 16, c], 1)?,
            feat_fusion2_1: Head::new(vs / "feat_fusion2_1", &[2 * c, c], 1)?,
            feat_fusion2: Head::new(vs / "feat_fusion2", &[2 * c, c, c], 1)?,
            feat_decoder2: ResList::new(vs / "feat_decoder2", 4, c)?,
            skips_idle: false,
        })
    }

    /// See [`Network::skip_idle`](crate::Network::skip_idle).
    pub fn skip_idle(&mut self) {
        self.skips_idle = true;
        self.aa1.skip_idle();
        self.aa2.skip_idle();
        [
            &mut self.res1,
            &mut self.res2,
            &mut self.feat_decoder,
            &mut self.feat_decoder2,
        ]
        .into_iter()
        .for_each(ResList::skip_idle);
    }

    /// Matches and aligns the references of a frame. `lr` is `[1, 3, h, w]`; each reference
    /// `[1, 3, h', w']` with sides that are multiples of the matching kernel, one of its pixels covering
    /// half a pixel of `lr`. They are matched in blocks of `step` positions a side.
    pub fn reference(&self, lr: &Tensor, references: &[&Tensor], step: usize) -> Result<Reference> {
        let found = self.feature_match.forward(lr, references, step)?;
        let features = self.encoded(references, &self.ref_encoder1, &self.res1)?;
        let features: Vec<&Tensor> = features.iter().collect();
        let sizes = |all: &[&Tensor]| all.iter().map(|t| size(t)).collect::<Vec<_>>();
        let aligned = if self.skips_idle && self.conf_fusion.is_idle()? {
            None
        } else {
            let halves = self.encoded(&features, &self.ref_encoder2, &self.res2)?;
            let halves: Vec<&Tensor> = halves.iter().collect();
            let (h, w) = size(lr);
            let half_lr = clamp01(&bicubic(lr, h / 2, w / 2)?)?;
            let places = self
                .aa1
                .places(&half_lr, references, &found.index, &sizes(&halves))?;
            Some(places.apply(&halves)?)
        };
        Ok(Reference {
            aligned,
            places2: self
                .aa2
                .places(lr, references, &found.index, &sizes(&features))?,
            features: features.iter().map(|f| f.shallow_clone()).collect(),
            confidence2: bicubic_twice01(&found.confidence)?,
            confidence: found.confidence,
        })
    }

    fn encoded(&self, pictures: &[&Tensor], encoder: &Head, list: &ResList) -> Result<Vec<Tensor>> {
        let _stage = profile::stage(Stage::Encoders);
        let encode = |picture: &&Tensor| list.forward(&encoder.forward(&[picture])?);
        pictures.iter().map(encode).collect()
    }

    /// The confidence alone of what [`reference`](Self::reference) finds.
    pub fn confidence(&self, lr: &Tensor, references: &[&Tensor]) -> Result<Tensor> {
        Ok(self.feature_match.forward(lr, references, 1)?.confidence)
    }

    /// Operations of matching an ultra-wide frame with references of these heights and widths.
    pub fn matching_cost(&self, lr: (i64, i64), references: &[(i64, i64)]) -> f64 {
        self.feature_match.cost(lr, references)
    }

    /// Fuses a frame's reference into the branch. `state.feature` has been through the branch's trunk.
    pub fn forward(&self, state: &State, reference: &Reference) -> Result<State> {
        let _stage = profile::stage(Stage::Fusion);
        let Some(before) = &state.level2 else {
            return Err(Error::Broken("a state without its level 2".into()));
        };
        let mut feature = state.feature.shallow_clone();
        if let Some(aligned) = &reference.aligned {
            let confidences = [&before.confidence, &reference.confidence];
            let weight = self.conf_fusion.forward(&confidences)?;
            let fused = self.feat_fusion.forward(&[&feature, aligned])?;
            feature = gated(&feature, weight, &fused)?;
        }
        let feature = self.feat_decoder.forward(&feature)?;

        let channels = feature.size()[1];
        let upper = in_strips(size(&feature), (channels, 2), 2, |strip| {
            let upper = self.upsample1.forward(&strip.of(&feature, 1)?, 1.0)?;
            strip.kept(&self.level2(before, reference, strip, upper)?, 2)
        })?;
        let confidence = before.confidence.f_maximum(&reference.confidence)?;
        Ok(State {
            feature,
            level2: Some(Level2 {
                feature: Upper::of(upper),
                confidence,
            }),
        })
    }

    /// The level-2 feature of a strip, from the level-1 feature at twice its size. Most of a session's
    /// memory is live here: everything is made as late and dropped as soon as can be.
    fn level2(
        &self,
        state: &Level2,
        reference: &Reference,
        strip: Strip,
        upper: Tensor,
    ) -> Result<Tensor> {
        let before = state.feature.strip(strip)?;
        let feature2 = self.feat_fusion2_1.forward(&[&before, &upper])?;
        drop((before, upper));
        let features: Vec<&Tensor> = reference.features.iter().collect();
        let aligned2 = reference.places2.apply_rows(&features, strip.span(2))?;
        let fused = self.feat_fusion2.forward(&[&feature2, &aligned2])?;
        drop(aligned2);
        let accumulated = bicubic_twice01(&strip.of(&state.confidence, 1)?)?;
        let confidences = [&accumulated, &strip.of(&reference.confidence2, 2)?];
        let weight = self.conf_fusion2.forward(&confidences)?;
        let feature2 = gated(&feature2, weight, &fused)?;
        drop(fused);
        self.feat_decoder2.forward(&feature2)
    }
}
