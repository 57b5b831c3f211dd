//! Reading what cameras recorded.

mod atoms;
pub mod changes;
pub mod colours;
pub mod contents;
pub mod continuity;
mod cut;
pub mod decoded;
pub mod ebml;
mod kind;
mod memory;
pub mod messages;
pub mod orientation;
pub mod pictures;
pub mod player;
pub mod reader;
mod rotation;
pub mod stream;
pub mod timecode;
mod times;
pub mod track;

use crate::stop::Stop;
use anyhow::Result;
use pictures::Pictures;
use reader::Reader;
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

    /// How long it is, where that is known.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        match self {
            Self::Recording(reader) => reader.duration(),
            Self::Pictures(pictures) => Some(pictures.duration()),
        }
    }

    /// The picture's size and format.
    pub fn format(&self) -> Result<gst_video::VideoInfo> {
        match self {
            Self::Recording(reader) => reader.format(),
            Self::Pictures(pictures) => Ok(pictures.format().clone()),
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

/// What is taken out of a recording besides its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Take {
    pub sound: bool,
    pub subtitles: bool,
}

/// Opens a video file, or a folder of numbered PNG files of this frame rate.
///
/// # Errors
/// One message that names the file.
pub fn open(path: &Path, framerate: gst::Fraction, take: Take, stop: &Stop) -> Result<Footage> {
    if path.is_dir() {
        return Ok(Footage::Pictures(Pictures::open(path, framerate)?));
    }
    kind::check(path)?;
    Ok(Footage::Recording(Reader::open(path, take, stop)?))
}
