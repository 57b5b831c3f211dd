//! Files that are attached to a recording (fonts of its subtitles, a cover), which GStreamer's muxer for Matroska leaves out: they are written
//! behind all else once it has finished.

use crate::media::ebml::{
    ATTACHED_FILE, ATTACHMENTS, FILE_DATA, FILE_NAME, FILE_TYPE, FILE_UID, INFO, SEEK, SEEK_HEAD,
    SEEK_ID, SEEK_POSITION, SEGMENT, WRITING_APP, attachments, children, element, head_at, number,
    pieces, segment,
};
use crate::media::reader::Reader;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// What the muxer is to say of the program that writes.
pub const WRITER: &str = concat!(
    "refvsr ",
    env!("CARGO_PKG_VERSION"),
    ", GStreamer's matroskamux"
);
/// The same, in less room: the index needs some for one entry more.
const SHORT: &str = concat!("refvsr ", env!("CARGO_PKG_VERSION"));

/// The files attached to a recording, or the cover that a file of another kind has, as they lie in a Matroska file.
pub fn of(reader: &Reader) -> Vec<u8> {
    let attached = attachments(reader.path());
    match attached.is_empty() {
        true => cover(&reader.tags).unwrap_or_default(),
        false => attached,
    }
}

/// How many files are attached to a recording that are no pictures.
pub fn other_than_pictures(reader: &Reader) -> usize {
    let attached = attachments(reader.path());
    let is_picture = |file: &[u8]| {
        let kind = children(file).find(|(id, _)| *id == FILE_TYPE);
        kind.is_some_and(|(_, kind)| kind.starts_with(b"image/"))
    };
    children(&attached)
        .filter(|(_, file)| !is_picture(file))
        .count()
}

fn cover(tags: &gst::TagListRef) -> Option<Vec<u8>> {
    let sample = tags.get::<gst::tags::Image>()?.get();
    let kind = sample.caps()?.structure(0)?.name().to_string();
    let name = match kind.as_str() {
        "image/jpeg" => "cover.jpg",
        "image/png" => "cover.png",
        _ => return None,
    };
    let data = sample.buffer()?.map_readable().ok()?;
    let parts = [
        element(FILE_NAME, name.as_bytes()),
        element(FILE_TYPE, kind.as_bytes()),
        element(FILE_UID, &Sha256::digest(&data)[..8]),
        element(FILE_DATA, &data),
    ];
    Some(element(ATTACHED_FILE, &parts.concat()))
}

/// Adds files to a finished Matroska file. False where that is not as the muxer writes it, and stays as it is.
pub fn append(file: &mut File, attached: &[u8]) -> io::Result<bool> {
    let Some(start) = segment(file) else {
        return Ok(false);
    };
    let length = file.metadata()?.len();
    // The segment's size, eight bytes in front of its content, counts to the file's end.
    let mut size = [0; 8];
    file.seek(SeekFrom::Start(start.saturating_sub(8)))?;
    file.read_exact(&mut size)?;
    let whole = 1 << 56 | length.saturating_sub(start);
    let begins = start.checked_sub(12).and_then(|at| head_at(file, at));
    let is_whole = begins.is_some_and(|head| head.id == SEGMENT && head.length == 12);
    let head = head(file, start, length - start)?;
    let (Some(head), true) = (head, is_whole && number(&size) == whole) else {
        return Ok(false);
    };
    let attachments = element(ATTACHMENTS, attached);
    file.seek(SeekFrom::Start(length))?;
    file.write_all(&attachments)?;
    file.seek(SeekFrom::Start(start))?;
    file.write_all(&head)?;
    file.seek(SeekFrom::Start(start - 8))?;
    file.write_all(&(whole + attachments.len() as u64).to_be_bytes())?;
    Ok(true)
}

