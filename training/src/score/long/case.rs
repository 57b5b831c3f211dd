//! What is filmed, and how: one row of cases.

use crate::footage::{
    recorded::{Encoder, Recording},
    shot::Motion,
};
use serde::{Deserialize, Serialize};

/// A clip that models are measured on. Equal cases give equal clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The source's file name.
    pub source: String,
    /// Its content.
    pub source_sha256: String,
    /// How the camera is held. None of a recording that is enlarged as it is.
    pub motion: Option<Motion>,
    /// Sensor noise: standard deviation in codes.
    pub noise: f64,
    /// How frames are recorded. None: 8-bit RGB.
    pub recording: Option<Recording>,
    /// Width and height of the truth.
    pub size: (usize, usize),
    /// At most so many frames; videos may have fewer.
    pub frames: usize,
    /// Whether the wide camera has an image processor of its own.
    pub processing: bool,
    /// What chance comes from.
    pub seed: u64,
}

impl Case {
    /// In words.
    pub fn name(&self) -> String {
        let motion = match self.motion {
            None => return format!("{}, as recorded", self.source),
            Some(Motion::Tripod) => "tripod",
            Some(Motion::Pan) => "slow pan",
            Some(Motion::HandHeld) => "hand-held",
            Some(Motion::StopAndGo) => "stop and go",
        };
        let recorded = self.recording.map_or_else(String::new, |how| {
            let encoder = match how.encoder {
                Encoder::X264 => "x264",
                Encoder::X265 => "x265",
                Encoder::Vp9 => "VP9",
            };
            format!(", {encoder} at {}", how.quantizer)
        });
        format!("{}, {motion}, noise {}{recorded}", self.source, self.noise)
    }
}
