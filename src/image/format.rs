//! What raw pictures look like in memory: one table row per pixel format.
//!
//! Names and layouts are those of GStreamer's "Raw Video Media Types"
//! (<https://gstreamer.freedesktop.org/documentation/additional/design/mediatype-video-raw.html>).

use super::chroma::Axis;
use crate::{Error, Result};

/// Memory layouts of raw video that are understood, named as in GStreamer's "Raw Video Media Types".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFormat {
    /// 8-bit R, G, B, packed.
    Rgb,
    /// 8-bit B, G, R, packed.
    Bgr,
    /// 8-bit R, G, B and a byte without meaning, packed.
    Rgbx,
    /// 8-bit B, G, R and a byte without meaning, packed.
    Bgrx,
    /// 8-bit R, G, B, alpha, packed.
    Rgba,
    /// 8-bit B, G, R, alpha, packed.
    Bgra,
    /// 8-bit planes G, B, R.
    Gbr,
    /// 8-bit planes Y, Cb, Cr, 4:2:0.
    I420,
    /// 8-bit plane Y, then plane of Cb and Cr interleaved, 4:2:0.
    Nv12,
    /// 8-bit planes Y, Cb, Cr, 4:2:2.
    Y42b,
    /// 8-bit planes Y, Cb, Cr, 4:4:4.
    Y444,
    /// As [`Nv12`](Self::Nv12), with 10 bits in the high bits of 16-bit little-endian words.
    P010Le,
    /// As [`I420`](Self::I420), with 10 bits in the low bits of 16-bit little-endian words.
    I42010Le,
    /// 16-bit little-endian R, G, B, alpha, packed.
    Rgba64Le,
    /// 8-bit byte without meaning, R, G, B, packed.
    Xrgb,
    /// 8-bit byte without meaning, B, G, R, packed.
    Xbgr,
    /// 8-bit alpha, R, G, B, packed.
    Argb,
    /// 8-bit alpha, B, G, R, packed.
    Abgr,
    /// As [`Nv12`](Self::Nv12), with Cr before Cb.
    Nv21,
    /// As [`I420`](Self::I420), with Cr before Cb.
    Yv12,
    /// 8-bit Y, Cb, Y, Cr, packed, two pixels together, 4:2:2.
    Yuy2,
    /// 8-bit Cb, Y, Cr, Y, packed, two pixels together, 4:2:2.
    Uyvy,
    /// As [`Y42b`](Self::Y42b), with 10 bits in the low bits of 16-bit little-endian words.
    I42210Le,
}

/// Which codes stand for black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// 0..255 (0..1023, 0..65535).
    Full,
    /// 16..235, chroma 16..240 (times 4 at 10 bit, times 256 at 16 bit).
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

/// How R'G'B' relates to Y'CbCr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matrix {
    /// There is no Y'CbCr: for RGB formats.
    Rgb,
    /// ITU-R BT.601.
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
    /// SMPTE 240M.
    Smpte240m,
    /// FCC 47 CFR 73.682.
    Fcc,
}

/// All that is needed to read or write one raw picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLayout {
    /// Memory layout.
    pub format: PixelFormat,
    /// Width in pixels, 1 to 2^31 - 1.
    pub width: usize,
    /// Height in pixels, 1 to 2^31 - 1.
    pub height: usize,
    /// Colour matrix; RGB formats have none and do not look at it.
    pub matrix: Matrix,
    /// Code range.
    pub range: Range,
    /// Siting of subsampled chroma.
    pub site: ChromaSite,
}

/// How much of one plane is picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaneSize {
    /// Bytes of pixels in a row: the least stride.
    pub row_bytes: usize,
    /// Rows.
    pub rows: usize,
}

/// The component that is nothing of the picture: alpha, or the x of RGBx. The others are 0, 1, 2: R, G, B or Y, Cb, Cr.
const OPAQUE: usize = 3;

/// One row of the table of formats.
pub(super) struct Description {
    /// GStreamer's name.
    name: &'static str,
    /// Whether the components are Y, Cb, Cr.
    pub(super) is_yuv: bool,
    /// The components of each plane, in the order of memory. A component that comes twice is that of two
    /// neighbouring pixels.
    pub(super) planes: &'static [&'static [usize]],
    /// Pixels (horizontally, vertically) to a chroma sample.
    subsampling: (usize, usize),
    /// Bits to a sample.
    depth: u32,
    /// Bits below the sample in its word.
    pub(super) shift: u32,
}

impl Description {
    const fn rgb(name: &'static str, planes: &'static [&'static [usize]], depth: u32) -> Self {
        Self {
            name,
            is_yuv: false,
            planes,
            subsampling: (1, 1),
            depth,
            shift: 0,
        }
    }

    const fn yuv(
        name: &'static str,
        planes: &'static [&'static [usize]],
        subsampling: (usize, usize),
        (depth, shift): (u32, u32),
    ) -> Self {
        Self {
            name,
            is_yuv: true,
            planes,
            subsampling,
            depth,
            shift,
        }
    }

