//! Reading what cameras recorded.

pub mod continuity;
pub mod messages;
pub mod orientation;
pub mod pictures;
pub mod reader;
pub mod stream;
pub mod timecode;

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
    /// The file or folder.
    pub fn path(&self) -> &Path {
        match self {
            Self::Recording(reader) => reader.path(),
            Self::Pictures(pictures) => pictures.path(),
        }
    }

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
