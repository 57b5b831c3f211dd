//! Buffers to tensors and back.

use super::video::Video;
use ::refvsr::image::{
    colour::{self, Plane, PlaneMut},
    resize::bicubic_antialiased,
};
use gst::{ClockTime, buffer::BufferMetaForeachAction, meta::tags};
use gst_video::prelude::*;
use once_cell::unsync::OnceCell;
use std::{ops::ControlFlow, sync::Arc};
use tch::{Device, Tensor};

/// Whether a buffer stands for a gap. A frame may carry the flag too, as videorate's duplicates do.
pub fn is_gap(buffer: &gst::BufferRef) -> bool {
    buffer.size() == 0 && buffer.flags().contains(gst::BufferFlags::GAP)
}

/// A reference camera's frame. It is converted once, and only if an ultra-wide frame is paired to it.
#[derive(Debug)]
pub struct Reference {
    buffer: gst::Buffer,
    /// When it was filmed, in running time.
    pub time: ClockTime,
    video: Arc<Video>,
    /// How much wider than its rows of samples the picture is, in ultra-wide pixels.
    stretch: f64,
    tensor: OnceCell<Tensor>,
}

impl Reference {
    /// A frame with the caps it came under, for ultra-wide frames of others.
    pub fn new(buffer: gst::Buffer, video: Arc<Video>, ultrawide: &Video, time: ClockTime) -> Self {
        Self {
            buffer,
            time,
            stretch: video.pixel_aspect() / ultrawide.pixel_aspect(),
            video,
            tensor: OnceCell::new(),
        }
    }

    /// Whether it is this buffer's.
    pub fn is_of(&self, buffer: &gst::BufferRef) -> bool {
        std::ptr::eq(self.buffer.as_ref(), buffer)
    }

    /// The picture.
    pub fn tensor(&self, device: Device) -> Result<Tensor, String> {
        self.tensor
            .get_or_try_init(|| stretched(read(&self.buffer, &self.video, device)?, self.stretch))
            .map(Tensor::shallow_clone)
    }
}

/// Brings a picture's pixels to the shape of the ultra-wide ones.
fn stretched(picture: Tensor, stretch: f64) -> Result<Tensor, String> {
    let (height, width) = (picture.size()[2], picture.size()[3]);
    let wanted = (width as f64 * stretch)
        .round()
        .clamp(1.0, f64::from(i32::MAX)) as i64;
    if wanted == width {
        return Ok(picture);
    }
    bicubic_antialiased(&picture, height, wanted)
        .and_then(|picture| Ok(picture.f_clamp(0.0, 1.0)?))
        .map_err(|e| e.to_string())
}

/// How far rows of each plane lie apart.
fn strides(strides: &[i32]) -> Result<Vec<usize>, String> {
    let strides: Result<_, _> = strides.iter().map(|&n| usize::try_from(n)).collect();
    strides.map_err(|_| "pictures that are stored upside down are not supported".to_owned())
}

/// Reads a buffer's picture, wherever its rows lie.
pub fn read(buffer: &gst::BufferRef, video: &Video, device: Device) -> Result<Tensor, String> {
    let frame =
        gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &video.info).map_err(|_| {
            format!(
                "a buffer of {} bytes does not hold the picture its caps tell of ({})",
                buffer.size(),
                video.caps
            )
        })?;
    let data = frame.planes_data();
    let planes = data.iter().zip(strides(frame.plane_stride())?);
    let planes: Vec<_> = planes
        .map(|(data, stride)| Plane { data, stride })
        .collect();
    colour::to_tensor(&video.layout, &planes, device).map_err(|e| e.to_string())
}

/// Writes a picture into a buffer, wherever its rows lie.
pub fn write(picture: &Tensor, buffer: &mut gst::BufferRef, video: &Video) -> Result<(), String> {
    let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, &video.info)
        .map_err(|_| {
            format!(
                "the output buffer has no room for a picture of {}",
                video.caps
            )
        })?;
    let strides = strides(frame.plane_stride())?;
    let planes = frame.planes_data_mut().into_iter().zip(strides);
    let mut planes: Vec<_> = planes
        .map(|(data, stride)| PlaneMut { data, stride })
        .collect();
    colour::from_tensor(picture, &video.layout, &mut planes).map_err(|e| e.to_string())
}

/// A buffer's timestamps, flags and metadata without its picture, nor what holds on to it, so that
/// upstream gets the memory back.
pub fn shell(buffer: &gst::BufferRef) -> Result<gst::Buffer, gst::glib::BoolError> {
    let mut shell = gst::Buffer::new();
    if let Some(shell) = shell.get_mut() {
        buffer.copy_into(
            shell,
            gst::BufferCopyFlags::FLAGS
                | gst::BufferCopyFlags::TIMESTAMPS
                | gst::BufferCopyFlags::META,
            ..,
        )?;
        shell.foreach_meta_mut(|meta| {
            let pins = meta.has_tag::<tags::Memory>() || meta.has_tag::<tags::MemoryReference>();
            ControlFlow::Continue(match pins {
                true => BufferMetaForeachAction::Remove,
                false => BufferMetaForeachAction::Keep,
            })
        });
    }
    Ok(shell)
}

/// Gives an output buffer what a [`shell`] has kept. Metadata that speaks of pixels is scaled with them.
pub fn dress(
    shell: &gst::BufferRef,
    output: &mut gst::BufferRef,
    from: &Video,
    to: &Video,
) -> Result<(), gst::glib::BoolError> {
    shell.copy_into(
        output,
        gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS,
        ..,
    )?;
    let scaling = gst_video::video_meta::VideoMetaTransformScale::new(&from.info, &to.info);
    for meta in shell.iter_meta::<gst::Meta>() {
        if let Some(crop) = meta.downcast_ref::<gst_video::VideoCropMeta>() {
            let (x, y, width, height) = crop.rect();
            let scale = to.info.width() / from.info.width().max(1);
            let [x, y, width, height] = [x, y, width, height].map(|n| n.saturating_mul(scale));
            gst_video::VideoCropMeta::add(output, (x, y, width, height));
        } else if meta.has_tag::<gst_video::video_meta::tags::Size>() {
            // What cannot be scaled would be wrong at the new size, and is left out.
            let _ = meta.transform(output, &scaling);
        } else {
            let _ = meta.transform(output, &gst::meta::MetaTransformCopy::new(..));
        }
    }
    Ok(())
}
