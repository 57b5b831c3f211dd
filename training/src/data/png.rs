//! Reading PNG frames, whole or in part, and writing them.

use anyhow::{Context, Result, ensure};
use std::{
    fs::File,
    io::{BufReader, BufWriter, Write},
    path::Path,
};
use tch::Tensor;

/// The largest width and height that are read.
const LARGEST: usize = 32_768;

/// A picture of 8-bit RGB pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height` x `width` x 3 bytes.
    pub data: Vec<u8>,
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Leftmost column.
    pub x: usize,
    /// Topmost row.
    pub y: usize,
    /// Width.
    pub width: usize,
    /// Height.
    pub height: usize,
}

impl Rect {
    /// A square, by its corner and side.
    pub fn square([x, y]: [usize; 2], side: usize) -> Self {
        Self {
            x,
            y,
            width: side,
            height: side,
        }
    }
}

impl Picture {
    /// `[3, height, width]`, fp32 in \[0, 1\].
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let pixels = self.width * self.height;
        let mut planes = vec![0f32; 3 * pixels];
        let (red, rest) = planes.split_at_mut(pixels);
        let (green, blue) = rest.split_at_mut(pixels);
        for (((pixel, r), g), b) in self.data.chunks_exact(3).zip(red).zip(green).zip(blue) {
            (*r, *g, *b) = (
                f32::from(pixel[0]) / 255.0,
                f32::from(pixel[1]) / 255.0,
                f32::from(pixel[2]) / 255.0,
            );
        }
        Ok(Tensor::f_from_slice(&planes)?.f_view([3, self.height as i64, self.width as i64])?)
    }

    /// From `[3, height, width]`, any floating-point values: rounded to the nearest code, clamped to \[0, 1\].
    ///
    /// # Errors
    /// For another shape.
    pub fn from_tensor(picture: &Tensor) -> Result<Self> {
        let size = picture.size();
        ensure!(
            size.len() == 3 && size[0] == 3,
            "a picture of shape {size:?}; [3, height, width] expected"
        );
        let codes = (picture.f_to_kind(tch::Kind::Float)?.f_clamp(0.0, 1.0)? * 255.0)
            .f_round()?
            .f_to_kind(tch::Kind::Uint8)?;
        let codes = codes.f_permute([1, 2, 0])?.f_contiguous()?;
        let mut data = vec![0; codes.numel()];
        codes.f_copy_data(&mut data, codes.numel())?;
        Ok(Self {
            width: size[2] as usize,
            height: size[1] as usize,
            data,
        })
    }
}

type Reader = png::Reader<BufReader<File>>;

fn open(path: &Path) -> Result<Reader> {
    let file = File::open(path)?;
    let mut decoder = png::Decoder::new(BufReader::with_capacity(1 << 16, file));
    decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::STRIP_16);
    let reader = decoder
        .read_info()
        .with_context(|| format!("{} is not a PNG picture that can be read", path.display()))?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    ensure!(
        width <= LARGEST && height <= LARGEST,
        "it is {width} x {height} pixels large, at most {LARGEST} x {LARGEST} are read"
    );
    Ok(reader)
}

/// Width and height, from the header alone.
///
/// # Errors
/// Where the file cannot be read; names it.
pub fn size(path: &Path) -> Result<(usize, usize)> {
    let reader = open(path).with_context(|| path.display().to_string())?;
    Ok((reader.info().width as usize, reader.info().height as usize))
}

/// A whole picture.
///
/// # Errors
/// Where the file cannot be read or is cut short; names it.
pub fn read(path: &Path) -> Result<Picture> {
    part(path, None).with_context(|| path.display().to_string())
}

/// The pixels of a rectangle. Rows below it are not decoded.
///
/// # Errors
/// As [`read`], and where the rectangle lies outside the picture.
pub fn read_part(path: &Path, rect: Rect) -> Result<Picture> {
    part(path, Some(rect)).with_context(|| path.display().to_string())
}

fn part(path: &Path, rect: Option<Rect>) -> Result<Picture> {
    let mut reader = open(path)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let rect = rect.unwrap_or(Rect {
        x: 0,
        y: 0,
        width,
        height,
    });
    ensure!(
        rect.x + rect.width <= width && rect.y + rect.height <= height,
        "it is {width} x {height} pixels large; {} x {} pixels from column {}, row {} on are needed",
        rect.width,
        rect.height,
        rect.x,
        rect.y
    );
    let channels = reader.output_color_type().0.samples();
    let mut data = Vec::with_capacity(rect.width * rect.height * 3);
    if reader.info().interlaced {
        let mut all = vec![
            0;
            reader
                .output_buffer_size()
                .context("its size is beyond this machine")?
        ];
        reader.next_frame(&mut all)?;
        for row in all
            .chunks_exact(width * channels)
            .skip(rect.y)
            .take(rect.height)
        {
            push_rgb(
                &mut data,
                &row[rect.x * channels..(rect.x + rect.width) * channels],
                channels,
            );
        }
    } else {
        for y in 0..rect.y + rect.height {
            let row = reader
                .next_row()?
                .with_context(|| format!("it ends after {y} of {height} rows"))?;
            if y >= rect.y {
                push_rgb(
                    &mut data,
                    &row.data()[rect.x * channels..(rect.x + rect.width) * channels],
                    channels,
                );
            }
        }
        if rect.y + rect.height == height {
            reader.finish()?; // checksums of what is left
        }
    }
    Ok(Picture {
        width: rect.width,
        height: rect.height,
        data,
    })
}

