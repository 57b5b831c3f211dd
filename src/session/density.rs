//! What is to be said where frames are larger than a model's matching is made for.

use crate::{ModelConfig, config::PRESETS};
use std::fmt;

/// How a clip's frames are matched with their references where that is not at full density.
#[derive(Debug, Clone, PartialEq)]
pub struct ReducedMatching {
    /// Positions a side of the blocks that are matched as one.
    pub step: usize,
    /// Multiplications and additions that a frame would take at full density.
    pub operations: f64,
    /// Names of the published models that are made for frames of this size, where there are any.
    pub better: Vec<&'static str>,
    /// Height and width of the frames.
    size: (i64, i64),
}

impl ReducedMatching {
    pub(super) fn new(
        step: usize,
        operations: f64,
        config: &ModelConfig,
        size: (i64, i64),
    ) -> Self {
        let hd = PRESETS.iter().filter(|preset| preset.config().hd);
        Self {
            step,
            operations,
            better: hd.filter(|_| !config.hd).map(|p| p.name).collect(),
            size,
        }
    }
}

impl fmt::Display for ReducedMatching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (h, w) = self.size;
        write!(
            f,
            "{w}x{h} frames are matched with their references in blocks of {0} x {0} positions: at full \
             density (matching-step=1) that alone would be {1:.1e} operations a frame",
            self.step, self.operations
        )?;
        if self.better.is_empty() {
            return Ok(());
        }
        let names = self.better.join(" and ");
        write!(f, "; models made for frames of this size are {names}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_size_step_cost_and_the_models_that_fit() {
        let config = ModelConfig::preset("refvsr-mfid").unwrap();
        let text = ReducedMatching::new(4, 3.1e14, &config, (1080, 1920)).to_string();
        let parts = [
            "1920x1080 ",
            "4 x 4 ",
            "3.1e14 ",
            "matching-step=1",
            "refvsr-small-mfid-8k",
        ];
        for part in parts {
            assert!(text.contains(part), "{part} in: {text}");
        }
        let hd = ModelConfig { hd: true, ..config };
        let text = ReducedMatching::new(2, 5e12, &hd, (2160, 3840)).to_string();
        assert!(!text.contains("models made for"), "{text}");
    }
}
