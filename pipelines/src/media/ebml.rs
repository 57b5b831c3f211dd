//! The elements that Matroska files are made of.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

pub const SEGMENT: u32 = 0x1853_8067;
pub const SEEK_HEAD: u32 = 0x114D_9B74;
pub const SEEK: u32 = 0x4DBB;
pub const SEEK_ID: u32 = 0x53AB;
pub const SEEK_POSITION: u32 = 0x53AC;
pub const INFO: u32 = 0x1549_A966;
pub const WRITING_APP: u32 = 0x5741;
pub const ATTACHMENTS: u32 = 0x1941_A469;
pub const ATTACHED_FILE: u32 = 0x61A7;
pub const FILE_NAME: u32 = 0x466E;
pub const FILE_TYPE: u32 = 0x4660;
pub const FILE_DATA: u32 = 0x465C;
pub const FILE_UID: u32 = 0x46AE;
const HEADER: u32 = 0x1A45_DFA3;

/// Attached files are fonts and pictures; more than this is not held in memory.
const LARGEST: u64 = 256 << 20;

/// How an element begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub id: u32,
    /// Bytes of the head itself.
    pub length: usize,
    /// Bytes of the content; none where the element ends with what follows.
    pub size: Option<u64>,
}

impl Head {
    /// Reads the head at the start of some bytes, of which twelve are enough.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let id_length = length(bytes)?;
        let id = number(bytes.get(..id_length.min(4))?);
        let rest = bytes.get(id_length..)?;
        let size_length = length(rest)?;
        let size = number(rest.get(..size_length)?);
        let all = (1u64 << (7 * size_length)) - 1;
        let size = size & all;
        Some(Self {
            id: u32::try_from(id).ok().filter(|_| id_length <= 4)?,
            length: id_length + size_length,
            size: (size != all).then_some(size),
        })
    }
}

/// Bytes of a number of varying length: one more than the first byte has zeros in front.
fn length(bytes: &[u8]) -> Option<usize> {
    let zeros = bytes.first()?.leading_zeros() as usize;
    (zeros < 8).then_some(zeros + 1)
}

/// Bytes as a number, the highest first.
pub fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// The elements in another one's content, whole, with their heads.
pub fn pieces(content: &[u8]) -> impl Iterator<Item = (Head, &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let head = Head::read(rest)?;
        let end = head.length.checked_add(usize::try_from(head.size?).ok()?)?;
        let (whole, after) = rest.split_at_checked(end)?;
        rest = after;
        Some((head, whole))
    })
}

/// The elements in another one's content: their ids and contents.
pub fn children(content: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    pieces(content).map(|(head, whole)| (head.id, &whole[head.length..]))
}

/// An element.
pub fn element(id: u32, content: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let zeros = id.iter().take_while(|byte| **byte == 0).count();
    let size = (1u64 << 56 | content.len() as u64).to_be_bytes();
    [&id[zeros..], &size, content].concat()
}

/// The head of the element at a place in a file.
pub fn head_at(file: &mut File, at: u64) -> Option<Head> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at)).ok()?;
    file.take(12).read_to_end(&mut bytes).ok()?;
    Head::read(&bytes)
}

/// Where the content of a Matroska file's one segment begins.
pub fn segment(file: &mut File) -> Option<u64> {
    let header = head_at(file, 0).filter(|head| head.id == HEADER)?;
    let at = header.length as u64 + header.size?;
    let segment = head_at(file, at).filter(|head| head.id == SEGMENT)?;
    Some(at + segment.length as u64)
}

/// The files that are attached to a Matroska file, as they lie in it: elements one after the other. Nothing where there are none, or too much.
pub fn attachments(path: &Path) -> Vec<u8> {
    let found = File::open(path).ok().and_then(|mut file| {
        let start = segment(&mut file)?;
        let (at, head) = attachments_in(&mut file, start)?;
        content(&mut file, at, head)
    });
    let found = found.unwrap_or_default();
    let files = children(&found).filter(|(id, _)| *id == ATTACHED_FILE);
    files
        .flat_map(|(id, content)| element(id, content))
        .collect()
}

/// The content of the element at a place; none where the file does not hold it, or too much of it.
fn content(file: &mut File, at: u64, head: Head) -> Option<Vec<u8>> {
    let start = at.checked_add(head.length as u64)?;
    let left = file.metadata().ok()?.len().checked_sub(start)?;
    // What a file claims to hold is not made room for.
    let size = head.size.filter(|size| *size <= LARGEST.min(left))?;
    let mut content = vec![0; size as usize];
    file.seek(SeekFrom::Start(start)).ok()?;
    file.read_exact(&mut content).ok()?;
    Some(content)
}

/// Finds the attachments among the segment's elements: by its index, or one after the other.
fn attachments_in(file: &mut File, start: u64) -> Option<(u64, Head)> {
    let length = file.metadata().ok()?.len();
    let mut at = start;
    while at < length {
        let head = head_at(file, at)?;
        if head.id == ATTACHMENTS {
            return Some((at, head));
        }
        let size = head.size?;
        if head.id == SEEK_HEAD && size <= LARGEST {
            let content = content(file, at, head)?;
            let place = seeks(&content).find(|(id, _)| *id == u64::from(ATTACHMENTS));
            let there = place.and_then(|(_, place)| {
                let at = start.checked_add(place)?;
                Some((at, head_at(file, at)?))
            });
            if let Some((at, head)) = there.filter(|(_, head)| head.id == ATTACHMENTS) {
                return Some((at, head));
            }
        }
        at = at.checked_add(head.length as u64)?.checked_add(size)?;
    }
    None
}

/// What an index says: ids, and where in the segment they lie.
fn seeks(content: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let entries = children(content).filter(|(id, _)| *id == SEEK);
    entries.filter_map(|(_, entry)| {
        let field = |wanted| children(entry).find(|(id, _)| *id == wanted);
        let (id, place) = (field(SEEK_ID)?.1, field(SEEK_POSITION)?.1);
        Some((number(id), number(place)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_of_varying_length() {
        let read = |bytes: &[u8]| Head::read(bytes).map(|head| (head.id, head.length, head.size));
        assert_eq!(read(&[0xBF, 0x84, 1, 2, 3, 4]), Some((0xBF, 2, Some(4))));
        assert_eq!(read(&[0x4D, 0xBB, 0x40, 0x80]), Some((SEEK, 4, Some(128))));
        assert_eq!(
            read(&[0x18, 0x53, 0x80, 0x67, 0xFF]),
            Some((SEGMENT, 5, None))
        );
        let whole = element(INFO, b"abc");
        assert_eq!(read(&whole), Some((INFO, 12, Some(3))));
        assert_eq!(children(&whole).collect::<Vec<_>>(), [(INFO, &b"abc"[..])]);
        for cut in 0..whole.len() {
            assert_eq!(children(&whole[..cut]).count(), 0, "{cut}");
        }
        assert_eq!(read(&[0, 1]), None);
    }

    #[test]
    fn attached_files_are_found() {
        let stored = |name: &str| {
            let media = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
            attachments(&media.join(name))
        };
        let files = stored("k1.mkv");
        let (id, file) = children(&files).next().unwrap();
        let name = children(file).find(|(id, _)| *id == FILE_NAME).unwrap();
        assert_eq!((id, name.1), (ATTACHED_FILE, &b"cover.jpg"[..]));
        for without in ["k5.mkv", "hdr.mp4", "none.mkv"] {
            assert!(stored(without).is_empty(), "{without}");
        }
    }
}
