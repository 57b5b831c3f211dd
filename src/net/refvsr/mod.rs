//! RefVSR and RefVSR-IR, one file a block of the paper. Fields are named as the keys of upstream's state dict.

pub mod alignment;
mod bend;
pub mod edvr;
pub mod matching;
pub mod propagation;
pub mod reconstruction;
pub(crate) mod reduced;
pub mod refill;
pub(crate) mod window;

use super::{
    flow::SpyNet,
    layers::{blocks::Trunk, variables::Path},
};
use crate::{ModelConfig, Result, config::Variant};
use propagation::Propagation;
use reconstruction::Reconstruction;
use refill::Refill;

/// RefVSR's and RefVSR-IR's layers.
#[derive(Debug)]
pub(crate) struct RefVsr {
    pub flow_net: SpyNet,
    pub propagation: Propagation,
    pub backward_resblocks: Trunk,
    pub forward_resblocks: Trunk,
    pub reconstruction: Reconstruction,
    /// Of RefVSR-IR only.
    pub refill: Option<Refill>,
}

impl RefVsr {
    pub fn new(root: &Path<'_>, config: &ModelConfig) -> Result<Self> {
        let (c, blocks) = (config.mid_channels, config.num_blocks);
        // RefVSR-IR's forward trunk also sees the backward branch's feature.
        let (refill, forward_input) = match config.variant {
            Variant::RefVsrIr => (Some(Refill::new(root, c)?), 3 + 2 * c),
            _ => (None, 3 + c),
        };
        Ok(Self {
            flow_net: SpyNet::new(root / "FlowNet")?,
            propagation: Propagation::new(root, config)?,
            backward_resblocks: Trunk::new(root / "backward_resblocks", 3 + c, c, blocks)?,
            forward_resblocks: Trunk::new(root / "forward_resblocks", forward_input, c, blocks)?,
            reconstruction: Reconstruction::new(root, config)?,
            refill,
        })
    }
}