/// Pixels of 1 (grey), 2 (grey, alpha), 3 or 4 (alpha) channels as RGB. Alpha is dropped.
fn push_rgb(data: &mut Vec<u8>, row: &[u8], channels: usize) {
    match channels {
        3 => data.extend_from_slice(row),
        4 => row
            .chunks_exact(4)
            .for_each(|p| data.extend_from_slice(&p[..3])),
        n => row
            .chunks_exact(n)
            .for_each(|p| data.extend_from_slice(&[p[0]; 3])),
    }
}

/// Writes a picture, quickly rather than tightly packed.
///
/// # Errors
/// Where the file cannot be written; names it.
pub fn write(path: &Path, picture: &Picture) -> Result<()> {
    let write = || -> Result<()> {
        let mut encoder = png::Encoder::new(
            BufWriter::new(File::create(path)?),
            u32::try_from(picture.width)?,
            u32::try_from(picture.height)?,
        );
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&picture.data)?;
        Ok(writer.finish()?)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// Writes text beside pictures, whole or not at all.
///
/// # Errors
/// Where the file cannot be written; names it.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    let write = || -> Result<()> {
        let part = path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        Ok(std::fs::rename(&part, path)?)
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: usize, height: usize) -> Picture {
        let data = (0..width * height)
            .flat_map(|i| [i % 251, i * 7 % 253, i / width].map(|v| v as u8))
            .collect();
        Picture {
            width,
            height,
            data,
        }
    }

    #[test]
    fn parts_are_parts_of_the_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let picture = gradient(37, 23);
        write(&path, &picture).unwrap();
        assert_eq!(read(&path).unwrap(), picture);
        assert_eq!(size(&path).unwrap(), (37, 23));
        let rect = Rect {
            x: 5,
            y: 7,
            width: 11,
            height: 9,
        };
        let part = read_part(&path, rect).unwrap();
        for (y, row) in part.data.chunks_exact(33).enumerate() {
            let start = ((y + 7) * 37 + 5) * 3;
            assert_eq!(row, &picture.data[start..start + 33]);
        }
        let whole = picture.to_tensor().unwrap();
        assert_eq!(whole.size(), [3, 23, 37]);
        assert!((whole.double_value(&[1, 0, 1]) - 7.0 / 255.0).abs() < 1e-7);
        assert_eq!(Picture::from_tensor(&whole).unwrap(), picture);
    }

    #[test]
    fn other_kinds_of_png_become_rgb() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        image::GrayImage::from_fn(4, 3, |x, y| image::Luma([(10 * x + y) as u8]))
            .save(&path)
            .unwrap();
        assert_eq!(&read(&path).unwrap().data[12..15], [1, 1, 1]);
        image::RgbaImage::from_fn(4, 3, |x, _| image::Rgba([x as u8, 2, 3, 4]))
            .save(&path)
            .unwrap();
        assert_eq!(&read(&path).unwrap().data[3..6], [1, 2, 3]);
        image::ImageBuffer::<image::Rgb<u16>, _>::from_fn(4, 3, |x, _| {
            image::Rgb([x as u16 * 257, 514, 771])
        })
        .save(&path)
        .unwrap();
        assert_eq!(&read(&path).unwrap().data[3..6], [1, 2, 3]);
    }

    #[test]
    fn bad_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0007.png");
        let message = |result: Result<Picture>| format!("{:#}", result.unwrap_err());
        assert!(message(read(&path)).contains("0007.png"));
        write(&path, &gradient(40, 30)).unwrap();
        let rect = Rect {
            x: 30,
            y: 0,
            width: 11,
            height: 9,
        };
        let text = message(read_part(&path, rect));
        assert!(
            text.contains("0007.png") && text.contains("40 x 30") && text.contains("11 x 9"),
            "{text}"
        );
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(message(read(&path)).contains("0007.png"));
        std::fs::write(&path, b"no picture").unwrap();
        assert!(message(read(&path)).contains("0007.png"));
    }
}
