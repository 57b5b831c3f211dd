//! Files that end before what they hold does: a copy that broke off, a card that was pulled out.
//!
//! Many containers do not say how long the picture is, but all say how long their pieces are.

use super::atoms::outer;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Packets of transport streams, and where in them the sync byte lies: plain, with a time in front (cameras), with checksums behind.
const PACKETS: [(u64, u64); 3] = [(188, 0), (192, 4), (204, 0)];
const SYNC: u8 = 0x47;
/// Packets that have to begin with it.
const PACKETS_SEEN: u64 = 4;
/// No page of an Ogg file is longer.
const OGG_PAGE: u64 = 27 + 255 + 255 * 255;
/// FLV files of more tags are not walked through: a day of video has about so many.
const FLV_TAGS: u64 = 10_000_000;

/// Whether a file ends in the middle of a piece. What is unknown counts as whole.
pub fn is_cut(path: &Path) -> bool {
    let open = || {
        let file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        Bytes { file, length }.is_cut()
    };
    open().unwrap_or(false)
}

struct Bytes {
    file: File,
    length: u64,
}

impl Bytes {
    fn at<const N: usize>(&mut self, place: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.file.seek(SeekFrom::Start(place)).ok()?;
        self.file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }

    fn is_cut(&mut self) -> Option<bool> {
        let start: [u8; 12] = self.at(0)?;
        match &start {
            [b'R', b'I', b'F', b'F', .., b'A', b'V', b'I', b' '] => self.avi(),
            [0x1a, 0x45, 0xdf, 0xa3, ..] => self.matroska(),
            [b'F', b'L', b'V', ..] => self.flv(),
            [b'O', b'g', b'g', b'S', ..] => self.ogg(),
            [0x30, 0x26, 0xb2, 0x75, ..] => self.asf(),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] | [_, _, _, _, b'm', b'd', b'a', b't', ..] => {
                self.atoms()
            }
            _ => self.transport(),
        }
    }

    fn transport(&mut self) -> Option<bool> {
        for (size, sync) in PACKETS {
            let begins = |n: u64| Some(self.at::<1>(n * size + sync)?[0] == SYNC);
            if (0..PACKETS_SEEN).map(begins).all(|is| is == Some(true)) {
                return Some(!self.length.is_multiple_of(size));
            }
        }
        None
    }

    /// Chunks that begin with RIFF, one for each gigabyte.
    fn avi(&mut self) -> Option<bool> {
        let mut at = 0;
        while let Some([b'R', b'I', b'F', b'F', size @ ..]) = self.at::<8>(at) {
            let size = u64::from(u32::from_le_bytes(size));
            if size == 0 {
                return None;
            }
            at += 8 + size;
        }
        Some(at > self.length)
    }

    /// Atoms; what follows the last known one counts for nothing.
    fn atoms(&mut self) -> Option<bool> {
        let cut = outer(&mut self.file, self.length).find(|atom| atom.end > self.length)?;
        Some([b"mdat", b"moof", b"moov"].contains(&&cut.kind))
    }

    fn matroska(&mut self) -> Option<bool> {
        use super::ebml::{Head, SEGMENT};
        let header = Head::read(&self.at::<12>(0)?)?;
        let at = header.length as u64 + header.size?;
        let segment = Head::read(&self.at::<12>(at)?)?;
        let end = at.checked_add(segment.length as u64)?;
        let end = end.checked_add(segment.size.filter(|_| segment.id == SEGMENT)?)?;
        Some(end > self.length)
    }

    /// Tags, each followed by its length.
    fn flv(&mut self) -> Option<bool> {
        let mut at = u64::from(u32::from_be_bytes(self.at(5)?)) + 4;
        for _ in 0..FLV_TAGS {
            if at == self.length {
                return Some(false);
            }
            let Some([_, a, b, c]) = self.at::<4>(at) else {
                return Some(true);
            };
            at += 11 + u64::from(u32::from_be_bytes([0, a, b, c])) + 4;
            if at > self.length {
                return Some(true);
            }
        }
        None
    }

    fn ogg(&mut self) -> Option<bool> {
        let from = self.length.saturating_sub(2 * OGG_PAGE);
        self.file.seek(SeekFrom::Start(from)).ok()?;
        let mut end = Vec::new();
        self.file.read_to_end(&mut end).ok()?;
        let page = end.windows(4).rposition(|bytes| bytes == b"OggS")?;
        let page = &end[page..];
        let segments = usize::from(*page.get(26)?);
        let Some(lengths) = page.get(27..27 + segments) else {
            return Some(true);
        };
        let content: usize = lengths.iter().map(|length| usize::from(*length)).sum();
        Some(27 + segments + content > page.len())
    }

    /// Objects of 16 bytes of name and 8 of length.
    fn asf(&mut self) -> Option<bool> {
        let mut at: u64 = 0;
        while at < self.length {
            let size = u64::from_le_bytes(self.at(at + 16)?);
            // Of a stream that was written live none is known.
            if size < 24 {
                return None;
            }
            at = at.checked_add(size)?;
        }
        Some(at > self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gst::prelude::*;

    /// Containers whose pieces tell, with what fills them.
    const KINDS: [(&str, &str); 9] = [
        ("x264enc ! h264parse", "mpegtsmux"),
        ("x264enc ! h264parse", "mpegtsmux m2ts-mode=true"),
        ("jpegenc", "avimux"),
        ("x264enc ! h264parse", "flvmux"),
        ("theoraenc", "oggmux"),
        ("x264enc ! h264parse", "mp4mux fragment-duration=500"),
        ("jpegenc", "qtmux"),
        ("vp8enc", "matroskamux"),
        ("avenc_wmv2", "asfmux"),
    ];

    #[test]
    fn what_ends_in_the_middle_is_cut() {
        gst::init().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for (encoder, muxer) in KINDS {
            let pipeline = gst::parse::launch(&format!(
                "videotestsrc num-buffers=10 ! video/x-raw,width=64,height=48,framerate=10/1,format=I420 ! {encoder} ! {muxer} \
                 ! filesink location={}",
                path.display()
            ));
            let pipeline = pipeline.unwrap();
            let bus = pipeline.bus().unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            let end = [gst::MessageType::Eos, gst::MessageType::Error];
            let message = bus.timed_pop_filtered(gst::ClockTime::NONE, &end).unwrap();
            pipeline.set_state(gst::State::Null).unwrap();
            assert_eq!(message.type_(), gst::MessageType::Eos, "{muxer}");
            assert!(!is_cut(&path), "{muxer}");
            let whole = std::fs::read(&path).unwrap();
            let middle = whole.len() * 6 / 10;
            // A cut between two packets of a transport stream does not show.
            let places = (middle..middle + 7).filter(|n| n % 188 != 0 && n % 192 != 0);
            for length in places {
                std::fs::write(&path, &whole[..length]).unwrap();
                assert!(is_cut(&path), "{muxer}, {length} bytes of {}", whole.len());
            }
        }
        for other in [&b""[..], b"GGGG", b"a text, and more of it", &[0; 4000]] {
            std::fs::write(&path, other).unwrap();
            assert!(!is_cut(&path));
        }
        assert!(!is_cut(&folder.path().join("none")));
    }
}
