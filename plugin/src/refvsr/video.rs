//! Raw video that is understood, and how its caps read as an [`ImageLayout`].

use ::refvsr::image::colour::{ChromaSite, ImageLayout, Matrix, PixelFormat, Range};
use gst::prelude::MulDiv;
use gst_video::{
    VideoChromaSite, VideoColorMatrix, VideoColorRange, VideoFlags, VideoFormat, VideoInfo,
    VideoMultiviewMode,
};
use std::sync::LazyLock;

/// Formats of video that are read and written, best first.
pub const FORMATS: [(VideoFormat, PixelFormat); 23] = [
    (VideoFormat::Rgb, PixelFormat::Rgb),
    (VideoFormat::Bgr, PixelFormat::Bgr),
    (VideoFormat::Rgbx, PixelFormat::Rgbx),
    (VideoFormat::Bgrx, PixelFormat::Bgrx),
    (VideoFormat::Rgba, PixelFormat::Rgba),
    (VideoFormat::Bgra, PixelFormat::Bgra),
    (VideoFormat::Gbr, PixelFormat::Gbr),
    (VideoFormat::I420, PixelFormat::I420),
    (VideoFormat::Nv12, PixelFormat::Nv12),
    (VideoFormat::Y42b, PixelFormat::Y42b),
    (VideoFormat::Y444, PixelFormat::Y444),
    (VideoFormat::P01010le, PixelFormat::P010Le),
    (VideoFormat::I42010le, PixelFormat::I42010Le),
    (VideoFormat::Rgba64Le, PixelFormat::Rgba64Le),
    (VideoFormat::I42210le, PixelFormat::I42210Le),
    (VideoFormat::Yuy2, PixelFormat::Yuy2),
    (VideoFormat::Uyvy, PixelFormat::Uyvy),
    (VideoFormat::Nv21, PixelFormat::Nv21),
    (VideoFormat::Yv12, PixelFormat::Yv12),
    (VideoFormat::Xrgb, PixelFormat::Xrgb),
    (VideoFormat::Xbgr, PixelFormat::Xbgr),
    (VideoFormat::Argb, PixelFormat::Argb),
    (VideoFormat::Abgr, PixelFormat::Abgr),
];

/// Largest width and height of an output; inputs are as much smaller as they have to be.
pub const MAX_SIZE: i32 = 32_767;

/// What every pad takes: progressive raw video in system memory.
pub static TEMPLATE: LazyLock<gst::Caps> = LazyLock::new(|| {
    gst_video::VideoCapsBuilder::new()
        .format_list(FORMATS.map(|(format, _)| format))
        .width_range(1..=MAX_SIZE)
        .height_range(1..=MAX_SIZE)
        .field("interlace-mode", "progressive")
        .build()
});

/// One pad's video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Video {
    /// The caps.
    pub caps: gst::Caps,
    /// The same, parsed.
    pub info: VideoInfo,
    /// The same in the library's terms.
    pub layout: ImageLayout,
}

impl Video {
    /// Reads caps. The error says what is wrong with them.
    pub fn new(caps: &gst::CapsRef) -> Result<Self, String> {
        let info = VideoInfo::from_caps(caps)
            .map_err(|_| format!("not raw video with a known format and size: {caps}"))?;
        if info.is_interlaced() {
            return Err(format!(
                "interlaced video is not supported, deinterlace it first: {caps}"
            ));
        }
        if !is_one_picture(info.multiview_mode()) {
            let mode = info.multiview_mode();
            return Err(format!(
                "stereo video packed into one frame is not supported ({mode:?}): {caps}"
            ));
        }
        let layout =
            layout(&info).ok_or_else(|| format!("format {} is not supported", info.format()))?;
        Ok(Self {
            caps: caps.to_owned(),
            info,
            layout,
        })
    }

    /// Width of a pixel over its height.
    pub fn pixel_aspect(&self) -> f64 {
        let par = self.info.par();
        f64::from(par.numer()) / f64::from(par.denom())
    }

