//! What is measured: models and frame sizes.

use crate::{Result, common};
use refvsr::{Bundled, ModelConfig, Network, config::Recurrence};
use tch::Device;

/// Where a case's weights come from.
#[derive(Clone, Copy)]
pub enum Model {
    /// A published model's shape with generated weights: its preset, channels, blocks, window and
    /// whether it takes full-resolution input.
    Generated(&'static str, usize),
    /// A bundled model.
    Bundled(Bundled),
    /// The shape of the model that was bundled before them, with generated weights: RefVSR with
    /// BasicVSR's trunks.
    Former,
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
    model: Model::Bundled(Bundled::Quality),
    look_ahead: None,
    frames: 6,
    usual: true,
};

/// All cases.
pub const CASES: [Case; 15] = [
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
        name: "quality-256",
        what: "the bundled model quality",
        size: (144, 256),
        model: Model::Bundled(Bundled::Quality),
        frames: 4,
        ..USUAL
    },
    Case {
        name: "light-256",
        what: "the bundled model light",
        size: (144, 256),
        model: Model::Bundled(Bundled::Light),
        frames: 4,
        ..USUAL
    },
    Case {
        name: "quality-480",
        what: "the bundled model quality",
        size: (270, 480),
        model: Model::Bundled(Bundled::Quality),
        frames: 2,
        ..USUAL
    },
    Case {
        name: "light-480",
        what: "the bundled model light",
        size: (270, 480),
        model: Model::Bundled(Bundled::Light),
        frames: 2,
        ..USUAL
    },
    Case {
        name: "former-256",
        what: "the model bundled before",
        size: (144, 256),
        model: Model::Former,
        frames: 2,
        usual: false,
        ..USUAL
    },
    Case {
        name: "former-480",
        what: "the model bundled before",
        size: (270, 480),
        model: Model::Former,
        frames: 1,
        usual: false,
        ..USUAL
    },
    Case {
        name: "quality-640",
        what: "quality, no look-ahead",
        size: (360, 640),
        model: Model::Bundled(Bundled::Quality),
        look_ahead: Some(0),
        frames: 1,
        usual: false,
    },
    Case {
        name: "quality-1080",
        what: "quality, no look-ahead",
        size: (1080, 1920),
        model: Model::Bundled(Bundled::Quality),
        look_ahead: Some(0),
        frames: 1,
        usual: false,
    },
    Case {
        name: "light-1080",
        what: "light, no look-ahead",
        size: (1080, 1920),
        model: Model::Bundled(Bundled::Light),
        look_ahead: Some(0),
        frames: 1,
        usual: false,
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
    /// Whether this build has its model.
    pub fn is_there(&self) -> bool {
        match self.model {
            Model::Bundled(model) => model.content().is_some(),
            Model::Generated(..) | Model::Former => true,
        }
    }

    /// The network, on a device.
    pub fn network(&self, device: Device) -> Result<Network> {
        match self.model {
            Model::Generated(preset, frame_num) => {
                let config = ModelConfig {
                    frame_num,
                    ..ModelConfig::preset(preset)?
                };
                Ok(common::network_on(config, device))
            }
            Model::Former => Ok(common::network_on(
                ModelConfig {
                    mid_channels: 64,
                    num_blocks: 30,
                    frame_num: 7,
                    recurrence: Recurrence::Clean,
                    ..ModelConfig::preset("refvsr-mfid")?
                },
                device,
            )),
            Model::Bundled(model) => {
                let checkpoint = model.checkpoint()?;
                Ok(Network::from_checkpoint(&checkpoint, device)?)
            }
        }
    }

    /// Frames on each side of a window's centre.
    pub fn look_ahead_of(&self, network: &Network) -> usize {
        self.look_ahead
            .unwrap_or_else(|| network.config().look_ahead())
    }
}
