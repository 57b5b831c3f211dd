//! The index of a QuickTime or MP4 file, for what GStreamer's demuxer passes by.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A file's index (`moov`) is no larger; that of a day of video has a few megabytes.
const LARGEST_INDEX: u64 = 256 << 20;

/// An atom of a file, not in another one: its kind, where its content begins, and where it ends by its own account.
#[derive(Debug, Clone, Copy)]
pub struct Outer {
    pub kind: [u8; 4],
    pub content: u64,
    pub end: u64,
}

/// The outer atoms of a file of this length, one after the other, up to one that makes no sense.
pub fn outer(file: &mut File, length: u64) -> impl Iterator<Item = Outer> {
    let mut at = 0;
    std::iter::from_fn(move || {
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut head = [0; 16];
        file.read_exact(&mut head[..8]).ok()?;
        let (size, head_size) = match number(&head, 0)? {
            0 => (length.checked_sub(at)?, 8),
            1 => {
                file.read_exact(&mut head[8..]).ok()?;
                let size = head[8..].try_into().ok()?;
                (u64::from_be_bytes(size), 16)
            }
            size => (u64::from(size), 8),
        };
        let content = at.checked_add(head_size)?;
        at = at.checked_add(size)?;
        (content <= at).then_some(Outer {
            kind: head[4..8].try_into().ok()?,
            content,
            end: at,
        })
    })
}

/// The content of the file's `moov` atom.
pub fn index(file: &mut File) -> Option<Vec<u8>> {
    let length = file.metadata().ok()?.len();
    let found = outer(file, length).find(|atom| &atom.kind == b"moov")?;
    // What a file claims to hold is not made room for.
    if found.end > length || found.end - found.content > LARGEST_INDEX {
        return None;
    }
    let mut content = vec![0; (found.end - found.content) as usize];
    file.seek(SeekFrom::Start(found.content)).ok()?;
    file.read_exact(&mut content).ok()?;
    Some(content)
}

/// The atoms in another one's content: their kinds and contents.
pub fn children(content: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let size = number(rest, 0)? as usize;
        let kind = rest.get(4..8)?.try_into().ok()?;
        let inside = rest.get(8..size)?;
        rest = &rest[size..];
        Some((kind, inside))
    })
}

/// The content of the atom at the end of a path of kinds.
pub fn inner<'a>(content: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(content, |content, wanted| {
        children(content)
            .find(|(kind, _)| kind == wanted)
            .map(|(_, inside)| inside)
    })
}

/// The four bytes at a place, as a number.
pub fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// Whether a QuickTime or MP4 file has chapters: a track of them that another one names, or a list.
pub fn has_chapters(path: &Path) -> bool {
    let index = File::open(path).ok().and_then(|mut file| index(&mut file));
    let Some(index) = index else {
        return false;
    };
    let named = children(&index)
        .any(|(kind, track)| kind == b"trak" && inner(track, &[b"tref", b"chap"]).is_some());
    named || inner(&index, &[b"udta", b"chpl"]).is_some()
}
