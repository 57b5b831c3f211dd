//! Frames to tensors and back: raw 8-bit RGB video files (frame after frame, no padding, as `filesink` writes them), and decoded samples.

use crate::output::scratch;
use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gst_app::AppSink;
use gst_video::prelude::*;
use image::ImageEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// Width and height of a frame in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub width: i64,
    pub height: i64,
}

impl Size {
    /// Bytes of one RGB frame.
    pub fn bytes(self) -> u64 {
        (self.width * self.height * 3) as u64
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    pub x: i64,
    pub y: i64,
    pub width: i64,
    pub height: i64,
}

impl Rect {
    /// That part of `frame`, `[1, C, H, W]`.
    pub fn of(&self, frame: &Tensor) -> Result<Tensor> {
        Ok(frame
            .f_narrow(2, self.y, self.height)?
            .f_narrow(3, self.x, self.width)?)
    }
}

/// A raw RGB video file open for reading.
#[derive(Debug)]
pub struct Reader {
    file: File,
    path: PathBuf,
    size: Size,
    len: usize,
}

impl Reader {
    /// Opens `path`, whose frames are of `size`.
    pub fn open(path: &Path, size: Size) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let bytes = file
            .metadata()
            .with_context(|| format!("cannot read {}", path.display()))?
            .len();
        ensure!(
            bytes % size.bytes() == 0,
            "{} holds {bytes} bytes, no whole number of {size} RGB frames",
            path.display()
        );
        Ok(Self {
            file,
            path: path.to_owned(),
            size,
            len: (bytes / size.bytes()) as usize,
        })
    }

    /// Number of frames.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Frame `index` as RGB `[1, 3, H, W]`, f32 in \[0, 1\].
    pub fn frame(&mut self, index: usize) -> Result<Tensor> {
        let mut bytes = vec![0; self.size.bytes() as usize];
        self.file
            .seek(SeekFrom::Start(index as u64 * self.size.bytes()))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .with_context(|| format!("cannot read frame {index} of {}", self.path.display()))?;
        let packed = Tensor::f_from_data_size(
            &bytes,
            &[1, self.size.height, self.size.width, 3],
            Kind::Uint8,
        )?;
        Ok(packed
            .f_permute([0, 3, 1, 2])?
            .f_to_kind(Kind::Float)?
            .f_div_scalar(255.0)?)
    }
}

/// Writes a raw RGB video file.
#[derive(Debug)]
pub struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
}

