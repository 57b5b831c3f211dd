//! Writes a model whose weights are all zero: its output is the bicubic base. The placeholder for a trained default model.

use refvsr::{
    ModelConfig, Network, checkpoint,
    config::{Recurrence, Variant},
};
use std::path::PathBuf;
use tch::{Device, Kind};

fn main() -> refvsr::Result<()> {
    let path = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "models/default.safetensors".into()));
    let config = ModelConfig {
        variant: Variant::RefVsr,
        mid_channels: 8,
        num_blocks: 1,
        frame_num: 3,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
    };
    let network = Network::new(config, Device::Cpu)?;
    for (_, mut variable) in network.weights().variables() {
        tch::no_grad(|| variable.f_zero_().map(|_| ()))?;
    }
    checkpoint::save(&network, &path, Kind::Half)
}
