//! The timecode at which a QuickTime or MP4 file begins. GStreamer's demuxer passes its track by.

use super::atoms::{children, index, inner, number};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A moment of a day, as a camera's timecode says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timecode {
    /// Frames since midnight.
    frames: i64,
    rate: Rate,
}

/// How timecodes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    /// Units of time a second, and in a frame.
    timescale: u32,
    frame: u32,
    /// Frames that a second has in the timecode.
    nominal: u32,
    /// Some numbers are left out, so that the timecode stays with the clock.
    drop_frame: bool,
}

impl Rate {
    /// Nanoseconds that so many frames last. A file may claim any rate, and 64 bits do not hold what follows from all of them.
    fn lasting(self, frames: i64) -> i128 {
        let units = i128::from(frames) * i128::from(self.frame) * 1_000_000_000;
        units / i128::from(self.timescale.max(1))
    }

    /// Frames from midnight to midnight.
    fn day(self) -> i64 {
        let nominal = i64::from(self.nominal);
        match self.drop_frame {
            // Two numbers in thirty of nine minutes in ten.
            true => 144 * (600 * nominal - 9 * (nominal / 15)),
            false => 86_400 * nominal,
        }
    }
}

impl Timecode {
    /// The one that a frame carries.
    pub fn of_frame(buffer: &gst::BufferRef) -> Option<Self> {
        let meta = buffer.meta::<gst_video::VideoTimeCodeMeta>()?;
        let code = meta.tc();
        let (timescale, frame) = (code.fps().numer() as u32, code.fps().denom() as u32);
        let drop_frame = code
            .flags()
            .contains(gst_video::VideoTimeCodeFlags::DROP_FRAME);
        Some(Self {
            frames: code.frames_since_daily_jam() as i64,
            rate: Rate {
                timescale,
                frame,
                nominal: timescale.div_ceil(frame.max(1)),
                drop_frame,
            },
        })
    }

    /// The one at which a file begins; none where it has no timecode track, or is of another kind.
    pub fn of_file(path: &Path) -> Option<Self> {
        let mut file = File::open(path).ok()?;
        let index = index(&mut file)?;
        let track = children(&index)
            .filter(|(kind, _)| *kind == b"trak")
            .find_map(|(_, track)| Track::read(track))?;
        let mut number = [0; 4];
        file.seek(SeekFrom::Start(track.first)).ok()?;
        file.read_exact(&mut number).ok()?;
        let frames = match track.signed {
            true => i32::from_be_bytes(number).into(),
            false => u32::from_be_bytes(number).into(),
        };
        Some(Self {
            frames,
            rate: track.rate,
        })
    }

    /// Nanoseconds from another moment to this one, where they are less than half a day apart: the timecode of a recording over midnight
    /// begins anew.
    pub fn since(self, other: Self) -> i64 {
        let (between, day) = if self.rate == other.rate {
            (
                self.rate.lasting(self.frames - other.frames),
                self.rate.lasting(self.rate.day()),
            )
        } else {
            // Cameras that count otherwise agree in what they show, by which they were set.
            (self.shown() - other.shown(), 86_400_000_000_000)
        };
        let half = day / 2;
        let since = (between + half).rem_euclid(day.max(1)) - half;
        i64::try_from(since).unwrap_or(0)
    }

    /// What is shown, as nanoseconds since midnight.
    fn shown(self) -> i128 {
        let Rate {
            nominal,
            drop_frame,
            ..
        } = self.rate;
        match drop_frame {
            true => self.rate.lasting(self.frames),
            false => i128::from(self.frames) * 1_000_000_000 / i128::from(nominal.max(1)),
        }
    }
}

/// A timecode track: how it counts, and where in the file its first number lies.
#[derive(Debug, PartialEq)]
struct Track {
    rate: Rate,
    /// Numbers may lie before midnight.
    signed: bool,
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
        // reserved bytes, flags, units a second, a frame's units, and frames a second.
        let description = inner(table, &[b"stsd"])?;
        let (flags, nominal) = (number(description, 28)?, *description.get(40)?);
        let (timescale, frame) = (number(description, 32)?, number(description, 36)?);
        let first = match (inner(table, &[b"stco"]), inner(table, &[b"co64"])) {
            (Some(offsets), _) => number(offsets, 8)?.into(),
            (None, Some(offsets)) => {
                (u64::from(number(offsets, 8)?) << 32) | u64::from(number(offsets, 12)?)
            }
            (None, None) => return None,
        };
        let counts = timescale > 0 && frame > 0 && nominal > 0;
        counts.then_some(Self {
            rate: Rate {
                timescale,
                frame,
                nominal: nominal.into(),
                drop_frame: flags & 1 != 0,
            },
            signed: flags & 4 != 0,
            first,
        })
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

    fn read(bytes: &[u8]) -> Option<i128> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mov");
        std::fs::write(&path, bytes).unwrap();
        let code = Timecode::of_file(&path)?;
        Some(code.rate.lasting(code.frames))
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

    #[test]
    fn timecodes_begin_anew_at_midnight() {
        let code = |frames, (timescale, frame, nominal, drop_frame)| Timecode {
            frames,
            rate: Rate {
                timescale,
                frame,
                nominal,
                drop_frame,
            },
        };
        let pal = (25, 1, 25, false);
        let (late, early) = (code(86_400 * 25 - 5, pal), code(5, pal));
        assert_eq!(early.since(late), 400_000_000);
        assert_eq!(late.since(early), -400_000_000);
        // A drop-frame day is 2,589,408 frames long.
        let ntsc = (30_000, 1001, 30, true);
        let (late, early) = (code(2_589_408 - 30, ntsc), code(30, ntsc));
        assert_eq!(early.since(late), 60 * 1_001_000_000 / 30);
        // A rate that no camera has: a day is more than 64 bits of nanoseconds hold.
        let odd = (1, 1000, 255, false);
        let (first, later, last) = (code(0, odd), code(9_000_000, odd), code(10_000_000, odd));
        assert_eq!(later.since(first), 9_000_000_000_000_000_000);
        assert_eq!(last.since(first), 0);
        // The one without dropped numbers shows the same time of day otherwise.
        let hour = code(108_000, (30_000, 1001, 30, false));
        let other = code(3600 * 25, pal);
        assert_eq!(hour.since(other), 0);
    }
}
