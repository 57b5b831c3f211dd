//! Pixel formats to tensors and back, on the tensor's device.
//!
//! The bytes of a plane are copied to the device as they are, and whole bytes are copied back; everything between is computed on the
//! device in f32, in bands of rows where pictures are large. Memory layouts are those of GStreamer's "Raw Video Media Types", matrices those of ITU-R BT.601, BT.709,
//! BT.2020, SMPTE 240M and FCC 47 CFR 73.682, ranges and rounding those of ITU-T H.273.

use super::{
    band::bands,
    plane::{Rows, decode, encode, rows, rows_mut},
};
use crate::{Error, Result};
use tch::{Device, Kind, Tensor};

pub use super::format::{ChromaSite, ImageLayout, Matrix, PixelFormat, PlaneSize, Range};
pub use super::plane::{Plane, PlaneMut};

/// Reads a picture into RGB, `[1, 3, H, W]`, f32 in \[0, 1\].
///
/// Black is 0 and white is 1; codes beyond them, and colours that RGB does not have, are clamped. Subsampled chroma is interpolated
/// linearly, edges repeated. Alpha is dropped.
///
/// # Errors
/// [`Error::Shape`] where planes are missing or too small for the layout, or the picture has no pixels;
/// [`Error::Unsupported`] where a Y'CbCr format comes with [`Matrix::Rgb`];
/// [`Error::Torch`] where the device is not there or its memory runs out.
pub fn to_tensor(layout: &ImageLayout, planes: &[Plane<'_>], device: Device) -> Result<Tensor> {
    LumaWeights::of(layout)?;
    let (rows, sizes) = (rows(layout, planes)?, layout.planes()?);
    let mut picture: Option<Tensor> = None;
    for band in bands(layout) {
        let upload = |(rows, size): (&Rows<'_>, &PlaneSize)| {
            let part = band.in_plane(*size, layout);
            rows.part(part.start(), part.height())?.upload(device)
        };
        let bytes: Vec<_> = rows.iter().zip(&sizes).map(upload).collect::<Result<_>>()?;
        let part = decoded(&bytes, &band.layout(layout))?;
        if band.rows == layout.height {
            return Ok(part);
        }
        let part = part.f_narrow(2, band.above as i64, band.rows as i64)?;
        let whole = match &picture {
            Some(picture) => picture,
            None => {
                let size = [1, 3, layout.height as i64, layout.width as i64];
                picture.insert(Tensor::f_empty(size, (Kind::Float, device))?)
            }
        };
        let mut place = whole.f_narrow(2, band.first as i64, band.rows as i64)?;
        place.f_copy_(&part)?;
    }
    picture.ok_or_else(|| Error::Broken("a picture without rows".into()))
}

/// RGB `[1, 3, H, W]` from the bytes of all planes.
fn decoded(planes: &[Tensor], layout: &ImageLayout) -> Result<Tensor> {
    let description = layout.format.description();
    // Of each component the samples of a group of pixels, as they lie in memory.
    let mut components: [Vec<Tensor>; 3] = Default::default();
    for (bytes, order) in planes.iter().zip(description.planes) {
        let codes = decode(bytes, &description, order.len() as i64)?;
        for (&component, codes) in order.iter().zip(codes) {
            // What is beyond the three is alpha.
            if let Some(samples) = components.get_mut(component) {
                samples.push(codes);
            }
        }
    }

    let mut picture = Vec::new();
    for (component, samples) in components.iter().enumerate() {
        let codes = weave(samples, layout.width as i64)?;
        let (zero, one) = description.coding(component, layout.range);
        let mut values = codes.f_sub_scalar(zero)?.f_div_scalar(one)?;
        for axis in layout.subsampled_axes(component) {
            values = axis.upsample(&values)?;
        }
        picture.push(values);
    }
    let picture = Tensor::f_stack(&picture, 0)?; // [3, H, W]
    let rgb = match LumaWeights::of(layout)? {
        Some(weights) => weights.to_rgb(&picture)?,
        None => picture,
    };
    Ok(rgb.f_clamp(0.0, 1.0)?.f_unsqueeze(0)?)
}

/// Writes RGB `[1, 3, H, W]` of any floating-point kind, in \[0, 1\] (values outside are clamped, NaN is black).
///
/// Codes are rounded to nearest. Chroma is subsampled by the mean of two pixels where it sits between them, by \[1 2 1\] / 4 where it sits
/// on one. Alpha is opaque: it and the padding byte (x) have all bits set. Nothing is written where an error is found in the arguments,
/// and bytes past the pixels of a row are never written.
///
/// # Errors
/// [`Error::Shape`] where the tensor or the planes do not fit the layout, or the picture has no pixels;
/// [`Error::Unsupported`] where a Y'CbCr format comes with [`Matrix::Rgb`];
/// [`Error::Torch`] where the memory of the device runs out.
pub fn from_tensor(rgb: &Tensor, layout: &ImageLayout, planes: &mut [PlaneMut<'_>]) -> Result<()> {
    LumaWeights::of(layout)?;
    let (mut rows, sizes) = (rows_mut(layout, planes)?, layout.planes()?);
    check_picture(rgb, layout)?;
    for band in bands(layout) {
        let part = rgb.f_narrow(2, band.start() as i64, band.height() as i64)?;
        let planes = encoded(&part, &band.layout(layout))?;
        for ((rows, bytes), size) in rows.iter_mut().zip(planes).zip(&sizes) {
            let part = band.in_plane(*size, layout);
            let bytes = bytes.f_narrow(0, part.above as i64, part.rows as i64)?;
            rows.fill(part.first, &bytes)?;
        }
    }
    Ok(())
}

/// The bytes of all planes, `[rows, row_bytes]` each, of RGB `[1, 3, H, W]`.
fn encoded(rgb: &Tensor, layout: &ImageLayout) -> Result<Vec<Tensor>> {
    let description = layout.format.description();
    let rgb = rgb.f_detach()?.f_select(0, 0)?.f_totype(Kind::Float)?; // [3, H, W]
    let rgb = rgb.f_nan_to_num(0.0, None, None)?.f_clamp(0.0, 1.0)?;
    let picture = match LumaWeights::of(layout)? {
        Some(weights) => weights.to_ycbcr(&rgb)?,
        None => rgb,
    };

    let mut components = Vec::new();
    for (component, mut values) in picture.f_unbind(0)?.into_iter().enumerate() {
        for axis in layout.subsampled_axes(component) {
            values = axis.downsample(&values)?;
        }
        let (zero, one) = description.coding(component, layout.range);
        components.push(
            values
                .f_mul_scalar(one)?
                .f_add_scalar(zero)?
                .f_round()?
                .f_clamp(0, description.max())?,
        );
    }
    let opaque = |like: &Tensor| like.f_full_like(description.max());
    let plane = |order: &&[usize]| {
        let mut codes = Vec::new();
        for (place, component) in order.iter().enumerate() {
            let count = |order: &[usize]| order.iter().filter(|c| *c == component).count() as i64;
            codes.push(match components.get(*component) {
                Some(codes) => part(codes, count(&order[..place]), count(order))?,
                None => opaque(&picture.f_select(0, 0)?)?,
            });
        }
        encode(&codes, &description)
    };
    description.planes.iter().map(plane).collect()
}

/// A component's samples from those of the first, second ... pixel of each group.
fn weave(samples: &[Tensor], width: i64) -> Result<Tensor> {
    match samples {
        [one] => Ok(one.shallow_clone()),
        several => Ok(Tensor::f_stack(several, 2)?
            .f_flatten(1, 2)?
            .f_narrow(1, 0, width)?),
    }
}

/// The samples of the pixel at one place of each group of `count` pixels, the last one repeated.
fn part(samples: &Tensor, place: i64, count: i64) -> Result<Tensor> {
    if count == 1 {
        return Ok(samples.shallow_clone());
    }
    let columns = samples.size()[1];
    let last = samples.f_narrow(1, columns - 1, 1)?;
    let missing = (count - columns % count) % count;
    let whole = Tensor::f_cat(&[samples, &last.f_repeat([1, missing])?], 1)?;
    Ok(whole.f_slice(1, place, None, count)?)
}

/// Refuses a tensor that is not the layout's picture.
fn check_picture(rgb: &Tensor, layout: &ImageLayout) -> Result<()> {
    let refused = |actual| {
        let expected = format!("floating point [1, 3, {}, {}]", layout.height, layout.width);
        Err(Error::Shape {
            what: "picture tensor".into(),
            actual,
            expected,
        })
    };
    if !rgb.defined() {
        return refused("no tensor".into());
    }
    let (kind, size) = (rgb.f_kind()?, rgb.size());
    let is_float = matches!(
        kind,
        Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double
    );
    if !is_float || size != [1, 3, layout.height as i64, layout.width as i64] {
        return refused(format!("{kind:?} {size:?}"));
    }
    Ok(())
}

/// What red and blue weigh in luma; green weighs the rest. They define the matrix.
#[derive(Debug, Clone, Copy)]
struct LumaWeights {
    red: f64,
    blue: f64,
}

impl LumaWeights {
    /// The weights of a Y'CbCr layout's matrix, none for RGB formats.
    fn of(layout: &ImageLayout) -> Result<Option<Self>> {
        if !layout.format.is_yuv() {
            return Ok(None);
        }
        let (red, blue) = match layout.matrix {
            Matrix::Bt601 => (0.299, 0.114),     // ITU-R BT.601-7, 2.5.1
            Matrix::Bt709 => (0.2126, 0.0722),   // ITU-R BT.709-6, item 3.2
            Matrix::Bt2020 => (0.2627, 0.0593),  // ITU-R BT.2020-2, table 4
            Matrix::Smpte240m => (0.212, 0.087), // SMPTE 240M, as in ITU-T H.273, table 4
            Matrix::Fcc => (0.30, 0.11), // 47 CFR 73.682 (a) (20), as in ITU-T H.273, table 4
            Matrix::Rgb => {
                let what = format!("{} with the RGB matrix", layout.format.name());
                return Err(Error::Unsupported {
                    what,
                    why: "Y'CbCr needs the matrix of one of the standards, such as BT.709".into(),
                });
            }
        };
        Ok(Some(Self { red, blue }))
    }

    /// `[3, H, W]` Y' in \[0, 1\], Cb and Cr in \[-0.5, 0.5\], to R'G'B'.
    fn to_rgb(self, ycbcr: &Tensor) -> Result<Tensor> {
        let (y, cb, cr) = (
            ycbcr.f_select(0, 0)?,
            ycbcr.f_select(0, 1)?,
            ycbcr.f_select(0, 2)?,
        );
        let red = cr.f_mul_scalar(2.0 * (1.0 - self.red))?.f_add(&y)?;
        let blue = cb.f_mul_scalar(2.0 * (1.0 - self.blue))?.f_add(&y)?;
        // Luma less what red and blue give to it.
        let green = y
            .f_sub(&red.f_mul_scalar(self.red)?)?
            .f_sub(&blue.f_mul_scalar(self.blue)?)?;
        let green = green.f_div_scalar(1.0 - self.red - self.blue)?;
        Ok(Tensor::f_stack(&[red, green, blue], 0)?)
    }

    /// The way back.
    fn to_ycbcr(self, rgb: &Tensor) -> Result<Tensor> {
        let (red, green, blue) = (
            rgb.f_select(0, 0)?,
            rgb.f_select(0, 1)?,
            rgb.f_select(0, 2)?,
        );
        let y = green.f_mul_scalar(1.0 - self.red - self.blue)?;
        let y = y
            .f_add(&red.f_mul_scalar(self.red)?)?
            .f_add(&blue.f_mul_scalar(self.blue)?)?;
        let cb = blue.f_sub(&y)?.f_div_scalar(2.0 * (1.0 - self.blue))?;
        let cr = red.f_sub(&y)?.f_div_scalar(2.0 * (1.0 - self.red))?;
        Ok(Tensor::f_stack(&[y, cb, cr], 0)?)
    }
}

#[cfg(test)]
mod tests;
