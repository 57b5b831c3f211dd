//! A camera's frames on their way into the network's element.

use super::sound;
use crate::element::{make, set};
use crate::media::Footage;
use crate::media::changes::interlacing;
use crate::media::orientation::Orientation;
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::AppSrc;
use gst_video::VideoInfo;
use std::path::PathBuf;

/// A camera's stream.
#[derive(Debug, Clone)]
pub struct Camera {
    /// The file or folder.
    pub path: PathBuf,
    pub info: VideoInfo,
    pub caps: gst::Caps,
    pub orientation: Orientation,
}

impl Camera {
    /// What a camera recorded. Interlaced pictures are refused, unless they are to be made whole.
    pub fn of(footage: &Footage, deinterlace: bool) -> Result<Self> {
        let camera = match footage {
            Footage::Recording(reader) => Self {
                path: reader.path().to_owned(),
                info: reader.format()?,
                caps: reader.video.caps.clone(),
                orientation: reader.orientation(),
            },
            Footage::Pictures(pictures) => Self {
                path: pictures.path().to_owned(),
                info: pictures.format().clone(),
                caps: pictures.format().to_caps()?,
                orientation: Orientation::default(),
            },
        };
        match interlacing(&camera.caps) {
            Some(how) if !deinterlace => bail!(
                "{} is {how}, and the network enlarges whole pictures; --deinterlace makes one of each first field",
                camera.path.display()
            ),
            _ => Ok(camera),
        }
    }
}

/// Bytes of decoded frames that wait in front of the element, per camera. At least one frame fits in any case.
const WAITING: u64 = 64 << 20;

/// Feeds a camera's frames to a pad of the element.
pub fn feed(
    pipeline: &gst::Pipeline,
    refvsr: &gst::Element,
    pad: &str,
    camera: &Camera,
    turn: Orientation,
    deinterlace: bool,
) -> Result<AppSrc> {
    let (source, last) = begin(pipeline, camera, turn, deinterlace)?;
    last.link_pads(Some("src"), refvsr, Some(pad))
        .with_context(|| format!("refvsr takes no video for {pad}"))?;
    Ok(source)
}

/// Where a camera's frames are fed in, and the element they come out of: turned, and in the form of the first one. Neither the element's
/// other frames nor encoders or containers can take another one in the middle.
pub fn begin(
    pipeline: &gst::Pipeline,
    camera: &Camera,
    turn: Orientation,
    deinterlace: bool,
) -> Result<(AppSrc, gst::Element)> {
    let source = sound::source(&camera.caps, WAITING);
    let mut chain = vec![source.clone().upcast(), make("videoconvert")?];
    if deinterlace {
        chain.extend([whole_pictures()?, make("videoconvert")?]);
    }
    let form = make("capsfilter")?;
    stay(&form);
    chain.extend([make("videoscale")?, form]);
    if !turn.is_upright() {
        chain.push(flip(turn)?);
    }
    pipeline.add_many(&chain)?;
    gst::Element::link_many(&chain)?;
    let last = chain.pop().context("an empty chain")?;
    Ok((source, last))
}

/// Makes a picture of each first field; what is whole already stays.
fn whole_pictures() -> Result<gst::Element> {
    let deinterlace = make("deinterlace")?;
    set(&deinterlace, "fields", "top")?;
    set(&deinterlace, "method", "greedyh")?;
    Ok(deinterlace)
}

/// Keeps a filter to the first caps that go through it.
pub fn stay(filter: &gst::Element) {
    let Some(pad) = filter.static_pad("src") else {
        return;
    };
    let weak = filter.downgrade();
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
        let Some(gst::EventView::Caps(event)) = info.event().map(|event| event.view()) else {
            return gst::PadProbeReturn::Ok;
        };
        if let Some(filter) = weak.upgrade() {
            filter.set_property("caps", event.caps_owned());
        }
        gst::PadProbeReturn::Remove
    });
}

/// Turns and mirrors.
pub fn flip(orientation: Orientation) -> Result<gst::Element> {
    let flip = make("videoflip")?;
    set(&flip, "method", orientation.videoflip_method())?;
    Ok(flip)
}