    /// Whether several pixels share a colour.
    pub fn has_coarse_colour(&self) -> bool {
        let format = self.info.format_info();
        format
            .w_sub()
            .iter()
            .chain(format.h_sub())
            .any(|by| *by > 0)
    }

    /// Whether only the frame rates differ.
    pub fn is_same_picture(&self, other: &Self) -> bool {
        let without_rate = |caps: &gst::Caps| {
            let mut caps = caps.clone();
            for structure in caps.make_mut().iter_mut() {
                structure.remove_fields(["framerate", "max-framerate"]);
            }
            caps
        };
        without_rate(&self.caps) == without_rate(&other.caps)
    }

    /// How long a frame lasts; `None` where the frame rate varies.
    pub fn frame_duration(&self) -> Option<gst::ClockTime> {
        // Then GStreamer gives the caps' max-framerate as the rate.
        if self.info.flags().contains(VideoFlags::VARIABLE_FPS) {
            None
        } else {
            self.shortest_duration()
        }
    }

    /// How long a frame lasts at least; `None` where the rate varies without limit.
    pub fn shortest_duration(&self) -> Option<gst::ClockTime> {
        let fps = self.info.fps();
        let numer = u64::try_from(fps.numer()).ok().filter(|numer| *numer > 0)?;
        let denom = u64::try_from(fps.denom()).ok()?;
        gst::ClockTime::SECOND.mul_div_floor(denom, numer)
    }
}

/// What to do about frames of these caps that lie in another memory than the system's.
pub fn foreign_memory(caps: &gst::CapsRef) -> Option<String> {
    let memory = caps.features(0)?.iter().find(|name| {
        name.starts_with("memory:") && *name != gst::CAPS_FEATURE_MEMORY_SYSTEM_MEMORY.as_str()
    })?;
    let remedy = match memory.as_str() {
        "memory:CUDAMemory" => "cudadownload",
        "memory:GLMemory" => "gldownload",
        "memory:DMABuf" | "memory:VAMemory" => "vapostproc",
        _ => "an element that copies it to system memory",
    };
    Some(format!(
        "frames lie in {memory}, expected is system memory: put {remedy} before the pad"
    ))
}

/// Whether each frame is one camera's picture.
fn is_one_picture(mode: VideoMultiviewMode) -> bool {
    use VideoMultiviewMode::*;
    matches!(mode, None | Mono | Left | Right)
}

fn layout(info: &VideoInfo) -> Option<ImageLayout> {
    let (_, format) = *FORMATS
        .iter()
        .find(|(format, _)| *format == info.format())?;
    let colorimetry = info.colorimetry();
    let matrix = match colorimetry.matrix() {
        _ if info.is_rgb() => Matrix::Rgb,
        VideoColorMatrix::Bt709 => Matrix::Bt709,
        VideoColorMatrix::Bt2020 => Matrix::Bt2020,
        VideoColorMatrix::Smpte240m => Matrix::Smpte240m,
        VideoColorMatrix::Fcc => Matrix::Fcc,
        VideoColorMatrix::Bt601 => Matrix::Bt601,
        // As GStreamer takes video that does not say.
        _ if info.height() > 576 => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    let range = match colorimetry.range() {
        VideoColorRange::Range0_255 => Range::Full,
        VideoColorRange::Range16_235 => Range::Limited,
        _ if info.is_rgb() => Range::Full,
        _ => Range::Limited,
    };
    let site = info.chroma_site();
    Some(ImageLayout {
        format,
        width: usize::try_from(info.width()).ok()?,
        height: usize::try_from(info.height()).ok()?,
        matrix,
        range,
        site: ChromaSite {
            horizontally_cosited: site.contains(VideoChromaSite::H_COSITED),
            vertically_cosited: site.contains(VideoChromaSite::V_COSITED),
        },
    })
}