    /// Bytes to a sample.
    pub(super) const fn sample_bytes(&self) -> usize {
        if self.depth > 8 { 2 } else { 1 }
    }

    /// The highest code.
    pub(super) const fn max(&self) -> i64 {
        (1 << self.depth) - 1
    }

    /// The code of 0, and how many codes there are from there to 1.
    ///
    /// ITU-T H.273, 8.3; the limited range is also in ITU-R BT.601, BT.709 and BT.2020.
    pub(super) fn coding(&self, component: usize, range: Range) -> (i64, i64) {
        let unit = 1 << (self.depth - 8);
        let is_chroma = self.is_yuv && component != 0;
        match (range, is_chroma) {
            (Range::Full, false) => (0, self.max()),
            (Range::Full, true) => (128 * unit, self.max()),
            (Range::Limited, false) => (16 * unit, 219 * unit),
            (Range::Limited, true) => (128 * unit, 224 * unit),
        }
    }
}

impl PixelFormat {
    /// Every format there is.
    pub const ALL: [Self; 23] = [
        Self::Rgb,
        Self::Bgr,
        Self::Rgbx,
        Self::Bgrx,
        Self::Rgba,
        Self::Bgra,
        Self::Gbr,
        Self::I420,
        Self::Nv12,
        Self::Y42b,
        Self::Y444,
        Self::P010Le,
        Self::I42010Le,
        Self::Rgba64Le,
        Self::Xrgb,
        Self::Xbgr,
        Self::Argb,
        Self::Abgr,
        Self::Nv21,
        Self::Yv12,
        Self::Yuy2,
        Self::Uyvy,
        Self::I42210Le,
    ];

    /// The table of formats.
    pub(super) const fn description(self) -> Description {
        match self {
            Self::Rgb => Description::rgb("RGB", &[&[0, 1, 2]], 8),
            Self::Bgr => Description::rgb("BGR", &[&[2, 1, 0]], 8),
            Self::Rgbx => Description::rgb("RGBx", &[&[0, 1, 2, OPAQUE]], 8),
            Self::Bgrx => Description::rgb("BGRx", &[&[2, 1, 0, OPAQUE]], 8),
            Self::Rgba => Description::rgb("RGBA", &[&[0, 1, 2, OPAQUE]], 8),
            Self::Bgra => Description::rgb("BGRA", &[&[2, 1, 0, OPAQUE]], 8),
            Self::Gbr => Description::rgb("GBR", &[&[1], &[2], &[0]], 8),
            Self::I420 => Description::yuv("I420", &[&[0], &[1], &[2]], (2, 2), (8, 0)),
            Self::Nv12 => Description::yuv("NV12", &[&[0], &[1, 2]], (2, 2), (8, 0)),
            Self::Y42b => Description::yuv("Y42B", &[&[0], &[1], &[2]], (2, 1), (8, 0)),
            Self::Y444 => Description::yuv("Y444", &[&[0], &[1], &[2]], (1, 1), (8, 0)),
            Self::P010Le => Description::yuv("P010_10LE", &[&[0], &[1, 2]], (2, 2), (10, 6)),
            Self::I42010Le => Description::yuv("I420_10LE", &[&[0], &[1], &[2]], (2, 2), (10, 0)),
            Self::Rgba64Le => Description::rgb("RGBA64_LE", &[&[0, 1, 2, OPAQUE]], 16),
            Self::Xrgb => Description::rgb("xRGB", &[&[OPAQUE, 0, 1, 2]], 8),
            Self::Xbgr => Description::rgb("xBGR", &[&[OPAQUE, 2, 1, 0]], 8),
            Self::Argb => Description::rgb("ARGB", &[&[OPAQUE, 0, 1, 2]], 8),
            Self::Abgr => Description::rgb("ABGR", &[&[OPAQUE, 2, 1, 0]], 8),
            Self::Nv21 => Description::yuv("NV21", &[&[0], &[2, 1]], (2, 2), (8, 0)),
            Self::Yv12 => Description::yuv("YV12", &[&[0], &[2], &[1]], (2, 2), (8, 0)),
            Self::Yuy2 => Description::yuv("YUY2", &[&[0, 1, 0, 2]], (2, 1), (8, 0)),
            Self::Uyvy => Description::yuv("UYVY", &[&[1, 0, 2, 0]], (2, 1), (8, 0)),
            Self::I42210Le => Description::yuv("I422_10LE", &[&[0], &[1], &[2]], (2, 1), (10, 0)),
        }
    }

    /// GStreamer's name of the format, as in caps.
    pub const fn name(self) -> &'static str {
        self.description().name
    }

    /// How many planes a picture has.
    pub const fn plane_count(self) -> usize {
        self.description().planes.len()
    }

    /// Whether the planes hold Y'CbCr, to which [`Matrix`] and [`ChromaSite`] apply.
    pub const fn is_yuv(self) -> bool {
        self.description().is_yuv
    }
}

