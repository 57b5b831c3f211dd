//! What a camera's file gives back: frames through a real video encoder and its decoder.

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use gst_video::{VideoFormat, VideoFrameExt, VideoFrameRef, VideoInfo};
use refvsr::image::colour::{
    ChromaSite, ImageLayout, Matrix, PixelFormat, Plane, PlaneMut, Range, from_tensor, to_tensor,
};
use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

/// A video encoder of GStreamer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Encoder {
    /// H.264 by `x264enc`; quantizers 0 to 50.
    X264,
    /// H.265 by `x265enc`; quantizers 0 to 51.
    X265,
    /// VP9 by `vp9enc`; quantizers 0 to 63, on a scale of its own.
    Vp9,
}

/// How many chroma samples there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
pub enum Chroma {
    /// One of each for 2 x 2 pixels, as nearly all cameras record.
    #[serde(rename = "4:2:0")]
    #[value(name = "4:2:0")]
    Quarter,
    /// One of each for every pixel.
    #[serde(rename = "4:4:4")]
    #[value(name = "4:4:4")]
    Full,
}

/// How frames are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// What encodes.
    pub encoder: Encoder,
    /// The constant quantizer, on the encoder's own scale: larger is coarser.
    pub quantizer: u32,
    /// At most so many frames from one key frame to the next.
    pub group: u32,
    /// Chroma subsampling.
    pub chroma: Chroma,
}

/// An element's name, and the Debian package that has it.
type Element = (&'static str, &'static str);

const GOOD: &str = "gstreamer1.0-plugins-good";
const BAD: &str = "gstreamer1.0-plugins-bad";
const UGLY: &str = "gstreamer1.0-plugins-ugly";
const LIBAV: &str = "gstreamer1.0-libav";

impl Encoder {
    /// Encoder, parser and decoder.
    fn elements(self) -> [Element; 3] {
        match self {
            Self::X264 => [("x264enc", UGLY), ("h264parse", BAD), ("avdec_h264", LIBAV)],
            Self::X265 => [("x265enc", BAD), ("h265parse", BAD), ("avdec_h265", LIBAV)],
            Self::Vp9 => [("vp9enc", GOOD), ("vp9parse", BAD), ("vp9dec", GOOD)],
        }
    }

    /// The coarsest quantizer.
    pub fn coarsest(self) -> u32 {
        match self {
            Self::X264 => 50,
            Self::X265 => 51,
            Self::Vp9 => 63,
        }
    }
}

impl Recording {
    /// The encoder's settings, as `gst-launch-1.0` would take them. One thread: what several make
    /// depends on how many there are.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let (quantizer, group) = (self.quantizer.to_string(), self.group.to_string());
        let text = str::to_owned;
        match self.encoder {
            Encoder::X264 => vec![
                ("pass", text("quant")),
                ("quantizer", quantizer),
                ("key-int-max", group),
                ("threads", text("1")),
            ],
            Encoder::X265 => vec![
                ("qp", quantizer),
                ("key-int-max", group),
                ("option-string", text("pools=none:frame-threads=1")),
            ],
            Encoder::Vp9 => vec![
                ("min-quantizer", quantizer.clone()),
                ("max-quantizer", quantizer),
                ("keyframe-max-dist", group),
                ("threads", text("1")),
                // With more than none it loses frames at the end; cameras do not look ahead either.
                ("lag-in-frames", text("0")),
            ],
        }
    }

    fn check(&self) -> Result<()> {
        let most = self.encoder.coarsest();
        ensure!(
            self.quantizer <= most,
            "a quantizer of {} for {}; 0 to {most} expected",
            self.quantizer,
            self.encoder.elements()[0].0
        );
        ensure!(
            (1..=1_000_000).contains(&self.group),
            "a group of {} frames; 1 to 1000000 expected",
            self.group
        );
        Ok(())
    }
}

