//! `refvsr info`: what a model file is.

use anyhow::Result;
use refvsr::Network;
use refvsr::checkpoint::Checkpoint;
use refvsr::config::{Recurrence, Variant};
use std::path::PathBuf;

/// Arguments of `refvsr info`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The kind of file is told by its content, not by its name. Files of the RefVSR authors (.pytorch) carry no
description of themselves: theirs is read off the shapes of the weights. Our own .safetensors files carry it.")]
pub struct Args {
    /// A model file: .safetensors, or .pytorch/.pth/.pt as the authors of RefVSR publish
    model: PathBuf,
}

/// Prints what the model is.
pub fn run(args: &Args) -> Result<()> {
    let checkpoint = Checkpoint::read(&args.model)?;
    let network = Network::from_checkpoint(&checkpoint, tch::Device::Cpu)?;
    let config = network.config();
    let row = |name: &str, value: String| println!("{name:<15} {value}");
    row("file", args.model.display().to_string());
    row(
        "variant",
        match config.variant {
            Variant::RefVsr => "RefVSR".to_owned(),
            Variant::RefVsrIr => "RefVSR-IR (information refill)".to_owned(),
        },
    );
    row("channels", config.mid_channels.to_string());
    row("blocks", format!("{} in each trunk", config.num_blocks));
    row("window", frames(config.frame_num));
    row("look-ahead", frames(config.look_ahead()));
    row("scale", format!("{}x", config.scale));
    row(
        "hd",
        if config.hd {
            "yes: takes full-resolution input"
        } else {
            "no"
        }
        .to_owned(),
    );
    row(
        "reset interval",
        config
            .reset_interval
            .map_or("never".to_owned(), |n| format!("every {}", frames(n))),
    );
    row(
        "recurrence",
        match config.recurrence {
            Recurrence::Upstream => "upstream: as the published weights were trained".to_owned(),
            Recurrence::Clean => "clean: training and streaming compute the same".to_owned(),
        },
    );
    let parameters: usize = network
        .weights()
        .variables()
        .values()
        .map(tch::Tensor::numel)
        .sum();
    row(
        "parameters",
        format!("{parameters} ({:.1} M)", parameters as f64 / 1e6),
    );
    let unused = checkpoint.unused(&network);
    if !unused.is_empty() {
        row("unused tensors", unused.join(", "));
    }
    Ok(())
}

fn frames(n: usize) -> String {
    format!("{n} frame{}", if n == 1 { "" } else { "s" })
}
