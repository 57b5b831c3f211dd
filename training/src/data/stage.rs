//! The stages of training: what a patch is made of.

use super::{
    place::Place,
    tree::{Density, Lens},
};
use anyhow::Result;
use tch::Tensor;

/// What a patch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reduced ultra-wide and wide frames as input, full-resolution ultra-wide ones as truth.
    /// References for the losses show the field of the wide patch at the truth's pixel density,
    /// which is that of wide frames reduced 2 times.
    Pretrain {
        /// How many times smaller the input is than the truth: 2 or 4.
        scale: i64,
    },
    /// Reduced ultra-wide frames as input and full-resolution ones as truth, anywhere in the frame.
    /// References are drawn from the truth.
    Alone {
        /// How many times smaller the input is than the truth.
        scale: i64,
    },
    /// Reduced ultra-wide frames as input, and nothing else.
    Inputs {
        /// How many times smaller the input is than the output.
        scale: i64,
    },
    /// Full-resolution ultra-wide and wide frames as input to an hd network, the ultra-wide ones as
    /// what the reduced output should equal. References for the losses are the wide patch, enlarged
    /// twice.
    PretrainHd {
        /// How many times larger the network's output is than its input.
        scale: i64,
    },
    /// Full-resolution ultra-wide and wide frames as input, tele frames as references for the
    /// losses, no truth.
    Adapt {
        /// How many times larger the network's output is than its input; tele patches are resized
        /// to the output's size.
        scale: i64,
    },
}

impl Stage {
    /// The density of the network's input.
    ///
    /// # Errors
    /// For a scale that the data set does not have.
    pub fn input(self) -> Result<Density> {
        match self {
            Self::Pretrain { scale } | Self::Alone { scale } | Self::Inputs { scale } => {
                Density::of_scale(scale)
            }
            Self::PretrainHd { .. } | Self::Adapt { .. } => Ok(Density::Hr),
        }
    }

    /// How many times larger the network's output is than its input.
    pub fn scale(self) -> i64 {
        match self {
            Self::Pretrain { scale }
            | Self::Alone { scale }
            | Self::Inputs { scale }
            | Self::PretrainHd { scale }
            | Self::Adapt { scale } => scale,
        }
    }

    /// The camera whose field patches have to lie in.
    pub(super) fn within(self) -> Lens {
        match self {
            Self::Alone { .. } | Self::Inputs { .. } => Lens::Ultrawide,
            Self::Pretrain { .. } | Self::PretrainHd { .. } => Lens::Wide,
            Self::Adapt { .. } => Lens::Tele,
        }
    }

    /// The density of the frames by which a patch's detail is judged: the truth's, where there is one.
    pub(super) fn judged_by(self) -> Result<Density> {
        match self {
            Self::Inputs { .. } => self.input(),
            _ => Ok(Density::Hr),
        }
    }

    /// The folders that patches are cut from, the input's first.
    pub(super) fn needed(self) -> Result<Vec<(Density, Lens)>> {
        let input = self.input()?;
        let mut needed = vec![(input, Lens::Ultrawide)];
        if self.within() != Lens::Ultrawide {
            needed.push((input, Lens::Wide));
        }
        match self {
            Self::Alone { .. } => needed.push((Density::Hr, Lens::Ultrawide)),
            Self::Pretrain { .. } => {
                needed.extend([(Density::Hr, Lens::Ultrawide), (Density::Lr2, Lens::Wide)]);
            }
            Self::Inputs { .. } | Self::PretrainHd { .. } => (),
            Self::Adapt { .. } => needed.push((Density::Hr, Lens::Tele)),
        }
        Ok(needed)
    }

    /// Input, reference, truth and references for the losses, of ultra-wide patches of side `patch`
    /// at a place. `cut` reads a square: density, lens, corner and side.
    pub(super) fn tensors(
        self,
        at: Place,
        patch: usize,
        cut: impl Fn(Density, Lens, [usize; 2], usize) -> Result<Tensor>,
    ) -> Result<[Tensor; 4]> {
        let input = self.input()?;
        let lr = cut(input, Lens::Ultrawide, at.ultrawide, patch)?;
        let truth = |s: usize| {
            cut(
                Density::Hr,
                Lens::Ultrawide,
                at.ultrawide.map(|v| s * v),
                s * patch,
            )
        };
        let wide = match self {
            Self::Alone { .. } | Self::Inputs { .. } => lr.shallow_clone(),
            _ => cut(input, Lens::Wide, at.wide, 2 * patch)?,
        };
        let output = self.scale() * patch as i64;
        let resized = |x: Tensor, side| x.f_upsample_bicubic2d([side, side], false, None, None);
        let (hr, loss_references) = match self {
            Self::Alone { .. } => (truth(input.scale())?, lr.shallow_clone()),
            Self::Inputs { .. } => (lr.shallow_clone(), lr.shallow_clone()),
            Self::Pretrain { .. } => {
                let s = input.scale();
                let denser = s / Density::Lr2.scale();
                (
                    truth(s)?,
                    cut(
                        Density::Lr2,
                        Lens::Wide,
                        at.wide.map(|v| denser * v),
                        denser * 2 * patch,
                    )?,
                )
            }
            Self::PretrainHd { .. } => (
                lr.shallow_clone(),
                resized(wide.shallow_clone(), 4 * patch as i64)?.f_clamp(0.0, 1.0)?,
            ),
            Self::Adapt { .. } => (
                lr.shallow_clone(),
                resized(cut(Density::Hr, Lens::Tele, at.tele, 5 * patch)?, output)?,
            ),
        };
        Ok([lr, wide, hr, loss_references])
    }
}
