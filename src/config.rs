//! What kind of RefVSR network it is: the published presets, and the same read off a checkpoint.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// The family a network belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variant {
    /// RefVSR, as in the paper.
    #[serde(rename = "RefVSR")]
    RefVsr,
    /// RefVSR-IR, with information refill from key frames.
    #[serde(rename = "RefVSR-IR")]
    RefVsrIr,
    /// A network of our own: BasicVSR, and references registered to a fraction of a pixel.
    #[serde(rename = "registered")]
    Registered,
    /// The same for viewfinders: the forward branch alone, without look-ahead, and all work at the frame's own size.
    #[serde(rename = "live")]
    Live,
}

impl Variant {
    /// Whether it is a network of our own, which registers references in place of matching them.
    pub fn registers(self) -> bool {
        matches!(self, Self::Registered | Self::Live)
    }
}

/// How features travel from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recurrence {
    /// As the published weights were trained: warping samples with the `align_corners` mismatch, and inside a first run
    /// the level-2 state is replaced by the warped level-1 feature.
    Upstream,
    /// True pixel sampling, and the level-2 state is warped at every step, so that training and streaming compute the same.
    Clean,
}

/// Everything that determines the network's shape and schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The family.
    pub variant: Variant,
    /// Channels of the features (the paper's C; upstream's `mid_channels`), 1 to 512.
    pub mid_channels: i64,
    /// Residual blocks of each trunk (`num_blocks`), 1 to 200.
    pub num_blocks: i64,
    /// Frames in the window, odd (`frame_num`); half of them, rounded down, is the look-ahead.
    pub frame_num: usize,
    /// Output size over input size, 2 or 4.
    pub scale: i64,
    /// The network takes full-resolution input and matches on a reduced image (upstream's `flag_HD_in`, the 8K models).
    pub hd: bool,
    /// The forward recurrence starts anew every so many outputs; `None` = never (upstream's `reset_branch`).
    /// The registered variant's new run fades in; published networks start at once.
    pub reset_interval: Option<usize>,
    /// How features travel from frame to frame.
    pub recurrence: Recurrence,
    /// Levels of the flow network's pyramid, 0 to 6. Published networks have all 6, and find motion at
    /// the frame's own size; each level less halves the size at which it is found, before it is refined in
    /// closed form (registered variant only). With 0 all of it is found in closed form (live variant only).
    #[serde(default = "all_levels", skip_serializing_if = "are_all")]
    pub flow_levels: usize,
    /// How often the forward branch looks at a clip's first frame, 1 to 9, as if it had stood still before. After one look the
    /// second output of a still shot differs from the first by a step that is seen, where nothing else is known
    /// (registered and live variant only; the others look once, as they were trained).
    #[serde(default = "once", skip_serializing_if = "is_once")]
    pub first_looks: usize,
    /// It has a second set of trunks, for [recorded footage](crate::net::footage::Footage::Recorded)
    /// (registered variant only).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recorded: bool,
}

/// Levels of a whole SPyNet.
pub const FLOW_LEVELS: usize = 6;

fn all_levels() -> usize {
    FLOW_LEVELS
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn are_all(levels: &usize) -> bool {
    *levels == FLOW_LEVELS
}

fn once() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_once(looks: &usize) -> bool {
    *looks == 1
}

/// A published model's name and config (paper, table 1; upstream's config files).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Its name, as in `refvsr-small-mfid`.
    pub name: &'static str,
    variant: Variant,
    mid_channels: i64,
    num_blocks: i64,
    frame_num: usize,
    hd: bool,
    reset_interval: Option<usize>,
}

const fn preset(
    name: &'static str,
    mid_channels: i64,
    num_blocks: i64,
    frame_num: usize,
    reset_interval: Option<usize>,
) -> Preset {
    Preset {
        name,
        variant: Variant::RefVsr,
        mid_channels,
        num_blocks,
        frame_num,
        hd: false,
        reset_interval,
    }
}

/// All published models. Their scale is 4 and their recurrence [`Recurrence::Upstream`].
pub const PRESETS: [Preset; 8] = [
    preset("refvsr-mfid", 48, 30, 7, Some(9)),
    preset("refvsr-l1", 48, 30, 13, Some(26)),
    preset("refvsr-small-mfid", 24, 24, 7, Some(9)),
    preset("refvsr-small-l1", 24, 24, 13, Some(26)),
    Preset {
        variant: Variant::RefVsrIr,
        ..preset("refvsr-ir-l1", 36, 30, 13, Some(26))
    },
    Preset {
        variant: Variant::RefVsrIr,
        ..preset("refvsr-ir-mfid", 36, 30, 9, Some(5))
    },
    Preset {
        hd: true,
        ..preset("refvsr-mfid-8k", 48, 30, 7, None)
    },
    Preset {
        hd: true,
        ..preset("refvsr-small-mfid-8k", 24, 24, 3, Some(9))
    },
];

