//! The file that is written: what its name asks for, and what fits into it.

use super::attachments;
use super::encoder::Codec;
use crate::element::make;
use anyhow::{Result, bail};
use gst::prelude::*;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Matroska,
    WebM,
    Mp4,
    QuickTime,
    MpegTs,
}

/// Units a second in which MP4 and QuickTime files count the time of pictures: whole numbers for frames of 24, 25, 30, 50 and 60 a second, and for
/// the rates slower by 1000/1001.
const TIMESCALE: u32 = 120_000;

impl Container {
    /// The one that a file name asks for.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_lowercase();
        Ok(match extension.as_str() {
            "mkv" => Self::Matroska,
            "webm" => Self::WebM,
            "mp4" | "m4v" => Self::Mp4,
            "mov" => Self::QuickTime,
            "ts" | "m2ts" => Self::MpegTs,
            _ => bail!(
                "{} does not say what to write; names end in .mkv, .mp4, .mov, .webm or .ts (or / for a folder of PNG files)",
                path.display()
            ),
        })
    }

    /// How the picture is written where the user does not say.
    pub fn default_codec(self) -> Codec {
        match self {
            Self::WebM => Codec::Vp9,
            Self::Matroska | Self::Mp4 | Self::QuickTime | Self::MpegTs => Codec::H264,
        }
    }

    /// How sound is written that does not fit in as it is: encoders, the best first.
    pub fn audio_encoders(self) -> &'static [&'static str] {
        match self {
            Self::WebM | Self::Matroska => &["opusenc", "vorbisenc"],
            Self::Mp4 | Self::QuickTime | Self::MpegTs => &["fdkaacenc", "avenc_aac", "voaacenc"],
        }
    }

    /// The element that writes it.
    pub fn muxer(self) -> Result<gst::Element> {
        let name = match self {
            Self::Matroska => "matroskamux",
            Self::WebM => "webmmux",
            Self::Mp4 => "mp4mux",
            Self::QuickTime => "qtmux",
            Self::MpegTs => "mpegtsmux",
        };
        let muxer = make(name)?;
        if muxer.has_property("movie-timescale") {
            muxer.set_property("movie-timescale", TIMESCALE);
        }
        if self == Self::Matroska {
            muxer.set_property("writing-app", attachments::WRITER);
        }
        Ok(muxer)
    }
}

/// A pad template of the muxer that takes a stream of this kind.
pub fn template(muxer: &gst::Element, caps: &gst::Caps) -> Option<gst::PadTemplate> {
    muxer.pad_template_list().into_iter().find(|template| {
        template.direction() == gst::PadDirection::Sink && template.caps().can_intersect(caps)
    })
}

/// Links an element's source pad to a new pad of the muxer.
pub fn link(
    element: &gst::Element,
    muxer: &gst::Element,
    template: &gst::PadTemplate,
) -> Result<()> {
    let Some(pad) = muxer.request_pad(template, None, None) else {
        bail!("the file has no room for another stream")
    };
    // Sound counts in its own samples: uncompressed sound in QuickTime files plays too fast otherwise.
    if pad.name().starts_with("video") && pad.has_property("trak-timescale") {
        pad.set_property("trak-timescale", TIMESCALE);
    }
    match element.static_pad("src") {
        Some(source) => source.link(&pad)?,
        None => bail!("an element without output"),
    };
    Ok(())
}

/// Gives frames that come out of `pad` without a duration the usual one. Where the frame rate varies, only their times are known, and
/// an MP4 file whose last frame lasts no time ends before it.
pub fn add_durations(pad: &gst::Pad) {
    /// No frame is shorter. Where the frame rate varies, decoders invent durations of a nanosecond.
    const SHORTEST: gst::ClockTime = gst::ClockTime::from_useconds(10);
    let usual = AtomicU64::new(gst::ClockTime::SECOND.nseconds() / 30);
    let last = AtomicU64::new(u64::MAX);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(buffer) = info.buffer_mut()
            && buffer.duration().is_none_or(|duration| duration < SHORTEST)
        {
            let pts = buffer.pts().map_or(u64::MAX, gst::ClockTime::nseconds);
            let step = last.swap(pts, Ordering::Relaxed).abs_diff(pts);
            // The first one has none before it.
            if step > SHORTEST.nseconds() && step < gst::ClockTime::SECOND.nseconds() {
                usual.store(step, Ordering::Relaxed);
            }
            let usual = gst::ClockTime::from_nseconds(usual.load(Ordering::Relaxed));
            buffer.make_mut().set_duration(usual);
        }
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide() {
        assert_eq!(
            Container::of(Path::new("a/b.MKV")).unwrap(),
            Container::Matroska
        );
        assert_eq!(Container::of(Path::new("b.m4v")).unwrap(), Container::Mp4);
        for bad in ["video", "video.avi", ".mkv"] {
            let message = Container::of(Path::new(bad)).unwrap_err().to_string();
            assert!(
                message.contains(bad) && message.contains(".mkv"),
                "{message}"
            );
        }
    }
}
