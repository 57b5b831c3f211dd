//! How the camera was held, as a file says it.

use super::atoms::{children, index, inner, number};
use super::orientation::Orientation;
use std::fs::File;
use std::path::Path;

/// The matrix of a track of a QuickTime or MP4 file, which GStreamer's demuxer reads where it only turns. `stream` is the stream's name, which
/// ends in the track's number.
pub fn of_track(path: &Path, stream: &str) -> Option<Orientation> {
    let track: u32 = stream.rsplit('/').next()?.parse().ok()?;
    let index = index(&mut File::open(path).ok()?)?;
    children(&index)
        .filter(|(kind, _)| *kind == b"trak")
        .filter_map(|(_, content)| inner(content, &[b"tkhd"]))
        .find_map(|header| of_header(header, track))
}

/// The matrix in the header of this track.
fn of_header(header: &[u8], track: u32) -> Option<Orientation> {
    // Version 1 has times of 8 bytes instead of 4.
    let (id, matrix) = if *header.first()? == 1 {
        (20, 52)
    } else {
        (12, 40)
    };
    if number(header, id)? != track {
        return None;
    }
    let at = |n: usize| Some(number(header, matrix + 4 * n)? as i32);
    Orientation::from_matrix((at(0)?, at(1)?), (at(3)?, at(4)?))
}

/// What the tags of a stream or file say.
pub fn of_tags(tags: &gst::TagListRef) -> Option<Orientation> {
    if let Some(tag) = tags.get::<gst::tags::ImageOrientation>() {
        return Some(Orientation::from_tag(tag.get()));
    }
    // As other programs tag a Matroska file: how far to turn it clockwise.
    tags.iter_tag::<gst::tags::ExtendedComment>()
        .find_map(|comment| {
            let (name, value) = comment.get().split_once('=')?;
            let turn = name.eq_ignore_ascii_case("rotate").then_some(value)?;
            Some(Orientation::from_tag(&format!("rotate-{}", turn.trim())))
        })
}