/// The index and the information that follows it, as long as they are now, with an entry more: attachments at `place`.
fn head(file: &mut File, start: u64, place: u64) -> io::Result<Option<Vec<u8>>> {
    const LARGEST: u64 = 1 << 16;
    let mut contents = Vec::new();
    let mut at = start;
    for expected in [SEEK_HEAD, INFO] {
        let head = head_at(file, at).filter(|head| head.id == expected && head.length == 12);
        let Some((head, size)) = head.and_then(|head| Some((head, head.size?))) else {
            return Ok(None);
        };
        if size > LARGEST {
            return Ok(None);
        }
        let mut content = vec![0; size as usize];
        at += head.length as u64;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut content)?;
        at += size;
        contents.push(content);
    }
    let [index, information] = &contents[..] else {
        return Ok(None);
    };
    let entry = entry(ATTACHMENTS, place);
    let Some(information) = shortened(information, entry.len()) else {
        return Ok(None);
    };
    let mut entries = Vec::new();
    for (head, whole) in pieces(index) {
        match seek(&whole[head.length..]) {
            // It moves by as much as the index grows.
            Some((INFO, place)) => {
                let moved = element(SEEK, &seek_content(INFO, place + entry.len() as u64));
                if moved.len() != whole.len() {
                    return Ok(None);
                }
                entries.extend(moved);
            }
            _ => entries.extend(whole),
        }
    }
    entries.extend(&entry);
    let head = [element(SEEK_HEAD, &entries), element(INFO, &information)].concat();
    Ok((head.len() as u64 == at - start).then_some(head))
}

/// Which element an entry of the index is about, and where it lies.
fn seek(entry: &[u8]) -> Option<(u32, u64)> {
    let field = |wanted| children(entry).find(|(id, _)| *id == wanted);
    let (id, place) = (field(SEEK_ID)?.1, field(SEEK_POSITION)?.1);
    Some((u32::try_from(number(id)).ok()?, number(place)))
}

/// As the muxer writes it.
fn seek_content(id: u32, place: u64) -> Vec<u8> {
    let mut content = SEEK_ID.to_be_bytes()[2..].to_vec();
    content.push(0x84);
    content.extend(id.to_be_bytes());
    content.extend(&SEEK_POSITION.to_be_bytes()[2..]);
    content.push(0x88);
    content.extend(place.to_be_bytes());
    content
}

fn entry(id: u32, place: u64) -> Vec<u8> {
    let content = seek_content(id, place);
    let mut entry = SEEK.to_be_bytes()[2..].to_vec();
    entry.push(0x80 | content.len() as u8);
    entry.extend(content);
    entry
}

/// The segment's information with a name of the writing program that is shorter by so many bytes.
fn shortened(information: &[u8], by: usize) -> Option<Vec<u8>> {
    let mut new = Vec::new();
    for (head, whole) in pieces(information) {
        let content = &whole[head.length..];
        if head.id != WRITING_APP || !content.starts_with(WRITER.as_bytes()) {
            new.extend(whole);
            continue;
        }
        let room = content.len().checked_sub(by)?;
        new.extend(&WRITING_APP.to_be_bytes()[2..]);
        new.push(0x80 | room as u8);
        new.extend(SHORT.bytes().chain(std::iter::repeat(0)).take(room));
    }
    (new.len() + by == information.len()).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cover_becomes_an_attached_file() {
        gst::init().unwrap();
        let tags = |kind: &str| {
            let buffer = gst::Buffer::from_slice([1, 2, 3]);
            let caps = gst::Caps::new_empty_simple(kind);
            let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
            let mut tags = gst::TagList::new();
            let inner = tags.get_mut().unwrap();
            inner.add::<gst::tags::Image>(&sample, gst::TagMergeMode::Append);
            tags
        };
        let file = cover(&tags("image/png")).unwrap();
        let (id, content) = children(&file).next().unwrap();
        let parts: Vec<_> = children(content)
            .filter(|(id, _)| *id != FILE_UID)
            .collect();
        let expected = [
            (FILE_NAME, &b"cover.png"[..]),
            (FILE_TYPE, b"image/png"),
            (FILE_DATA, &[1, 2, 3]),
        ];
        assert_eq!((id, &parts[..]), (ATTACHED_FILE, &expected[..]));
        assert_eq!(cover(&tags("image/webp")), None);
    }

    #[test]
    fn files_of_other_programs_stay_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["k5.mkv", "hdr.mp4"] {
            let media = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
            let path = folder.path().join(name);
            std::fs::copy(media.join(name), &path).unwrap();
            let mut file = File::options().read(true).write(true).open(&path).unwrap();
            assert!(!append(&mut file, b"x").unwrap(), "{name}");
            assert_eq!(
                std::fs::read(&path).unwrap(),
                std::fs::read(media.join(name)).unwrap()
            );
        }
    }
}