impl Writer {
    /// Creates `path`.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self {
            file: BufWriter::new(scratch(path)?),
            path: path.to_owned(),
        })
    }

    /// Appends a frame, RGB `[1, 3, H, W]` in \[0, 1\].
    pub fn push(&mut self, frame: &Tensor) -> Result<()> {
        self.file
            .write_all(&to_bytes(frame)?)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Writes out what is buffered.
    pub fn finish(mut self) -> Result<()> {
        self.file
            .flush()
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// A frame, RGB `[1, 3, H, W]` in \[0, 1\], as packed 8-bit RGB, rounded to nearest.
pub fn to_bytes(frame: &Tensor) -> Result<Vec<u8>> {
    let packed = frame
        .f_clamp(0.0, 1.0)?
        .f_mul_scalar(255.0)?
        .f_round()?
        .f_to_kind(Kind::Uint8)?
        .f_permute([0, 2, 3, 1])?
        .f_contiguous()?;
    let mut bytes = vec![0; packed.numel()];
    packed.f_copy_data_u8(&mut bytes, packed.numel())?;
    Ok(bytes)
}

/// A sink of samples that [`of_sample`] takes, in a form that loses nothing; few of them wait.
pub fn sink() -> AppSink {
    let deep = gst::Caps::builder("video/x-raw").field("format", "RGBA64_LE");
    let deep = deep.build();
    let sink = AppSink::builder().caps(&deep).sync(false);
    sink.max_buffers(2).build()
}

/// A decoded frame as RGB `[1, 3, H, W]`, f32 in \[0, 1\].
pub fn of_sample(sample: &gst::Sample) -> Result<Tensor> {
    let (buffer, caps) = sample
        .buffer()
        .zip(sample.caps())
        .context("a frame without content")?;
    let info = gst_video::VideoInfo::from_caps(caps)?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info)
        .map_err(|_| anyhow::anyhow!("a frame that cannot be mapped"))?;
    let (width, height) = (info.width() as usize, info.height() as usize);
    let rows = frame
        .plane_data(0)?
        .chunks(frame.plane_stride()[0] as usize)
        .take(height);
    let samples: Vec<i32> = rows
        .flat_map(|row| row[..width * 8].chunks_exact(2))
        .map(|bytes| i32::from(u16::from_le_bytes([bytes[0], bytes[1]])))
        .collect();
    Ok(Tensor::f_from_slice(&samples)?
        .f_view([1, height as i64, width as i64, 4])?
        .f_narrow(3, 0, 3)?
        .f_permute([0, 3, 1, 2])?
        .f_to_kind(Kind::Float)?
        .f_div_scalar(65535.0)?)
}

/// High enough that what JPEG adds does not look like what a method does.
const QUALITY: u8 = 93;

/// A frame as a JPEG file in base64, for pages.
pub fn jpeg(picture: &Tensor) -> Result<String> {
    let (height, width) = (picture.size()[2], picture.size()[3]);
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY)
        .encode(
            &to_bytes(picture)?,
            u32::try_from(width)?,
            u32::try_from(height)?,
            image::ExtendedColorType::Rgb8,
        )
        .context("a picture is too large for a page")?;
    Ok(STANDARD.encode(file))
}

/// A frame as a PNG file of 8 bits.
pub fn png(picture: &Tensor) -> Result<Vec<u8>> {
    let (height, width) = (picture.size()[2], picture.size()[3]);
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(
        &to_bytes(picture)?,
        u32::try_from(width)?,
        u32::try_from(height)?,
        image::ExtendedColorType::Rgb8,
    )?;
    Ok(file)
}

/// What a frame is after it went through an 8-bit file.
pub fn rounded(frame: &Tensor) -> Result<Tensor> {
    Ok(frame
        .f_clamp(0.0, 1.0)?
        .f_mul_scalar(255.0)?
        .f_round()?
        .f_div_scalar(255.0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_file() {
        let size = Size {
            width: 5,
            height: 3,
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.rgb");
        let clip: Vec<_> = (0..3)
            .map(|n| {
                ((Tensor::arange(45, (Kind::Float, tch::Device::Cpu)) + n * 50) / 255.0)
                    .view([1, 3, 3, 5])
            })
            .collect();
        let mut writer = Writer::create(&path).unwrap();
        clip.iter().for_each(|frame| writer.push(frame).unwrap());
        writer.finish().unwrap();

        let mut reader = Reader::open(&path, size).unwrap();
        assert_eq!(reader.len(), 3);
        for index in [2, 0, 1] {
            assert!(
                reader
                    .frame(index)
                    .unwrap()
                    .allclose(&clip[index], 0.0, 1e-6, false)
            );
        }
        assert!(reader.frame(3).is_err());
        assert!(
            Reader::open(
                &path,
                Size {
                    width: 7,
                    height: 7
                }
            )
            .is_err()
        );
    }

    #[test]
    fn values_are_rounded_and_clamped() {
        let t = Tensor::from_slice(&[-1.0f32, 0.4999 / 255.0, 2.0]).view([1, 3, 1, 1]);
        assert_eq!(to_bytes(&t).unwrap(), [0, 0, 255]);
        assert!(
            rounded(&t)
                .unwrap()
                .equal(&Tensor::from_slice(&[0.0f32, 0.0, 1.0]).view([1, 3, 1, 1]))
        );
    }
}
