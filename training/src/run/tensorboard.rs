//! TensorBoard event files: scalars and pictures, written by hand since it takes little.
//!
//! A file is a row of records: length (u64), its checksum, data, its checksum; data are protocol-buffer `Event`s. Format:
//! tensorflow/core/lib/io/record_writer.h, util/event.proto and framework/summary.proto.

use anyhow::{Context, Result};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Writes one event file.
#[derive(Debug)]
pub struct EventFile(BufWriter<File>);

impl EventFile {
    /// A new event file in a folder. TensorBoard reads all files of a folder as one run.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn create(folder: &Path) -> Result<Self> {
        let now = now();
        // Two runs may start within the same second: number on until a name is free.
        let create = |n: u32| {
            File::create_new(
                folder.join(format!("events.out.tfevents.{:010}.refvsr.{n}", now as u64)),
            )
        };
        let file = (0..100)
            .find_map(|n| match create(n) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => None,
                other => Some(other),
            })
            .context("100 event files of this second")?
            .with_context(|| format!("TensorBoard file in {}", folder.display()))?;
        let mut events = Self(BufWriter::new(file));
        let mut event = Message::default();
        event.double(1, now);
        event.bytes(3, b"brain.Event:2");
        events.record(&event.0)?;
        Ok(events)
    }

    /// Curves' values at a step, by name.
    ///
    /// # Errors
    /// Where writing fails.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        let mut summary = Message::default();
        for (tag, value) in values {
            let mut entry = Message::default();
            entry.bytes(1, tag.as_bytes());
            entry.float(2, value as f32);
            summary.bytes(1, &entry.0);
        }
        self.summary(step, &summary)
    }

    /// A picture at a step, as a PNG file's bytes.
    ///
    /// # Errors
    /// Where writing fails.
    pub fn picture(
        &mut self,
        step: u64,
        tag: &str,
        (width, height): (u32, u32),
        png: &[u8],
    ) -> Result<()> {
        let mut picture = Message::default();
        picture.number(1, height.into());
        picture.number(2, width.into());
        picture.number(3, 3); // RGB
        picture.bytes(4, png);
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes());
        entry.bytes(4, &picture.0);
        let mut summary = Message::default();
        summary.bytes(1, &entry.0);
        self.summary(step, &summary)
    }

    fn summary(&mut self, step: u64, summary: &Message) -> Result<()> {
        let mut event = Message::default();
        event.double(1, now());
        event.number(2, step);
        event.bytes(5, &summary.0);
        self.record(&event.0)
    }

    fn record(&mut self, data: &[u8]) -> Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        for part in [
            &length[..],
            &masked_crc(&length).to_le_bytes(),
            data,
            &masked_crc(data).to_le_bytes(),
        ] {
            self.0.write_all(part)?;
        }
        Ok(self.0.flush()?)
    }
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

/// A protocol-buffer message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    fn key(&mut self, field: u64, wire: u64) {
        self.varint(field << 3 | wire);
    }

    fn number(&mut self, field: u64, n: u64) {
        self.key(field, 0);
        self.varint(n);
    }

    fn double(&mut self, field: u64, x: f64) {
        self.key(field, 1);
        self.0.extend(x.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn float(&mut self, field: u64, x: f32) {
        self.key(field, 5);
        self.0.extend(x.to_le_bytes());
    }
}

/// CRC-32C (Castagnoli).
fn crc(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut bit) = (i as u32, 0);
            while bit < 8 {
                c = if c & 1 == 1 {
                    c >> 1 ^ 0x82f6_3b78
                } else {
                    c >> 1
                };
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !data
        .iter()
        .fold(!0, |c, &byte| TABLE[(c as u8 ^ byte) as usize] ^ c >> 8)
}

fn masked_crc(data: &[u8]) -> u32 {
    crc(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnolis() {
        assert_eq!(crc(b"123456789"), 0xe306_9283);
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa); // RFC 3720, B.4
        // The mask is TensorFlow's: rotate by 15, add a constant.
        assert_eq!(masked_crc(b"").wrapping_sub(0xa282_ead8), 0);
    }

    #[test]
    fn records_can_be_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path()).unwrap();
        events
            .scalars(300, [("loss/total", 0.5), ("rate", 2e-4)])
            .unwrap();
        events.picture(300, "strip", (2, 1), b"png").unwrap();
        EventFile::create(folder.path()).unwrap(); // in the same second
        let path = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .min()
            .unwrap();
        let bytes = std::fs::read(path).unwrap();
        let (mut rest, mut records) = (&bytes[..], vec![]);
        while !rest.is_empty() {
            let word = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            assert_eq!(word(8), masked_crc(&rest[..8]));
            assert_eq!(word(12 + length), masked_crc(&rest[12..12 + length]));
            records.push(rest[12..12 + length].to_vec());
            rest = &rest[16 + length..];
        }
        assert_eq!(records.len(), 3);
        assert!(records[0].ends_with(b"\x1a\x0dbrain.Event:2"));
        // Step 300 as a varint, then the summary with two values.
        let scalar = [&b"\x0a\x0aloss/total\x15"[..], &0.5f32.to_le_bytes()].concat();
        assert_eq!(records[1][9..12], [0x10, 0xac, 0x02]);
        assert!(records[1].windows(scalar.len()).any(|w| w == scalar));
        assert!(records[2].ends_with(b"\x08\x01\x10\x02\x18\x03\x22\x03png"));
    }
}