impl Preset {
    /// The preset as a config.
    pub fn config(&self) -> ModelConfig {
        ModelConfig {
            variant: self.variant,
            mid_channels: self.mid_channels,
            num_blocks: self.num_blocks,
            frame_num: self.frame_num,
            scale: 4,
            hd: self.hd,
            reset_interval: self.reset_interval,
            recurrence: Recurrence::Upstream,
            flow_levels: FLOW_LEVELS,
            first_looks: 1,
            recorded: false,
        }
    }
}

impl ModelConfig {
    /// The config of a published model, by name.
    ///
    /// # Errors
    /// [`Error::UnknownPreset`], with all names there are.
    pub fn preset(name: &str) -> Result<Self> {
        PRESETS
            .iter()
            .find(|p| p.name == name)
            .map(Preset::config)
            .ok_or_else(|| Error::UnknownPreset {
                name: name.to_owned(),
                known: PRESETS.map(|p| p.name).join(", "),
            })
    }

    /// Whether windows reach beyond a clip's ends, where its first and last frames are repeated: as published. With clean recurrence they end where the
    /// clip does, as BasicVSR's do, which is better and less work; but for RefVSR-IR, which counts its key frames by their place in a window.
    pub fn repeats_clip_ends(&self) -> bool {
        self.recurrence == Recurrence::Upstream || self.variant == Variant::RefVsrIr
    }

    /// Frames that must follow a frame before it can be put out (m in the paper's window of 2m + 1).
    pub fn look_ahead(&self) -> usize {
        self.frame_num / 2
    }

    /// Outputs that share one run of the backward branch where nothing else is asked for: 1 for upstream's
    /// recurrence and for RefVSR-IR, which are computed as published. Else 6, from where on neither the
    /// pictures nor the time gain much (docs/performance.md), and 8 for the registered variant, whose runs
    /// overlap.
    pub fn backward_group(&self) -> usize {
        match self.variant {
            Variant::Registered => 8,
            Variant::Live => 1,
            _ if self.repeats_clip_ends() => 1,
            _ => 6,
        }
    }

    /// Matching kernel K: one matched position stands for K x K reference pixels.
    pub fn matching_kernel(&self) -> i64 {
        let base = if self.scale == 4 { 2 } else { 4 };
        if self.hd { base * self.scale } else { base }
    }

    /// Frame heights and widths are padded to a multiple of this many pixels.
    pub fn size_multiple(&self) -> i64 {
        if self.variant.registers() {
            1
        } else {
            self.matching_kernel()
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name, its value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        let check = |ok: bool, field, actual: String, allowed: &str| {
            if ok {
                Ok(())
            } else {
                Err(Error::Config {
                    field,
                    actual,
                    allowed: allowed.to_owned(),
                })
            }
        };
        check(
            (1..=512).contains(&self.mid_channels),
            "mid_channels",
            self.mid_channels.to_string(),
            "1 to 512",
        )?;
        check(
            (1..=200).contains(&self.num_blocks),
            "num_blocks",
            self.num_blocks.to_string(),
            "1 to 200",
        )?;
        check(
            self.frame_num % 2 == 1 && self.frame_num <= 101,
            "frame_num",
            self.frame_num.to_string(),
            "an odd number from 1 to 101",
        )?;
        check(
            matches!(self.scale, 2 | 4),
            "scale",
            self.scale.to_string(),
            "2 or 4",
        )?;
        if self.variant.registers() {
            let plain = self.scale == 4 && !self.hd && self.recurrence == Recurrence::Clean;
            check(
                plain,
                "variant",
                format!(
                    "{:?} with scale {}, hd {}, recurrence {:?}",
                    self.variant, self.scale, self.hd, self.recurrence
                ),
                "Registered or Live with scale 4, hd false, recurrence Clean",
            )?;
        }
        check(
            !self.recorded || self.variant.registers(),
            "recorded",
            "true".to_owned(),
            "false, but for the registered and the live variant",
        )?;
        let least = match self.variant {
            Variant::Registered => 1,
            Variant::Live => 0,
            _ => FLOW_LEVELS,
        };
        check(
            (least..=FLOW_LEVELS).contains(&self.flow_levels),
            "flow_levels",
            self.flow_levels.to_string(),
            "0 to 6 for the live variant, 1 to 6 for the registered one, else 6",
        )?;
        let most = if self.variant.registers() { 9 } else { 1 };
        check(
            (1..=most).contains(&self.first_looks),
            "first_looks",
            self.first_looks.to_string(),
            "1 to 9 for the registered and the live variant, else 1",
        )?;
        check(
            self.reset_interval != Some(0),
            "reset_interval",
            "0".to_owned(),
            "null (never) or at least 1",
        )
    }
}

#[cfg(test)]
mod tests;
