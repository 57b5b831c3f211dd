//! The readers that are attacked.

mod inputs;
mod media;
mod models;
mod texts;

use crate::attack::Target;
use anyhow::Result;

/// All of them.
pub const TARGETS: [Target; 10] = [
    models::CHECKPOINT,
    models::PICKLE,
    texts::CONFIG,
    texts::MANIFEST,
    texts::NAMES,
    media::CAPS,
    media::TIMECODE,
    media::QUICKTIME,
    media::MATROSKA,
    media::PNG,
];

/// Before any is attacked.
///
/// # Errors
/// GStreamer is not there.
pub fn init() -> Result<()> {
    gst::init()?;
    // Its parser of caps warns of every one that it refuses.
    gst::glib::log_set_default_handler(|_, _, _| ());
    Ok(())
}
