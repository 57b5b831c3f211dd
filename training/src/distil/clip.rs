//! What the layers behind the trunks see, computed once and drawn from many times.

use crate::{
    basicvsr::{BasicVsr, Branch},
    batch::ClipPatch,
};
use anyhow::Result;
use refvsr::net::flow::{grid, twice};
use tch::{Kind, Tensor, no_grad};

/// The most that contrast is stretched.
const CONTRAST: f64 = 4.0;

/// Consecutive frames with what BasicVSR's trunks, which are RefVSR's too, give for them.
pub struct Clip {
    /// Frames `[1, 3, h, w]`, and the truth `[1, 3, 4 h, 4 w]`.
    pub lr: Vec<Tensor>,
    pub hr: Vec<Tensor>,
    /// Mean difference of pixels beside one another in the truth.
    pub detail: f64,
    backward: Features,
    forward: Features,
}

/// One branch's features, first those of the frame it sees first.
pub struct Features {
    /// `[1, C, h, w]` a frame.
    pub level1: Vec<Tensor>,
    /// From each frame but the first seen to the one seen before: where its level-2 feature comes from, `[1, 2 h, 2 w, 2]` as warping takes it.
    pub grids2: Vec<Tensor>,
}

impl Clip {
    /// The trunks' features of a clip patch.
    pub fn new(teacher: &BasicVsr, patch: &ClipPatch) -> Result<Self> {
        let frames = |t: &Tensor| {
            (0..t.size()[0])
                .map(|i| Ok(t.f_narrow(0, i, 1)?.f_to_device(teacher.device())?))
                .collect::<Result<Vec<_>>>()
        };
        let (lr, hr) = (frames(&patch.lr)?, frames(&patch.hr)?);
        let detail = patch
            .hr
            .f_diff(1, 3, None::<&Tensor>, None::<&Tensor>)?
            .f_abs()?
            .f_mean(Kind::Double)?
            .f_double_value(&[])?;
        let (backward, forward) = no_grad(|| teacher.branches(&lr))?;
        Ok(Self {
            lr,
            hr,
            detail,
            backward: Features::new(backward)?,
            forward: Features::new(forward)?,
        })
    }

    /// The same patch with its contrast stretched, `share` (0 to 1) of the way to all of \[0, 1\] but no more than [`CONTRAST`] times, and as far from black as from white.
    ///
    /// Enlarging is linear but for what lies outside of \[0, 1\], so the truth stays true. Few clips have edges as hard as some pictures do, and a picture's PSNR hangs on them.
    pub fn stretched(patch: ClipPatch, share: f64) -> Result<ClipPatch> {
        let (low, high) = (
            patch.hr.f_min()?.f_double_value(&[])?,
            patch.hr.f_max()?.f_double_value(&[])?,
        );
        let gain = 1.0 + share * ((high - low).max(1.0 / CONTRAST).recip() - 1.0);
        // What was in the middle of its range lies between there and the middle of all.
        let middle = 0.5 * (low + high);
        let to = middle + share * (0.5 - middle);
        let stretch = |t: &Tensor| {
            t.f_sub_scalar(middle)?
                .f_mul_scalar(gain)?
                .f_add_scalar(to)?
                .f_clamp(0.0, 1.0)
        };
        Ok(ClipPatch {
            lr: stretch(&patch.lr)?,
            hr: stretch(&patch.hr)?,
            ..patch
        })
    }

    /// How many frames.
    pub fn len(&self) -> usize {
        self.lr.len()
    }

    /// Both branches, backward first, each with frame `i`'s place in it.
    pub fn branches(&self, i: usize) -> [(&Features, usize); 2] {
        [(&self.backward, self.len() - 1 - i), (&self.forward, i)]
    }

    /// Both branches' features of frame `i`, backward first.
    pub fn features(&self, i: usize) -> [&Tensor; 2] {
        self.branches(i)
            .map(|(branch, place)| &branch.level1[place])
    }
}

impl Features {
    fn new(branch: Branch) -> Result<Self> {
        let grid2 = |flow: &Tensor| -> Result<Tensor> {
            let flow = twice(flow)?;
            let size = flow.size();
            Ok(grid(&flow, (size[2], size[3]))?)
        };
        Ok(Self {
            grids2: branch.flows.iter().map(grid2).collect::<Result<_>>()?,
            level1: branch.features,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn range(t: &Tensor) -> (f64, f64) {
        (t.min().double_value(&[]), t.max().double_value(&[]))
    }

    #[test]
    fn contrast_is_stretched_alike_in_input_and_truth() {
        let of = |low: f64, high: f64| {
            let hr = Tensor::linspace(low, high, 3 * 16 * 16, (Kind::Float, Device::Cpu))
                .view([1, 3, 16, 16]);
            let none = || Tensor::zeros([1], (Kind::Float, Device::Cpu));
            ClipPatch {
                name: String::new(),
                lr: hr.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None),
                wide: none(),
                hr,
                loss_references: none(),
            }
        };
        for (low, high, share, wanted) in [
            (0.2, 0.6, 0.0, (0.2, 0.6)),
            (0.2, 0.6, 1.0, (0.0, 1.0)),
            (0.2, 0.6, 0.5, (0.1, 0.8)),
            (0.8, 0.9, 1.0, (0.3, 0.7)),
            (0.0, 1.0, 1.0, (0.0, 1.0)),
        ] {
            let patch = Clip::stretched(of(low, high), share).unwrap();
            let (low, high) = range(&patch.hr);
            assert!(
                (low - wanted.0).abs() < 1e-5 && (high - wanted.1).abs() < 1e-5,
                "{low} to {high}, wanted {wanted:?}"
            );
            let reduced = patch
                .hr
                .avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None);
            assert!((reduced - patch.lr).abs().max().double_value(&[]) < 1e-5);
        }
    }
}
