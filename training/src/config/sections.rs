//! The sections of a run's config.

use crate::{contents, losses::vgg::Layer, precision::Precision};
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The paper's two stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Learning from triplets whose truth is known.
    Pretrain,
    /// Learning from full-resolution video, for which there is no truth.
    Adapt,
}

/// What is trained. See [`lesson`](crate::lessons).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LessonKind {
    /// RefVSR: windows of clips with all their weights, but for those in `optimiser.frozen`.
    #[default]
    Windows,
    /// The registered variant: what its references add, all else as it is.
    Fusion,
    /// The registered variant: trunks of fewer blocks than those of `start.teacher`, whose features
    /// and picture they learn to give.
    Trunks,
    /// The registered variant: a forward trunk that stays as good over long films as `start.teacher`'s
    /// is in its first frames.
    Steady,
    /// The live variant: all of it, from films.
    Live,
}

impl LessonKind {
    /// Whether it learns from `start.teacher`, which it begins as.
    pub fn has_teacher(self) -> bool {
        matches!(self, Self::Trunks | Self::Steady)
    }

    /// Whether it learns from films.
    pub fn has_films(self) -> bool {
        matches!(self, Self::Steady | Self::Live)
    }
}

/// See [`Config::start`](super::Config::start).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// A model file whose weights are taken up; all must fit, but for those of the matching where `hd` differs. Empty: none.
    pub checkpoint: PathBuf,
    /// In this order: files with some of the weights, by upstream's names (`fetch-weights` makes one); those of equal name and shape are taken up. The weights of
    /// `edvr` are also taken from a file of EDVR's own, with mmediting's `generator.` before its names or without.
    pub weights: Vec<Weights>,
    /// Where `lesson` is `trunks` or `steady`: the model file whose features (and, by trunks, picture) are
    /// learnt, and which every other weight is taken from [default: none].
    #[serde(default)]
    pub teacher: PathBuf,
    /// Fresh weights whose names start so begin as zero.
    pub zero: Vec<String>,
}

/// A file with weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Weights {
    /// All that fit are taken up.
    All(PathBuf),
    /// Some of them.
    Some {
        /// The file.
        file: PathBuf,
        /// Beginnings of the names of those that are taken up.
        only: Vec<String>,
    },
}

impl Start {
    /// A number for what its files hold.
    ///
    /// # Errors
    /// Names a file that cannot be read.
    pub fn contents(&self) -> Result<u64> {
        let named = |path: &&Path| !path.as_os_str().is_empty();
        let weights = self.weights.iter().map(Weights::file);
        let files = [self.checkpoint.as_path(), self.teacher.as_path()];
        contents::number(files.into_iter().filter(named).chain(weights))
    }
}

impl Weights {
    /// The file.
    pub fn file(&self) -> &Path {
        match self {
            Self::All(file) | Self::Some { file, .. } => file,
        }
    }

    /// Whether the weight of that name is taken up.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::All(_) => true,
            Self::Some { only, .. } => only.iter().any(|start| name.starts_with(start.as_str())),
        }
    }
}

/// See [`Config::data`](super::Config::data).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// The data folder; where `lesson` is `steady`, one with photos.
    pub root: PathBuf,
    /// Side of the ultra-wide patches.
    pub patch: usize,
    /// Windows cut from a clip: a patch has so many frames plus the window's length minus 1, of
    /// which some may repeat the clip's ends ([`Config::repeats`](super::Config::repeats)). Where `lesson` is `steady`: frames of
    /// a part of a film.
    pub windows: usize,
    /// Places drawn for each patch, of which the one with most detail (in its truth; where `lesson` is
    /// `trunks`, in its input) is cut: plain walls teach little [default: 1, as published].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub places: usize,
    /// Rotated and flipped patches.
    pub augment: bool,
    /// Where a lesson has a teacher: share of patches (or films) whose colours are changed at random [default: 0].
    #[serde(default, skip_serializing_if = "is_none")]
    pub recoloured: f64,
    /// Threads that decode and cut.
    pub workers: usize,
    /// Patches each of them may have ready.
    pub ahead: usize,
}

/// See [`Config::loss`](super::Config::loss).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Weighted sum: `1*L1_lf+0.05*MFID_ref_X_mu+0.01*FID_hr`.
    pub terms: String,
    /// Weight of the features' mean absolute difference, where a lesson has a teacher [default: 0].
    #[serde(default)]
    pub features: f64,
    /// The layer of VGG19 the contextual losses see.
    pub layer: Layer,
    /// The VGG19 file; empty where no contextual loss is used.
    pub vgg: PathBuf,
}

/// See [`Config::optimiser`](super::Config::optimiser).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimiser {
    /// Learning rate at the first step.
    pub rate: f64,
    /// Learning rate at the last.
    pub final_rate: f64,
    /// Steps in all, one a window.
    pub steps: u64,
    /// Steps over which the rate rises from nothing to the cosine's [default: 0, as published].
    #[serde(default)]
    pub warmup: u64,
    /// Clip patches a step, in each process.
    pub batch: usize,
    /// `fp32`, `tf32` or `fp16`; without the key `fp32`.
    #[serde(default)]
    pub precision: Precision,
    /// Longest gradient.
    pub clip_norm: f64,
    /// Decay of the weights' running average; 0: none is kept.
    pub ema: f64,
    /// Names, or beginnings of names, of weights that stay as they are; `start` must give them.
    pub frozen: Vec<String>,
}

/// See [`Config::validation`](super::Config::validation).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// After every so many steps, at the next clip patch's end. 0: only at the end of the run.
    pub every: u64,
    /// The first so many clips. 0: no validation.
    pub clips: usize,
    /// The first so many frames of each.
    pub frames: usize,
}

/// See [`Config::output`](super::Config::output).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The state is saved after so many steps, at the next clip patch's end.
    pub save_every: u64,
    /// A strip of pictures for TensorBoard after so many steps.
    pub picture_every: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_none(share: &f64) -> bool {
    *share == 0.0
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_one(n: &usize) -> bool {
    *n == 1
}
