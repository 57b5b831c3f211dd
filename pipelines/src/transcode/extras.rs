//! What lies in a recording besides picture and sound: chapters, attachments, further pictures.

use super::attachments;
use super::container::Container;
use crate::media::reader::Reader;
use gst::prelude::*;

/// Notes on what a recording holds more than is taken of it.
pub fn notes(reader: &Reader) -> Vec<String> {
    let file = reader.path().display();
    let mut notes = reader.unread.clone();
    let contents = &reader.contents;
    if let Some(picture) = contents.picture() {
        let all = contents
            .of_kind(crate::media::contents::Kind::Picture)
            .count();
        let size = picture
            .size()
            .map_or(String::new(), |(w, h)| format!(", {w}x{h}"));
        let why = if picture.default {
            "the file's default"
        } else {
            "the largest"
        };
        notes.push(format!(
            "{file} holds {all} pictures; one is taken, {why}{size}"
        ));
    }
    if contents.other_chapters {
        notes.push(format!(
            "{file} has chapters that GStreamer does not read; they are left out"
        ));
    }
    notes
}

/// What a file of this kind cannot hold of a recording.
pub fn left_out(reader: &Reader, container: Container) -> Vec<String> {
    let (mut notes, tags) = (Vec::new(), &reader.tags);
    if container == Container::Matroska {
        return notes;
    }
    let pictures = tags.size::<gst::tags::Image>() + tags.size::<gst::tags::PreviewImage>();
    if pictures > 0 && !matches!(container, Container::Mp4 | Container::QuickTime) {
        notes.push(
            "the cover picture is left out: files of this kind have no place for it".to_owned(),
        );
    }
    match attachments::other_than_pictures(reader) {
        0 => (),
        1 => notes.push(
            "an attached file is left out: files of this kind have no place for it".to_owned(),
        ),
        n => notes.push(format!(
            "{n} attached files are left out: files of this kind have no place for them"
        )),
    }
    notes
}

/// Gives the chapters to the muxer, `shift` nanoseconds later than in the recording. Returns a note where it takes none.
pub fn chapters(muxer: &gst::Element, chapters: &gst::Toc, shift: i64) -> Option<String> {
    let Some(setter) = muxer.dynamic_cast_ref::<gst::TocSetter>() else {
        return Some(
            "the chapters are left out: GStreamer does not write them into files of this kind"
                .to_owned(),
        );
    };
    let mut moved = gst::Toc::new(gst::TocScope::Global);
    if let Some(inner) = moved.get_mut() {
        for entry in chapters.entries() {
            inner.append_entry(later(&entry, shift));
        }
    }
    setter.set_toc(Some(&moved));
    None
}

/// An entry and all below it, later; what ends before the start is left out.
fn later(entry: &gst::TocEntry, shift: i64) -> gst::TocEntry {
    let mut moved = gst::TocEntry::new(entry.entry_type(), entry.uid());
    if let Some(inner) = moved.get_mut() {
        if let Some((start, stop)) = entry.start_stop_times() {
            inner.set_start_stop_times((start + shift).max(0), (stop + shift).max(0));
        }
        if let Some(tags) = entry.tags() {
            inner.set_tags(tags);
        }
        for below in entry.sub_entries() {
            let gone = below
                .start_stop_times()
                .is_some_and(|(_, stop)| stop + shift <= 0);
            if !gone {
                inner.append_sub_entry(later(&below, shift));
            }
        }
    }
    moved
}
