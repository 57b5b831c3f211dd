//! Reads a network's config off the names and shapes of its tensors.

use super::{problem::Problem, tensors::Tensors};
use crate::{
    ModelConfig,
    config::{FLOW_LEVELS, PRESETS, Recurrence, Variant},
    error::CheckpointProblem,
};
use std::path::Path;

/// The config that tensors under upstream's names imply. The window and the reset interval leave no trace in the weights: they are those of the
/// published model of this shape. Of two that differ in their loss only, `l1` in the file's name chooses that one; else it is the MFID one.
pub fn config_of(tensors: &Tensors, path: &Path) -> Problem<ModelConfig> {
    let any = |start: &str| tensors.keys().any(|name| name.starts_with(start));
    if any("last.") && any("forward_trunk.") {
        return Ok(live(tensors));
    }
    let Some(conv_hr) = tensors.get("conv_hr.weight") else {
        let some = tensors
            .keys()
            .take(3)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        return Err(CheckpointProblem::NotRefVsr(format!(
            "no tensor 'conv_hr.weight' among its {} ({some}, ...)",
            tensors.len()
        )));
    };
    if any("forward_trunk.") {
        return Ok(registered(tensors));
    }
    let variant = if any("edvr.") {
        Variant::RefVsrIr
    } else {
        Variant::RefVsr
    };
    let scale = if any("upsample2.") { 4 } else { 2 };
    let hd = scale == 4 && any("feature_match.feature_extract.map128.");
    let mid_channels = conv_hr.size().first().copied().unwrap_or(0);
    let num_blocks = blocks(tensors, "forward_resblocks");

    let stem = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let l1 = stem
        .split(|c: char| !c.is_alphanumeric())
        .any(|word| word == "l1");
    let mut published = PRESETS.iter().filter(|p| {
        let c = p.config();
        (c.variant, c.mid_channels, c.num_blocks, c.hd) == (variant, mid_channels, num_blocks, hd)
            && p.name.contains("-l1") == l1
    });
    let shape = ModelConfig {
        variant,
        mid_channels,
        num_blocks,
        scale,
        hd,
        // Most published models'.
        frame_num: 7,
        reset_interval: Some(9),
        recurrence: Recurrence::Upstream,
        flow_levels: FLOW_LEVELS,
        first_looks: 1,
        recorded: false,
    };
    Ok(match published.next().map(|p| p.config()) {
        Some(p) => ModelConfig {
            frame_num: p.frame_num,
            reset_interval: p.reset_interval,
            ..shape
        },
        None => shape,
    })
}

/// BasicVSR's own file, which is the registered variant before its fusions are trained. Its branches see
/// the whole clip; the window is a choice of ours.
fn registered(tensors: &Tensors) -> ModelConfig {
    let head = tensors.get("forward_trunk.main.0.weight");
    ModelConfig {
        variant: Variant::Registered,
        mid_channels: head.and_then(|t| t.size().first().copied()).unwrap_or(0),
        num_blocks: blocks(tensors, "forward_trunk"),
        frame_num: 7,
        scale: 4,
        hd: false,
        reset_interval: None,
        recurrence: Recurrence::Clean,
        flow_levels: numbered(tensors, "spynet.basic_module."),
        first_looks: 1,
        recorded: tensors.keys().any(|name| name.starts_with("recorded.")),
    }
}

/// The live variant has one branch, and sees no frame but those that came.
fn live(tensors: &Tensors) -> ModelConfig {
    ModelConfig {
        variant: Variant::Live,
        frame_num: 1,
        ..registered(tensors)
    }
}

/// Residual blocks of a trunk.
fn blocks(tensors: &Tensors, trunk: &str) -> i64 {
    i64::try_from(numbered(tensors, &format!("{trunk}.main.2."))).unwrap_or(i64::MAX)
}

/// How many parts there are whose names are a start and a number: one more than the highest number.
fn numbered(tensors: &Tensors, start: &str) -> usize {
    let number = |name: &str| {
        name.strip_prefix(start)?
            .split('.')
            .next()?
            .parse::<usize>()
            .ok()
    };
    tensors
        .keys()
        .filter_map(|name| number(name))
        .max()
        .map_or(0, |n| n.saturating_add(1))
}
