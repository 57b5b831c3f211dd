//! The timecode at which a QuickTime or MP4 file begins. GStreamer's demuxer passes its track by.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A file's index (`moov`) is no larger; that of a day of video has a few megabytes.
const LARGEST_INDEX: u64 = 256 << 20;

/// The time of day of the first frame in nanoseconds; none where the file has no timecode track, or is of another kind.
pub fn of_file(path: &Path) -> Option<u64> {
    let mut file = File::open(path).ok()?;
    let index = index(&mut file)?;
    let track = children(&index)
        .filter(|(kind, _)| *kind == b"trak")
        .find_map(|(_, track)| Track::read(track))?;
    let mut number = [0; 4];
    file.seek(SeekFrom::Start(track.first)).ok()?;
    file.read_exact(&mut number).ok()?;
    track.time(u32::from_be_bytes(number))
}

/// The content of the file's `moov` atom.
fn index(file: &mut File) -> Option<Vec<u8>> {
    let length = file.metadata().ok()?.len();
    let mut at = 0;
    while at < length {
        file.seek(SeekFrom::Start(at)).ok()?;
        let mut head = [0; 16];
        file.read_exact(&mut head[..8]).ok()?;
        let (size, head_size) = match number(&head, 0)? {
            0 => (length - at, 8),
            1 => {
                file.read_exact(&mut head[8..]).ok()?;
                (
                    (u64::from(number(&head, 8)?) << 32) | u64::from(number(&head, 12)?),
                    16,
                )
            }
            size => (u64::from(size), 8),
        };
        let inside = size.checked_sub(head_size)?;
        if &head[4..8] == b"moov" {
            if inside > LARGEST_INDEX {
                return None;
            }
            let mut content = vec![0; inside as usize];
            file.read_exact(&mut content).ok()?;
            return Some(content);
        }
        at = at.checked_add(size)?;
    }
    None
}

/// The atoms in another one's content: their kinds and contents.
fn children(content: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
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
fn inner<'a>(content: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(content, |content, wanted| {
        children(content)
            .find(|(kind, _)| kind == wanted)
            .map(|(_, inside)| inside)
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// A timecode track: how it counts, and where in the file its first number lies.
#[derive(Debug, PartialEq)]
struct Track {
    timescale: u32,
    frame: u32,
    first: u64,
}

impl Track {
    /// Reads a track; none where it is of another kind.
    fn read(track: &[u8]) -> Option<Self> {
        let handler = inner(track, &[b"mdia", b"hdlr"])?;
        if handler.get(8..12)? != b"tmcd" {
            return None;
        }
        let table = inner(track, &[b"mdia", b"minf", b"stbl"])?;
        // Version and flags, then how many descriptions there are. In each: size and format, 6 reserved bytes and an index, 4
        // reserved bytes, flags, units a second, and a frame's units.
        let description = inner(table, &[b"stsd"])?;
        let (timescale, frame) = (number(description, 32)?, number(description, 36)?);
        let first = match (inner(table, &[b"stco"]), inner(table, &[b"co64"])) {
            (Some(offsets), _) => number(offsets, 8)?.into(),
            (None, Some(offsets)) => {
                (u64::from(number(offsets, 8)?) << 32) | u64::from(number(offsets, 12)?)
            }
            (None, None) => return None,
        };
        Some(Self {
            timescale,
            frame,
            first,
        })
    }

    /// When the frame of this number is, in nanoseconds. Numbers are counted through, so that those which a drop-frame timecode does
    /// not show make no difference.
    fn time(&self, number: u32) -> Option<u64> {
        let units = u128::from(number) * u128::from(self.frame) * 1_000_000_000;
        u64::try_from(units.checked_div(self.timescale.into())?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn atom(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = (content.len() as u32 + 8).to_be_bytes();
        [&size[..], kind, content].concat()
    }

    fn words(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    /// A file whose `moov` is last, as cameras write it, with a large `mdat` before.
    fn file(handler: &[u8; 4], timescale: u32, value: u32) -> Vec<u8> {
        let data = [
            &1u32.to_be_bytes()[..],
            b"mdat",
            &24u64.to_be_bytes(),
            &value.to_be_bytes(),
            &[0; 4],
        ]
        .concat();
        let place = (16 + 8 + 4) as u32;
        let handler = [&[0; 8][..], handler, &[0; 12]].concat();
        let description = [
            words(&[0, 1, 34]),
            b"tmcd".to_vec(),
            words(&[0, 1, 0, 0, timescale, 1001]),
            vec![30, 0],
        ]
        .concat();
        let table = [
            atom(b"stsd", &description),
            atom(b"stco", &words(&[0, 1, place])),
        ]
        .concat();
        let media = [
            atom(b"hdlr", &handler),
            atom(b"minf", &atom(b"stbl", &table)),
        ]
        .concat();
        let track = atom(b"trak", &atom(b"mdia", &media));
        [
            atom(b"ftyp", b"qt  "),
            data,
            atom(b"moov", &[atom(b"mvhd", &[0; 20]), track].concat()),
        ]
        .concat()
    }

    fn read(bytes: &[u8]) -> Option<u64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mov");
        std::fs::write(&path, bytes).unwrap();
        of_file(&path)
    }

    #[test]
    fn the_first_number_is_read_wherever_the_index_lies() {
        // An hour, in frames of 1001/30000 s.
        let hour = 107_892;
        assert_eq!(read(&file(b"tmcd", 30_000, hour)), Some(3_599_996_400_000));
    }

    #[test]
    fn other_files_and_damaged_ones_have_none() {
        assert_eq!(read(&file(b"vide", 30_000, 5)), None);
        assert_eq!(read(&file(b"tmcd", 0, 5)), None);
        assert_eq!(read(b"\x1aE\xdf\xa3 something else"), None);
        let whole = file(b"tmcd", 30_000, 5);
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length} bytes");
        }
    }
}
