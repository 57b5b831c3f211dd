//! PNG files to tensors, in the depth that they have.

use anyhow::{Context, Result, anyhow};
use image::{DynamicImage, ImageError};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// Decodes a PNG file.
///
/// # Errors
/// Names the file that is no PNG file.
pub fn read(file: &Path) -> Result<DynamicImage> {
    let mut reader = image::ImageReader::open(file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    reader.set_format(image::ImageFormat::Png);
    reader.decode().map_err(|error| match error {
        ImageError::IoError(error) => {
            anyhow::Error::new(error).context(format!("cannot read {}", file.display()))
        }
        // Its sources say the same again.
        error => anyhow!("cannot read {}: {error}", file.display()),
    })
}

/// A PNG file as RGB `[1, 3, H, W]`, f32 in \[0, 1\].
///
/// # Errors
/// Names the file that is no PNG file.
pub fn tensor(file: &Path, device: Device) -> Result<Tensor> {
    let picture = read(file)?;
    to_tensor(&picture, device).with_context(|| format!("cannot use {}", file.display()))
}

fn to_tensor(picture: &DynamicImage, device: Device) -> Result<Tensor> {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let deep = picture.color().bytes_per_pixel() / picture.color().channel_count() > 1;
    let (samples, largest) = match deep {
        true => {
            let samples = picture.to_rgb16().into_raw();
            let samples: Vec<i32> = samples.into_iter().map(i32::from).collect();
            (Tensor::f_from_slice(&samples)?, 65535.0)
        }
        false => (Tensor::f_from_slice(&picture.to_rgb8().into_raw())?, 255.0),
    };
    Ok(samples
        .f_to_device(device)?
        .f_to_kind(Kind::Float)?
        .f_div_scalar(largest)?
        .f_view([1, height, width, 3])?
        .f_permute([0, 3, 1, 2])?
        .f_contiguous()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Rgb};

    #[test]
    fn sixteen_bits_stay_sixteen() {
        let folder = tempfile::tempdir().unwrap();
        let [shallow, deep] = ["8.png", "16.png"].map(|name| folder.path().join(name));
        ImageBuffer::from_pixel(4, 2, Rgb([255u8, 128, 0]))
            .save(&shallow)
            .unwrap();
        ImageBuffer::from_pixel(4, 2, Rgb([65535u16, 257 * 128 + 100, 1]))
            .save(&deep)
            .unwrap();
        let read = |path: &Path| -> Vec<f32> {
            let picture = tensor(path, Device::Cpu).unwrap();
            assert_eq!(picture.size(), [1, 3, 2, 4]);
            Vec::try_from(picture.narrow(2, 0, 1).narrow(3, 0, 1).reshape([3])).unwrap()
        };
        assert_eq!(read(&shallow), [1.0, 128.0 / 255.0, 0.0]);
        assert_eq!(read(&deep), [1.0, 32996.0 / 65535.0, 1.0 / 65535.0]);
        let text = format!(
            "{:#}",
            tensor(&folder.path().join("none"), Device::Cpu).unwrap_err()
        );
        assert!(text.contains("none"), "{text}");
    }
}
