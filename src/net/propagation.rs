//! Propagation: one step of a recurrent branch, with the reference fused into it (paper, section 3.1, the RAP module).

use super::{
    alignment::{AlignedAttention, Places},
    blocks::{Head, PixelShuffleUp, ResList},
    context,
    flow::{doubled, grid, warp},
    matching::FeatureMatch,
    ops::{bicubic, bicubic_twice01, clamp01, gated, size, zeros},
    strips::{Strip, in_strips},
    variables::Path,
};
use crate::{
    Error, ModelConfig, Result,
    config::Recurrence,
    profile::{self, Stage},
};
use tch::Tensor;

/// All recurrent state of a branch, at the ultra-wide frame's size h x w.
#[derive(Debug)]
pub struct State {
    /// Level-1 feature, `[1, C, h, w]`.
    pub feature: Tensor,
    /// The rest; the registered variant has none.
    pub level2: Option<Level2>,
}

/// The part of a state that matching and level 2 have.
#[derive(Debug)]
pub struct Level2 {
    /// Level-2 feature.
    pub feature: Upper,
    /// Accumulated matching confidence, `[1, 1, h, w]`.
    pub confidence: Tensor,
}

/// A level-2 feature `[1, C, 2h, 2w]`. One that moves along with the picture is only sampled where it is
/// read, strip by strip: moved as a whole it would take as much memory again.
#[derive(Debug)]
pub struct Upper {
    feature: Tensor,
    /// Positions `[1, 2h, 2w, 2]` in `feature`, as [`warp`] takes them.
    moved: Option<(Tensor, Recurrence)>,
}

impl Upper {
    fn of(feature: Tensor) -> Self {
        Self {
            feature,
            moved: None,
        }
    }

    /// The same where each pixel comes from `grid`.
    fn moved(&self, grid: &Tensor, recurrence: Recurrence) -> Result<Self> {
        Ok(Self {
            feature: self.whole()?,
            moved: Some((grid.shallow_clone(), recurrence)),
        })
    }

    /// A strip of it.
    pub(super) fn strip(&self, strip: Strip) -> Result<Tensor> {
        self.rows(strip.span(2))
    }

    fn whole(&self) -> Result<Tensor> {
        match &self.moved {
            None => Ok(self.feature.shallow_clone()),
            Some((grid, _)) => self.rows((0, grid.size()[1])),
        }
    }

    fn rows(&self, (first, rows): (i64, i64)) -> Result<Tensor> {
        match &self.moved {
            None => Ok(self.feature.f_narrow(2, first, rows)?),
            Some((grid, recurrence)) => {
                let _stage = profile::stage(Stage::Warping);
                warp(&self.feature, &grid.f_narrow(1, first, rows)?, *recurrence)
            }
        }
    }

    /// The same without its gradient history.
    pub fn detach(&self) -> Self {
        Self {
            feature: self.feature.detach(),
            ..self.shallow_clone()
        }
    }

    fn shallow_clone(&self) -> Self {
        let moved = self.moved.as_ref();
        Self {
            feature: self.feature.shallow_clone(),
            moved: moved.map(|(grid, recurrence)| (grid.shallow_clone(), *recurrence)),
        }
    }
}

/// Where each pixel of a frame was in its neighbour: a flow in the forms warping takes. A function of one pair of frames.
#[derive(Debug)]
pub struct Motion {
    /// `[1, 2, h, w]`, in pixels.
    pub flow: Tensor,
    pub(crate) grid: Tensor,
    /// Of features of twice the size, where the state has any.
    grid2: Option<Tensor>,
}

impl Motion {
    /// From a flow of [`SpyNet`](super::flow::SpyNet), for states with a level 2 or without.
    pub fn new(flow: Tensor, level2: bool) -> Result<Self> {
        let (h, w) = size(&flow);
        let grid2 = if level2 {
            Some(grid(&doubled(&flow)?, (2 * h, 2 * w))?)
        } else {
            None
        };
        Ok(Self {
            grid: grid(&flow, (h, w))?,
            grid2,
            flow,
        })
    }

    fn grid2(&self) -> Result<&Tensor> {
        self.grid2
            .as_ref()
            .ok_or_else(|| Error::Broken("a motion without its level 2".into()))
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        [&self.flow, &self.grid].into_iter().chain(&self.grid2)
    }
}

/// What a branch gives to the output frame.
#[derive(Debug)]
pub enum Joined {
    /// Of the registered variant: its feature, `[1, C, h, w]`.
    Feature(Tensor),
    /// Of RefVSR: its state without the level-1 feature.
    Level2(Level2),
}