impl ImageLayout {
    /// The size of each plane, in order. A subsampled plane has half the samples, rounded up.
    ///
    /// # Errors
    /// [`Error::Shape`] where width or height is zero or above 2^31 - 1, or a row has more bytes than can be counted.
    pub fn planes(&self) -> Result<Vec<PlaneSize>> {
        const SIZES: std::ops::RangeInclusive<usize> = 1..=i32::MAX as usize;
        let refused = || Error::Shape {
            what: format!("{} picture", self.format.name()),
            actual: format!("{} x {} pixels", self.width, self.height),
            expected: format!("1 to {} each way", SIZES.end()),
        };
        if !SIZES.contains(&self.width) || !SIZES.contains(&self.height) {
            return Err(refused());
        }
        let description = self.format.description();
        let size = |components: &&[usize]| {
            let (across, down) = match components.iter().filter(|&&c| c == 0).count() {
                0 => description.subsampling,
                pixels => (pixels, 1),
            };
            let row_bytes = self
                .width
                .div_ceil(across)
                .checked_mul(components.len() * description.sample_bytes())?;
            Some(PlaneSize {
                row_bytes,
                rows: self.height.div_ceil(down),
            })
        };
        description
            .planes
            .iter()
            .map(|components| size(components).ok_or_else(refused))
            .collect()
    }

    /// The axes along which a component has fewer samples than the picture has pixels.
    pub(super) fn subsampled_axes(&self, component: usize) -> impl Iterator<Item = Axis> {
        let (across, down) = if component == 0 {
            (1, 1)
        } else {
            self.format.description().subsampling
        };
        let horizontal = Axis {
            dim: 1,
            pixels: self.width as i64,
            cosited: self.site.horizontally_cosited,
        };
        let vertical = Axis {
            dim: 0,
            pixels: self.height as i64,
            cosited: self.site.vertically_cosited,
        };
        [(across, horizontal), (down, vertical)]
            .into_iter()
            .filter(|&(factor, _)| factor == 2)
            .map(|(_, axis)| axis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(format: PixelFormat, width: usize, height: usize) -> Result<Vec<(usize, usize)>> {
        let site = ChromaSite {
            horizontally_cosited: true,
            vertically_cosited: false,
        };
        let layout = ImageLayout {
            format,
            width,
            height,
            matrix: Matrix::Bt709,
            range: Range::Limited,
            site,
        };
        Ok(layout
            .planes()?
            .iter()
            .map(|plane| (plane.row_bytes, plane.rows))
            .collect())
    }

    #[test]
    fn plane_sizes_round_up() {
        use PixelFormat::*;
        assert_eq!(sizes(Rgb, 5, 3).unwrap(), [(15, 3)]);
        assert_eq!(sizes(Bgra, 5, 3).unwrap(), [(20, 3)]);
        assert_eq!(sizes(Gbr, 5, 3).unwrap(), [(5, 3); 3]);
        assert_eq!(sizes(I420, 5, 3).unwrap(), [(5, 3), (3, 2), (3, 2)]);
        assert_eq!(sizes(Nv12, 5, 3).unwrap(), [(5, 3), (6, 2)]);
        assert_eq!(sizes(Y42b, 5, 3).unwrap(), [(5, 3), (3, 3), (3, 3)]);
        assert_eq!(sizes(Y444, 5, 3).unwrap(), [(5, 3); 3]);
        assert_eq!(sizes(P010Le, 5, 3).unwrap(), [(10, 3), (12, 2)]);
        assert_eq!(sizes(I42010Le, 5, 3).unwrap(), [(10, 3), (6, 2), (6, 2)]);
        assert_eq!(sizes(Rgba64Le, 5, 3).unwrap(), [(40, 3)]);
        assert_eq!(sizes(Argb, 5, 3).unwrap(), [(20, 3)]);
        assert_eq!(sizes(Yuy2, 5, 3).unwrap(), [(12, 3)]);
        assert_eq!(sizes(Nv21, 5, 3).unwrap(), [(5, 3), (6, 2)]);
        assert_eq!(sizes(Yv12, 5, 3).unwrap(), [(5, 3), (3, 2), (3, 2)]);
        assert_eq!(sizes(I42210Le, 5, 3).unwrap(), [(10, 3), (6, 3), (6, 3)]);
    }

    #[test]
    fn every_format_has_its_three_components_once() {
        for format in PixelFormat::ALL {
            let mut components = format.description().planes.concat();
            components.sort_unstable();
            components.dedup(); // two pixels' luma
            components.retain(|&component| component != OPAQUE);
            assert_eq!(components, [0, 1, 2], "{}", format.name());
            assert_eq!(sizes(format, 4, 4).unwrap().len(), format.plane_count());
        }
    }

    #[test]
    fn sizes_outside_the_limits_are_refused() {
        for (width, height) in [(0, 4), (4, 0), (1 << 31, 4), (4, usize::MAX)] {
            let error = sizes(PixelFormat::Nv12, width, height).unwrap_err();
            assert!(
                error.to_string().contains(&format!("{width} x {height}")),
                "{error}"
            );
        }
    }
}
