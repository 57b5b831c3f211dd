//! Reading what cameras recorded.

pub mod messages;
pub mod orientation;
pub mod pictures;
pub mod reader;

use crate::stop::Stop;
use anyhow::Result;
use pictures::Pictures;
use reader::{Reader, Sound};
use std::path::Path;

/// What a camera recorded.
#[derive(Debug)]
pub enum Footage {
    Recording(Reader),
    Pictures(Pictures),
}

impl Footage {
    /// The pictures, where it is a folder of them.
    pub fn pictures(&self) -> Option<&Pictures> {
        match self {
            Self::Recording(_) => None,
            Self::Pictures(pictures) => Some(pictures),
        }
    }
}

/// Opens a video file, or a folder of numbered PNG files of this frame rate.
///
/// # Errors
/// One message that names the file.
pub fn open(path: &Path, framerate: gst::Fraction, sound: bool, stop: &Stop) -> Result<Footage> {
    if path.is_dir() {
        return Ok(Footage::Pictures(Pictures::open(path, framerate)?));
    }
    let sound = if sound { Sound::Copy } else { Sound::Ignore };
    Ok(Footage::Recording(Reader::open(path, sound, stop)?))
}
