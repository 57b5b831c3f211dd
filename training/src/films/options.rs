//! What films are like.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What films are like: the section `[films]` of a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Films {
    /// How many run side by side.
    pub streams: u64,
    /// Frames of the shortest.
    pub shortest: usize,
    /// Frames of the longest.
    pub longest: usize,
    /// Frames before a part that are shown with it: how old the teacher's state is.
    pub before: usize,
    /// Share that a tripod holds.
    pub still: f64,
    /// Noise of the worst sensor, in codes of 8 bits; two films of five are clean.
    pub noise: f64,
    /// Share that is reduced otherwise than by bicubic interpolation.
    pub other_reductions: f64,
    /// Share that goes through a video encoder [default: 0].
    #[serde(default)]
    pub recorded: f64,
}

impl Films {
    /// # Errors
    /// For values out of range, by their names.
    pub fn check(&self) -> Result<()> {
        ensure!(self.streams >= 1, "films.streams is 0, at least 1 expected");
        ensure!(
            1 <= self.shortest && self.shortest <= self.longest && self.longest <= 100_000,
            "films.shortest is {} and films.longest {}; 1 or more, in this order, and at most 100000 expected",
            self.shortest,
            self.longest
        );
        ensure!(
            (0.0..=50.0).contains(&self.noise),
            "films.noise is {}, 0 to 50 expected",
            self.noise
        );
        crate::data::processor::check_shares(
            "films",
            &[
                ("still", self.still),
                ("other_reductions", self.other_reductions),
                ("recorded", self.recorded),
            ],
        )
    }
}

/// The same with what other sections say.
#[derive(Debug, Clone)]
pub struct Options {
    /// See [`Films`].
    pub films: Films,
    /// Side of a patch in input pixels.
    pub patch: usize,
    /// Output size over input size.
    pub scale: i64,
    /// Frames of a part.
    pub part: usize,
    /// Frames after the part that the network looks ahead at least; up to a part less one more.
    pub ahead: usize,
    /// Whether films are turned and flipped.
    pub augment: bool,
    /// Share whose colours are changed.
    pub recoloured: f64,
    /// All chance comes from it.
    pub seed: u64,
}

impl std::ops::Deref for Options {
    type Target = Films;

    fn deref(&self) -> &Films {
        &self.films
    }
}
