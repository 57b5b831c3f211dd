//! Pixel formats to tensors and back, on the tensor's device.

use crate::Result;
use tch::{Device, Tensor};

/// Memory layouts of raw video that are understood, named as in GStreamer's "Raw Video Media Types".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum PixelFormat {
    Rgb,
    Bgr,
    Rgbx,
    Bgrx,
    Rgba,
    Bgra,
    Gbr,
    I420,
    Nv12,
    Y42b,
    Y444,
    P010Le,
    I42010Le,
    Rgba64Le,
}

/// How R'G'B' relates to Y'CbCr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Matrix {
    Rgb,
    Bt601,
    Bt709,
    Bt2020,
    Smpte240m,
    Fcc,
}

/// Which codes stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// 0..255 (0..1023, 0..65535).
    Full,
    /// 16..235, chroma 16..240 (times 4 at 10 bit).
    Limited,
}

/// Where subsampled chroma samples sit, per axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChromaSite {
    /// Chroma sits on the left of its two pixels (else between them).
    pub horizontally_cosited: bool,
    /// Chroma sits on the upper of its two rows (else between them).
    pub vertically_cosited: bool,
}

/// All that is needed to read or write one raw picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLayout {
    /// Memory layout.
    pub format: PixelFormat,
    /// Width in pixels, at least 1.
    pub width: usize,
    /// Height in pixels, at least 1.
    pub height: usize,
    /// Colour matrix; [`Matrix::Rgb`] for RGB formats.
    pub matrix: Matrix,
    /// Code range.
    pub range: Range,
    /// Siting of subsampled chroma.
    pub site: ChromaSite,
}

/// One plane to read: rows of `stride` bytes.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes, from the first pixel on.
    pub data: &'a [u8],
    /// Bytes from one row to the next, at least a row's worth.
    pub stride: usize,
}

/// One plane to write: rows of `stride` bytes. Bytes past a row's pixels are left alone.
#[derive(Debug)]
pub struct PlaneMut<'a> {
    /// The bytes, from the first pixel on.
    pub data: &'a mut [u8],
    /// Bytes from one row to the next, at least a row's worth.
    pub stride: usize,
}

/// Reads a picture into RGB, `[1, 3, H, W]`, f32 in \[0, 1\].
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where planes are missing or too small for the layout.
pub fn to_tensor(layout: &ImageLayout, planes: &[Plane<'_>], device: Device) -> Result<Tensor> {
    let _ = (layout, planes, device);
    Err(crate::Error::Unsupported { what: "pixel format".into(), why: "not written yet".into() })
}

/// Writes RGB `[1, 3, H, W]` in \[0, 1\] (values outside are clamped), rounded to the nearest code. Alpha is set opaque, padding (x) to the same.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the tensor or the planes do not fit the layout.
pub fn from_tensor(rgb: &Tensor, layout: &ImageLayout, planes: &mut [PlaneMut<'_>]) -> Result<()> {
    let _ = (rgb, layout, planes);
    Err(crate::Error::Unsupported { what: "pixel format".into(), why: "not written yet".into() })
}