/// Frames `[1, 3, H, W]` (RGB in \[0, 1\]) as they come back from a recording of them: as many, in
/// their order, of their size, on the CPU. The same frames and settings give the same result.
///
/// Frames become 8-bit Y'CbCr of BT.709, limited range, chroma on the left as in H.264. They come
/// back as the element reads them, which is finer than RGB of 8 bits.
///
/// # Errors
/// Where an element is missing (names its package), a setting is out of range, or frames differ.
pub fn recorded(frames: &[Tensor], how: &Recording) -> Result<Vec<Tensor>> {
    how.check()?;
    let Some(first) = frames.first() else {
        return Ok(vec![]);
    };
    let size = first.size();
    ensure!(
        size.len() == 4 && size[..2] == [1, 3] && size[2].min(size[3]) >= 1,
        "a frame of {size:?}; [1, 3, height, width] expected"
    );
    if let Some(n) = frames.iter().position(|frame| frame.size() != size) {
        bail!("frame {n} is {:?}, the first is {size:?}", frames[n].size());
    }
    let (height, width) = (size[2], size[3]);
    let line = Line::build(how, padded(width), padded(height))?;
    let mut out = Vec::with_capacity(frames.len());
    line.run(frames, |picture| {
        let part = picture.f_narrow(2, 0, height)?.f_narrow(3, 0, width)?;
        out.push(part.f_contiguous()?);
        Ok(())
    })
    .with_context(|| format!("recording {} frames of {width} x {height}", frames.len()))?;
    ensure!(
        out.len() == frames.len(),
        "{} gave {} frames back for {}",
        how.encoder.elements()[0].0,
        out.len(),
        frames.len()
    );
    Ok(out)
}

/// Encoders take even sides, and some none below 16.
fn padded(side: i64) -> i64 {
    (side + side % 2).max(16)
}

/// Frames in, encoder, decoder, frames out.
struct Line {
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
    info: VideoInfo,
    layout: ImageLayout,
}

impl Line {
    fn build(how: &Recording, width: i64, height: i64) -> Result<Self> {
        gst::init().context("GStreamer does not start")?;
        let (format, raw) = match how.chroma {
            Chroma::Quarter => (PixelFormat::I420, VideoFormat::I420),
            Chroma::Full => (PixelFormat::Y444, VideoFormat::Y444),
        };
        let info = VideoInfo::builder(raw, u32::try_from(width)?, u32::try_from(height)?)
            .fps(gst::Fraction::new(30, 1))
            .colorimetry(&"bt709".parse()?)
            .chroma_site(gst_video::VideoChromaSite::MPEG2)
            .build()?;
        let layout = ImageLayout {
            format,
            width: usize::try_from(width)?,
            height: usize::try_from(height)?,
            matrix: Matrix::Bt709,
            range: Range::Limited,
            site: ChromaSite {
                horizontally_cosited: true,
                vertically_cosited: false,
            },
        };
        let source = AppSrc::builder()
            .caps(&info.to_caps()?)
            .format(gst::Format::Time)
            .build();
        let sink = AppSink::builder().sync(false).build();
        let [encoder, parser, decoder] = how.encoder.elements();
        let encoder = make(encoder, &how.settings())?;
        let others = [make(parser, &[])?, make(decoder, &[])?];
        let pipeline = gst::Pipeline::new();
        let all: [&gst::Element; 5] = [
            source.upcast_ref(),
            &encoder,
            &others[0],
            &others[1],
            sink.upcast_ref(),
        ];
        pipeline.add_many(all)?;
        gst::Element::link_many(all)?;
        Ok(Self {
            pipeline,
            source,
            sink,
            info,
            layout,
        })
    }

