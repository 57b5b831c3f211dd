//! How a session runs.

use crate::{
    Error, ModelConfig, Precision, Result,
    config::Variant,
    net::{
        footage::Footage,
        refvsr::reduced::STEPS,
        registered::{
            Followers,
            registration::{TELE_ZOOMS, WIDE_ZOOMS, Zooms},
        },
    },
};

/// How a session runs. [`Session::options_of`] gives a model's own.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionOptions {
    /// Frames that every output has seen ahead of itself at least (m in the paper's window of 2m + 1), at
    /// most 50; `None` = the model's own.
    pub look_ahead: Option<usize>,
    /// Outputs that share one run of the backward branch, 1 to 50; `None` = the model's own
    /// ([`ModelConfig::backward_group`](crate::ModelConfig::backward_group)). A group of g costs (m + g)/g
    /// backward steps an output instead of m + 1, and g - 1 frames of look-ahead more. The registered
    /// variant's runs overlap by two outputs, in which one fades into the next: (m + g + 2)/g steps and
    /// g + 1 frames. 1 is exact; RefVSR-IR takes nothing else.
    pub backward_group: Option<usize>,
    /// What is computed in.
    pub precision: Precision,
    /// The forward recurrence starts anew every so many outputs, at least 1; `None` = never. The registered
    /// variant's new run starts four outputs earlier and fades in, which costs 4 forward steps a run.
    pub reset_interval: Option<usize>,
    /// Recurrence that runs away begins anew: where the residual (an output, reduced as the input was, less the
    /// input) or the forward branch's feature leaves what the clip's first output showed, a fresh run makes
    /// the same output for comparison, and takes over where it is better. On a CPU the output itself is
    /// replaced, on a GPU the next one, so that nothing waits. It changes nothing before that;
    /// [`Precision::Fp32`], which gives what the paper's code gives, does without.
    pub safety_net: bool,
    /// What footage it is, for models that have trunks of their own for recorded one.
    pub footage: Footage,
    /// Positions a side of the blocks that are matched as one: 1 (full density), 2, 4, 8 or 16; `None` = 1
    /// for frames of the sizes that the model's matching is made for, and for larger ones as much as a
    /// frame of 640x360 takes at the most (see [`Session::reduced_matching`](crate::Session::reduced_matching)).
    /// The registered variant does not match.
    pub matching_step: Option<usize>,
    /// The wide lens's focal length over the ultra-wide's, 0.1 to 100. The registered variant starts
    /// its search there; 0 has it search everywhere.
    pub wide_zoom: f64,
    /// The tele lens's, the same.
    pub tele_zoom: f64,
}

impl SessionOptions {
    /// Checks every field for a network's config.
    ///
    /// # Errors
    /// [`Error::Config`] with the field's name, its value and what is allowed.
    pub(super) fn validate(&self, config: &ModelConfig) -> Result<()> {
        let check = |ok: bool, field, actual: String, allowed: &str| {
            let error = || Error::Config {
                field,
                actual,
                allowed: allowed.into(),
            };
            if ok { Ok(()) } else { Err(error()) }
        };
        let text = |n: Option<usize>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
        let (m, g, reset) = (self.look_ahead, self.backward_group, self.reset_interval);
        check(m.is_none_or(|m| m <= 50), "look-ahead", text(m), "0 to 50")?;
        let groups = g.is_none_or(|g| (1..=50).contains(&g));
        check(groups, "backward group", text(g), "1 to 50")?;
        let shares = g.unwrap_or(1) == 1 || config.variant != Variant::RefVsrIr;
        check(shares, "backward group", text(g), "1 for RefVSR-IR")?;
        let allowed = "at least 1, or none (never)";
        check(reset != Some(0), "reset interval", text(reset), allowed)?;
        let step = self.matching_step;
        let known = step.is_none_or(|step| STEPS.contains(&step));
        check(known, "matching step", text(step), "1, 2, 4, 8 or 16")?;
        let least = if config.variant.registers() {
            "0 (find it), or 0.1 to 100"
        } else {
            "0.1 to 100"
        };
        let may_find = config.variant.registers();
        for (field, zoom) in [("wide zoom", self.wide_zoom), ("tele zoom", self.tele_zoom)] {
            let in_range = (0.1..=100.0).contains(&zoom) || (zoom == 0.0 && may_find);
            check(in_range, field, zoom.to_string(), least)?;
        }
        Ok(())
    }

    /// The reference cameras at a clip's start: their zooms are looked for near to those given, or
    /// everywhere where none is.
    pub(super) fn followers(&self) -> Followers {
        let zooms = |zoom: f64, all: Zooms| if zoom > 0.0 { Zooms::about(zoom) } else { all };
        Followers::new(
            zooms(self.wide_zoom, WIDE_ZOOMS),
            zooms(self.tele_zoom, TELE_ZOOMS),
        )
    }
}
