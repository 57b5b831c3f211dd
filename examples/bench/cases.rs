//! What is measured: models and frame sizes.

use crate::{Result, common, rig};
use refvsr::{
    Bundled, ModelConfig, Network,
    config::{Recurrence, Variant},
};
use tch::Device;

/// Where a case's weights come from.
#[derive(Clone, Copy)]
pub enum Model {
    /// A published model's shape with generated weights: its preset, channels, blocks, window and
    /// whether it takes full-resolution input.
    Generated(&'static str, usize),
    /// The registered variant of so many blocks in BasicVSR's shape, with generated weights, whose flow
    /// network is the bundled model's: references do register.
    Registered(i64),
    /// The bundled model.
    Bundled,
}

/// A model on frames of one size.
pub struct Case {
    pub name: &'static str,
    pub what: &'static str,
    /// Height and width of the frames that go in.
    pub size: (i64, i64),
    pub model: Model,
    /// Frames of look-ahead in place of the model's own.
    pub look_ahead: Option<usize>,
    /// How many frames are measured.
    pub frames: usize,
    /// Whether it is measured where no case is named.
    pub usual: bool,
}

const USUAL: Case = Case {
    name: "",
    what: "",
    size: (120, 160),
    model: Model::Bundled,
    look_ahead: None,
    frames: 6,
    usual: true,
};

/// All cases.
pub const CASES: [Case; 13] = [
    Case {
        name: "small-t3",
        what: "upstream's small model, window of 3",
        model: Model::Generated("refvsr-small-mfid", 3),
        frames: 10,
        ..USUAL
    },
    Case {
        name: "small-t7",
        what: "upstream's small model, window of 7",
        model: Model::Generated("refvsr-small-mfid", 7),
        frames: 8,
        ..USUAL
    },
    Case {
        name: "bundled-256",
        what: "the bundled model",
        size: (144, 256),
        frames: 4,
        ..USUAL
    },
    Case {
        name: "bundled-480",
        what: "the bundled model",
        size: (270, 480),
        frames: 2,
        ..USUAL
    },
    Case {
        name: "registered-256",
        what: "registered, 30 blocks",
        size: (144, 256),
        model: Model::Registered(30),
        frames: 4,
        ..USUAL
    },
    Case {
        name: "registered-light-256",
        what: "registered, 10 blocks",
        size: (144, 256),
        model: Model::Registered(10),
        frames: 4,
        ..USUAL
    },
    Case {
        name: "registered-8k",
        what: "registered, 30 blocks, no look-ahead",
        size: (1080, 1920),
        model: Model::Registered(30),
        look_ahead: Some(0),
        frames: 1,
        usual: false,
    },
    Case {
        name: "bundled-640",
        what: "the bundled model, no look-ahead",
        size: (360, 640),
        look_ahead: Some(0),
        frames: 1,
        usual: false,
        ..USUAL
    },
    Case {
        name: "bundled-1080",
        what: "the bundled model, no look-ahead",
        size: (1080, 1920),
        look_ahead: Some(0),
        frames: 1,
        usual: false,
        ..USUAL
    },
    Case {
        name: "small-480",
        what: "upstream's small model, window of 7",
        size: (270, 480),
        model: Model::Generated("refvsr-small-mfid", 7),
        frames: 2,
        usual: false,
        ..USUAL
    },
    Case {
        name: "ir",
        what: "RefVSR-IR, window of 9",
        model: Model::Generated("refvsr-ir-mfid", 9),
        frames: 4,
        ..USUAL
    },
    Case {
        name: "hd-24",
        what: "hd, 24 channels, no look-ahead",
        size: (1080, 1920),
        model: Model::Generated("refvsr-small-mfid-8k", 3),
        look_ahead: Some(0),
        frames: 1,
        usual: false,
    },
    Case {
        name: "hd-48",
        what: "hd, 48 channels, no look-ahead",
        size: (1080, 1920),
        model: Model::Generated("refvsr-mfid-8k", 7),
        look_ahead: Some(0),
        frames: 1,
        usual: false,
    },
];

impl Case {
    /// The network.
    pub fn network(&self) -> Result<Network> {
        match self.model {
            Model::Generated(preset, frame_num) => Ok(common::network(ModelConfig {
                frame_num,
                ..ModelConfig::preset(preset)?
            })),
            Model::Registered(num_blocks) => {
                let network = common::network(ModelConfig {
                    variant: Variant::Registered,
                    mid_channels: 64,
                    num_blocks,
                    reset_interval: None,
                    recurrence: Recurrence::Clean,
                    ..ModelConfig::preset("refvsr-mfid")?
                });
                rig::give_flow(network.weights());
                Ok(network)
            }
            Model::Bundled => {
                let checkpoint = Bundled::Quality.checkpoint()?;
                Ok(Network::from_checkpoint(&checkpoint, Device::Cpu)?)
            }
        }
    }

    /// Frames on each side of a window's centre.
    pub fn look_ahead_of(&self, network: &Network) -> usize {
        self.look_ahead
            .unwrap_or_else(|| network.config().look_ahead())
    }
}