    fn run(&self, frames: &[Tensor], mut each: impl FnMut(Tensor) -> Result<()>) -> Result<()> {
        /// Frames that may wait for the encoder.
        const WAITING: u64 = 8;
        if self.pipeline.set_state(gst::State::Playing).is_err() {
            self.check_bus()?;
            bail!("GStreamer's pipeline does not start");
        }
        let mut next = 0;
        loop {
            while next < frames.len() && self.source.current_level_buffers() < WAITING {
                // A refusal has its reason on the bus.
                if self
                    .source
                    .push_buffer(self.buffer(&frames[next], next)?)
                    .is_err()
                {
                    break;
                }
                next += 1;
                if next == frames.len() {
                    let _ = self.source.end_of_stream();
                }
            }
            match self.sink.try_pull_sample(gst::ClockTime::from_mseconds(20)) {
                Some(sample) => each(self.picture(&sample)?)?,
                None => self.check_bus()?,
            }
            if self.sink.is_eos() {
                return self.check_bus();
            }
        }
    }

    /// The error that an element has posted, if any has.
    fn check_bus(&self) -> Result<()> {
        let bus = self.pipeline.bus().context("a pipeline without a bus")?;
        let Some(message) = bus.pop_filtered(&[gst::MessageType::Error]) else {
            return Ok(());
        };
        let gst::MessageView::Error(error) = message.view() else {
            return Ok(());
        };
        let name = message.src().map_or("GStreamer".into(), |src| src.name());
        let details = error.debug().unwrap_or_default();
        bail!("{name}: {} ({})", error.error(), details.replace('\n', " "))
    }

    fn buffer(&self, frame: &Tensor, number: usize) -> Result<gst::Buffer> {
        let (height, width) = (frame.size()[2], frame.size()[3]);
        let (down, right) = (
            self.layout.height as i64 - height,
            self.layout.width as i64 - width,
        );
        let frame = frame
            .f_to_device(Device::Cpu)?
            .f_to_kind(tch::Kind::Float)?;
        let frame = frame.f_replication_pad2d([0, right, 0, down])?;
        let mut buffer = gst::Buffer::with_size(self.info.size())?;
        let writable = buffer.make_mut();
        let at = |n: usize| gst::ClockTime::SECOND * n as u64 / 30;
        writable.set_pts(at(number));
        writable.set_duration(at(number + 1) - at(number));
        let mut raw = VideoFrameRef::from_buffer_ref_writable(writable, &self.info)?;
        let strides = strides(&raw)?;
        let mut planes: Vec<PlaneMut<'_>> = raw
            .planes_data_mut()
            .into_iter()
            .zip(strides)
            .map(|(data, stride)| PlaneMut { data, stride })
            .collect();
        from_tensor(&frame, &self.layout, &mut planes)?;
        drop(raw);
        Ok(buffer)
    }

    fn picture(&self, sample: &gst::Sample) -> Result<Tensor> {
        let caps = sample.caps().context("a picture without caps")?;
        let info = VideoInfo::from_caps(caps)?;
        ensure!(
            (info.format(), info.width(), info.height())
                == (self.info.format(), self.info.width(), self.info.height()),
            "the decoder gives {caps}, {} expected",
            self.info.to_caps()?
        );
        let buffer = sample.buffer().context("a sample without a picture")?;
        let raw = VideoFrameRef::from_buffer_ref_readable(buffer, &info)?;
        let planes = strides(&raw)?
            .into_iter()
            .enumerate()
            .map(|(n, stride)| {
                Ok(Plane {
                    data: raw.plane_data(n as u32)?,
                    stride,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(to_tensor(&self.layout, &planes, Device::Cpu)?)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Bytes from row to row of each plane.
fn strides<T: VideoFrameExt>(frame: &T) -> Result<Vec<usize>> {
    frame
        .plane_stride()
        .iter()
        .map(|&stride| Ok(usize::try_from(stride)?))
        .collect()
}

fn make((name, package): Element, settings: &[(&'static str, String)]) -> Result<gst::Element> {
    let factory = gst::ElementFactory::find(name).with_context(|| {
        format!("GStreamer has no element {name}, which records frames (Debian: {package})")
    })?;
    let mut builder = factory.create();
    for (property, value) in settings {
        builder = builder.property_from_str(property, value);
    }
    builder.build().with_context(|| format!("making {name}"))
}

#[cfg(test)]
mod tests;
