//! A clip in the making: what it is made by, and its frames.

use super::{
    camera::{Amounts, Character, Path},
    clip::ClipWriter,
    relief::Relief,
    render::{self, Scene},
};
use crate::data::{processor::Processor, random::Random, tree::Lens};
use anyhow::Result;
use serde::Serialize;

/// All that a clip is made by. Two clips of equal recipes are equal.
#[derive(Debug, Clone, Serialize)]
pub struct Recipe {
    pub program: &'static str,
    pub source: String,
    pub source_sha256: String,
    pub licence: String,
    pub seed: u64,
    /// The clip's number among those of its source.
    pub number: usize,
    /// The video's frame it starts at.
    pub first_frame: usize,
    pub frames: usize,
    pub size: (usize, usize),
    pub view: f64,
    pub amounts: Amounts,
    /// Not in the records of flat scenes.
    #[serde(skip_serializing_if = "is_zero")]
    pub parallax: f64,
    /// Not in the records of lenses that are alike.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub processing: bool,
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

/// Pixels of a full-size frame that become one of those that networks are given (LRx4).
const INPUT_PIXEL: f64 = 4.0;

/// A clip in the making.
pub struct Clip {
    pub writer: ClipWriter,
    pub way: Path,
    pub lenses: [Character; 3],
    /// Of the lenses that have their own.
    pub processors: Vec<(Lens, Processor)>,
    pub noise: u64,
    pub relief: Option<Relief>,
    pub recipe: Recipe,
}

impl Clip {
    pub fn frame(&mut self, scene: &mut Scene, frame: usize) -> Result<()> {
        let (width, height) = self.recipe.size;
        let main = self.way.at(frame);
        let share = frame as f64 / self.recipe.frames.max(2) as f64;
        for (n, lens) in self.lenses.iter().enumerate() {
            let shift = |relief: &Relief| {
                relief
                    .shift(lens.lens, frame)
                    .map(|share| share * width as f64 * main.scale)
            };
            let depth = self
                .relief
                .as_ref()
                .map(|relief| (&relief.depth, shift(relief)));
            let mut seen = scene.view(lens.view(main, width, share), width, height, depth)?;
            let own = self.processors.iter().find(|(of, _)| *of == lens.lens);
            if let Some((_, processor)) = own {
                seen = processor.developed(&processor.seen(&seen, INPUT_PIXEL)?)?;
            }
            let mut random = Random::new(self.noise, n as u64, frame as u64);
            let picture = render::expose(&render::develop(&seen, lens)?, lens, &mut random)?;
            self.writer.frame(lens.lens, frame, picture)?;
        }
        Ok(())
    }

    pub fn finish(self) -> Result<()> {
        self.writer.finish()
    }
}
