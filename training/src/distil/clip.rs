//! What the layers behind the trunks see, computed once and drawn from many times.

use crate::{
    basicvsr::{BasicVsr, Branch},
    batch::ClipPatch,
};
use anyhow::Result;
use refvsr::net::flow::{grid, twice};
use tch::{Tensor, no_grad};

/// Consecutive frames with what BasicVSR's trunks, which are RefVSR's too, give for them.
pub struct Clip {
    /// Frames `[1, 3, h, w]`, and the truth `[1, 3, 4 h, 4 w]`.
    pub lr: Vec<Tensor>,
    pub hr: Vec<Tensor>,
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
        let frames =
            |t: &Tensor| (0..t.size()[0]).map(|i| Ok(t.f_narrow(0, i, 1)?.f_to_device(teacher.device())?)).collect::<Result<Vec<_>>>();
        let (lr, hr) = (frames(&patch.lr)?, frames(&patch.hr)?);
        let (backward, forward) = no_grad(|| teacher.branches(&lr))?;
        Ok(Self { lr, hr, backward: Features::new(backward)?, forward: Features::new(forward)? })
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
        self.branches(i).map(|(branch, place)| &branch.level1[place])
    }
}

impl Features {
    fn new(branch: Branch) -> Result<Self> {
        let grid2 = |flow: &Tensor| -> Result<Tensor> {
            let flow = twice(flow)?;
            let size = flow.size();
            Ok(grid(&flow, (size[2], size[3]))?)
        };
        Ok(Self { grids2: branch.flows.iter().map(grid2).collect::<Result<_>>()?, level1: branch.features })
    }
}
