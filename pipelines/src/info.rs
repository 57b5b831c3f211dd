//! `refvsr info`: what a model file is.

use crate::model::Model;
use crate::{card, speed};
use anyhow::Result;
use refvsr::config::{PRESETS, Recurrence, Variant};
use refvsr::{Bundled, DeviceChoice, Network};
use std::time::Duration;

/// Arguments of `refvsr info`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The kind of file is told by its content, not by its name. Files of the RefVSR authors (.pytorch) carry no
description of themselves: theirs is read off the shapes of the weights. Our own .safetensors files carry it.")]
pub struct Args {
    /// A model file: .safetensors, or .pytorch/.pth/.pt as the authors of RefVSR publish; or a bundled model
    #[arg(value_name = "FILE|auto|quality|light|live")]
    model: Model,
    /// Measure the time and memory that frames of this size take (the ultra-wide camera's)
    #[arg(long, value_name = "WxH", value_parser = size)]
    size: Option<(i64, i64)>,
    /// Where to measure: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto", requires = "size")]
    device: String,
}

/// `WxH`.
fn size(text: &str) -> Result<(i64, i64), String> {
    let sides = text
        .split_once('x')
        .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides
        .filter(|(w, h)| (8..=16384).contains(w) && (8..=16384).contains(h))
        .ok_or_else(|| format!("expected WxH, 480x270 for instance, not {text}"))
}

/// How long to measure; at least one frame is.
const MEASURED: Duration = Duration::from_secs(3);

/// Prints what the model is.
pub fn run(args: &Args) -> Result<()> {
    let device = args.device.parse::<DeviceChoice>()?.resolve()?;
    let checkpoint = args.model.checkpoint(device)?;
    let network = Network::from_checkpoint(&checkpoint, tch::Device::Cpu)?;
    let config = network.config();
    let row = |name: &str, value: String| out!("{name:<15} {value}");
    match args.model.file() {
        Some(file) => row("file", file.display().to_string()),
        None => row("bundled", args.model.name(device)?),
    }
    row(
        "variant",
        match config.variant {
            Variant::RefVsr => "RefVSR".to_owned(),
            Variant::RefVsrIr => "RefVSR-IR (information refill)".to_owned(),
            Variant::Registered => "registered (BasicVSR with registered references)".to_owned(),
            Variant::Live => "live (one branch with registered references)".to_owned(),
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
    let alike: Vec<_> = PRESETS
        .iter()
        .filter(|preset| preset.config() == *config)
        .map(|preset| preset.name)
        .collect();
    row(
        "preset",
        if alike.is_empty() {
            "none of the published ones".to_owned()
        } else {
            alike.join(", ")
        },
    );
    let unused = checkpoint.unused(&network);
    if !unused.is_empty() {
        row("unused tensors", unused.join(", "));
    }
    if let Some(name) = bundled(&args.model, device)? {
        for (what, text) in card::rows(name) {
            row(&format!("card: {what}"), text);
        }
    }
    if let Some((width, height)) = args.size {
        let network = Network::from_checkpoint(&checkpoint, device)?;
        let speed = speed::measure(network, (width, height), MEASURED)?;
        row(
            "time",
            format!(
                "{:.3} s a frame of {width}x{height} on {device:?} ({} frames measured)",
                speed.seconds_per_frame, speed.frames
            ),
        );
        row(
            "memory",
            format!(
                "{:.0} MiB of weights and remembered frames{}",
                mebibytes(speed.bytes as u64),
                match (speed.peak, device) {
                    (Some(peak), tch::Device::Cpu) =>
                        format!(", {:.0} MiB with all that a step needs", mebibytes(peak)),
                    _ => String::new(),
                }
            ),
        );
    }
    Ok(())
}

/// The name of the bundled model that this is; a file may be one too.
fn bundled(model: &Model, device: tch::Device) -> Result<Option<&'static str>> {
    let digest = model.digest(device)?;
    for one in Bundled::ALL {
        if one.content().is_some() && Model::Bundled(one).digest(device)? == digest {
            return Ok(Some(one.name()));
        }
    }
    Ok(None)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn frames(n: usize) -> String {
    format!("{n} frame{}", if n == 1 { "" } else { "s" })
}
