//! What a branch hands from frame to frame, and how it moves along with the picture.

use super::{
    flow::{doubled, grid, warp},
    layers::{context, ops::zeros, strips::Strip},
};
use crate::{
    Error, Result,
    config::Recurrence,
    layout::size,
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
    pub(crate) fn of(feature: Tensor) -> Self {
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
    pub(crate) fn strip(&self, strip: Strip) -> Result<Tensor> {
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
    /// From a flow of [`SpyNet`](crate::net::flow::SpyNet), for states with a level 2 or without.
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
    /// level-2 feature is dropped and the warped level-1 feature takes its place, warped once more
    /// to twice the size; and RefVSR-IR moves that and the
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