impl Joined {
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        match self {
            Self::Feature(feature) => [Some(feature), None],
            Self::Level2(level2) => level2.tensors().map(Some),
        }
        .into_iter()
        .flatten()
    }

    /// Its feature, of level 2 where there is one; not yet moved where it is to be.
    pub(crate) fn feature(&self) -> &Tensor {
        match self {
            Self::Feature(feature) => feature,
            Self::Level2(level2) => &level2.feature.feature,
        }
    }

    /// Between this and another branch's: this at a share of 0, the other at 1.
    ///
    /// # Errors
    /// [`Error::Broken`] for branches of different families.
    pub fn faded(&self, other: &Self, share: f64) -> Result<Self> {
        match (self, other) {
            (Self::Feature(a), Self::Feature(b)) => Ok(Self::Feature(a.f_lerp(b, share)?)),
            (Self::Level2(a), Self::Level2(b)) => Ok(Self::Level2(Level2 {
                feature: Upper::of(a.feature.whole()?.f_lerp(&b.feature.whole()?, share)?),
                confidence: a.confidence.f_lerp(&b.confidence, share)?,
            })),
            _ => Err(Error::Broken("branches of two families".into())),
        }
    }
}

impl Level2 {
    fn tensors(&self) -> [&Tensor; 2] {
        [&self.feature.feature, &self.confidence]
    }

    /// The same tensors once more.
    pub fn shallow_clone(&self) -> Self {
        Self {
            feature: self.feature.shallow_clone(),
            confidence: self.confidence.shallow_clone(),
        }
    }
}

impl State {
    /// Its share of the output frame.
    pub fn joined(&self) -> Joined {
        match &self.level2 {
            Some(level2) => Joined::Level2(level2.shallow_clone()),
            None => Joined::Feature(self.feature.shallow_clone()),
        }
    }

    /// Nothing seen yet, with a level 2 or without. `lr` is `[1, 3, h, w]`.
    pub fn zero(lr: &Tensor, channels: i64, level2: bool) -> Result<Self> {
        let (h, w) = size(lr);
        let kind = context::arithmetic().kind();
        let level2 = if level2 {
            Some(Level2 {
                feature: Upper::of(zeros([1, channels, 2 * h, 2 * w], kind, lr.device())?),
                confidence: zeros([1, 1, h, w], lr.kind(), lr.device())?,
            })
        } else {
            None
        };
        Ok(Self {
            feature: zeros([1, channels, h, w], kind, lr.device())?,
            level2,
        })
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        let level2 = self.level2.iter().flat_map(Level2::tensors);
        std::iter::once(&self.feature).chain(level2)
    }

    /// The same tensors once more.
    pub fn shallow_clone(&self) -> Self {
        self.with_feature(self.feature.shallow_clone())
    }

    /// The state moved along with the picture.
    pub fn warp(&self, motion: &Motion, recurrence: Recurrence) -> Result<Self> {
        let _stage = profile::stage(Stage::Warping);
        let level2 = match &self.level2 {
            Some(level2) => Some(Level2 {
                feature: level2.feature.moved(motion.grid2()?, recurrence)?,
                confidence: warp(&level2.confidence, &motion.grid, recurrence)?,
            }),
            None => None,
        };
        Ok(Self {
            feature: warp(&self.feature, &motion.grid, recurrence)?,
            level2,
        })
    }

    /// [`warp`](Self::warp) as it is inside a run of the forward branch over several frames of a window: with [`Recurrence::Upstream`] the
    /// level-2 feature is dropped and the warped level-1 feature takes its place, warped once more to twice the size; and RefVSR-IR moves that and the
    /// confidence by a `stale` motion, that of the window's first frame to its second. The published weights were trained so.
    pub fn warp_in_run(
        &self,
        motion: &Motion,
        stale: Option<&Motion>,
        recurrence: Recurrence,
    ) -> Result<Self> {
        match (recurrence, &self.level2) {
            (Recurrence::Clean, _) | (_, None) => self.warp(motion, recurrence),
            (Recurrence::Upstream, Some(level2)) => {
                let feature = warp(&self.feature, &motion.grid, recurrence)?;
                let motion = stale.unwrap_or(motion);
                let grid2 = grid(&doubled(&motion.flow)?, size(&feature))?;
                let level2 = Some(Level2 {
                    feature: Upper::of(feature.shallow_clone()).moved(&grid2, recurrence)?,
                    confidence: warp(&level2.confidence, &motion.grid, recurrence)?,
                });
                Ok(Self { feature, level2 })
            }
        }
    }

    /// The state with another level-1 feature.
    pub(crate) fn with_feature(&self, feature: Tensor) -> Self {
        Self {
            feature,
            level2: self.level2.as_ref().map(Level2::shallow_clone),
        }
    }
}

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
