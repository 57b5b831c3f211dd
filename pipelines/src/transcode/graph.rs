//! The pipeline that enlarges: cameras and sound in through `appsrc`, one file or a folder of pictures out.

use super::container::{self, Container};
use super::encoder::{self, EncoderOptions};
use super::options::Lens;
use super::{format, sound};
use crate::element::{make, set};
use crate::media::orientation::Orientation;
use crate::media::stream::Stream;
use crate::model::Model;
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::AppSrc;
use gst_video::{VideoFormat, VideoInfo};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the element is told.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkOptions {
    /// A bundled model, or a model file; auto is the bundled one that suits the device
    #[arg(long, default_value = "auto", value_name = "auto|quality|light|FILE")]
    pub model: Model,
    /// Where to compute
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda|cuda:N")]
    pub device: String,
    /// Any other property of the element, wide-zoom=1.9 for instance; may be repeated (gst-inspect-1.0 refvsr lists all)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = super::options::pair)]
    pub properties: Vec<(String, String)>,
}

/// A camera's stream.
#[derive(Debug, Clone)]
pub struct Camera {
    pub info: VideoInfo,
    pub caps: gst::Caps,
    pub orientation: Orientation,
}

/// What is to be written.
#[derive(Debug)]
pub enum Output<'a> {
    /// A video, with these sound tracks and tags.
    Video {
        path: &'a Path,
        container: Container,
        sound: &'a [Stream],
        tags: gst::TagList,
    },
    /// `0000.png` and so on in this folder, counted from `first`.
    Pictures { folder: &'a Path, first: i32 },
}

/// The pipeline, built.
#[derive(Debug)]
pub struct Graph {
    pub pipeline: gst::Pipeline,
    /// The element.
    pub refvsr: gst::Element,
    /// The element that writes, whose errors are the output's.
    pub writer: gst::Element,
    pub ultrawide: AppSrc,
    /// The cameras given, in their order.
    pub references: Vec<AppSrc>,
    pub sound: Vec<AppSrc>,
    /// Frames that came out of the element.
    pub frames: Arc<AtomicU64>,
    /// What does not stay as it was.
    pub notes: Vec<String>,
}

/// Bytes of decoded frames that wait in front of the element, per camera. At least one frame fits in any case.
const WAITING: u64 = 64 << 20;

/// Makes the element, with what the user said.
pub fn element(options: &NetworkOptions) -> Result<gst::Element> {
    let element = make("refvsr")?;
    let (property, model) = options.model.property();
    set(&element, property, &model)?;
    set(&element, "device", &options.device)?;
    for (name, value) in &options.properties {
        set(&element, name, value)?;
    }
    Ok(element)
}

/// Builds the pipeline.
pub fn build(
    network: &NetworkOptions,
    encoder: &EncoderOptions,
    ultrawide: &Camera,
    references: &[(Lens, Camera)],
    output: &Output,
) -> Result<Graph> {
    let pipeline = gst::Pipeline::new();
    let refvsr = element(network)?;
    pipeline.add(&refvsr)?;

    let first = camera(
        &pipeline,
        &refvsr,
        "ultrawide",
        ultrawide,
        Orientation::default(),
    )?;
    let mut others = Vec::new();
    for (lens, reference) in references {
        // A reference is turned until it lies as the ultra-wide picture does.
        let turn = reference.orientation.then(ultrawide.orientation.inverse());
        others.push(camera(&pipeline, &refvsr, lens.name(), reference, turn)?);
    }

    let mut notes = Vec::new();
    let queue = make("queue")?;
    queue.set_property("max-size-buffers", 4u32);
    queue.set_property("max-size-bytes", 0u32);
    queue.set_property("max-size-time", 0u64);
    let mut chain = vec![queue];
    if let Some(described) = description_of_light(&ultrawide.caps)? {
        chain.push(described);
    }
    // GStreamer's muxers do not write how the camera was held, so the picture itself is turned.
    if !ultrawide.orientation.is_upright() {
        chain.push(flip(ultrawide.orientation)?);
    }
    chain.push(make("videoconvert")?);

    let (sound, writer) = match output {
        Output::Pictures { folder, first } => {
            let png = make("pngenc")?;
            chain.push(formats(&[VideoFormat::Rgb])?);
            if ultrawide.info.format_info().depth()[0] > 8 {
                notes.push("PNG files are written with 8 bits a channel".to_owned());
            }
            let sink = make("multifilesink")?;
            sink.set_property("location", crate::output::frame_pattern(folder));
            sink.set_property("index", first);
            chain.extend([png, sink.clone()]);
            (vec![], sink)
        }
        Output::Video {
            path,
            container,
            sound,
            tags,
        } => {
            let muxer = container.muxer()?;
            let sink = make("filesink")?;
            sink.set_property("location", path);
            let (encoder, codec) = encoder::choose(encoder, container.default_codec())?;
            let lossless = codec == encoder::Codec::Ffv1;
            let choice = format::choose(&offered(&encoder), &ultrawide.info, lossless);
            if choice.loses_depth {
                notes.push(format!(
                    "{} does not write all {} bits of a sample",
                    name(&encoder),
                    ultrawide.info.format_info().depth()[0]
                ));
            }
            chain.extend([formats(&choice.formats)?, encoder]);
            if let Some(parser) = codec.parser() {
                chain.push(make(parser)?);
            }
            let last = chain.last().context("an empty chain")?;
            let pad = last
                .static_pad("src")
                .context("an encoder without output")?;
            container::add_durations(&pad);
            let caps = pad.query_caps(None);
            let Some(template) = container::template(&muxer, &caps) else {
                bail!(
                    "{} cannot be written into a file of this kind ({})",
                    codec.name(),
                    name(&muxer)
                )
            };
            pipeline.add_many([&muxer, &sink])?;
            pipeline.add_many(&chain)?;
            container::link(last, &muxer, &template)?;
            muxer.link(&sink)?;
            if let Some(setter) = muxer.dynamic_cast_ref::<gst::TagSetter>() {
                setter.merge_tags(tags, gst::TagMergeMode::Replace);
            }
            let mut tracks = Vec::new();
            for track in *sound {
                let (source, note) = sound::add(&pipeline, &muxer, *container, track)?;
                tracks.push(source);
                notes.extend(note);
            }
            (tracks, sink)
        }
    };
    for element in &chain {
        if element.parent().is_none() {
            pipeline.add(element)?;
        }
    }
    refvsr.link(&chain[0])?;
    gst::Element::link_many(&chain).context("the elements of the output do not fit together")?;

    let frames = Arc::new(AtomicU64::new(0));
    let counter = frames.clone();
    let pad = refvsr.static_pad("src").context("refvsr has no output")?;
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        gst::PadProbeReturn::Ok
    });
    Ok(Graph {
        pipeline,
        refvsr,
        writer,
        ultrawide: first,
        references: others,
        sound,
        frames,
        notes,
    })
}

/// Feeds a camera's frames to a pad of the element.
fn camera(
    pipeline: &gst::Pipeline,
    refvsr: &gst::Element,
    pad: &str,
    camera: &Camera,
    turn: Orientation,
) -> Result<AppSrc> {
    let source = sound::source(&camera.caps, WAITING);
    let mut chain = vec![source.clone().upcast(), make("videoconvert")?];
    if !turn.is_upright() {
        chain.push(flip(turn)?);
    }
    pipeline.add_many(&chain)?;
    gst::Element::link_many(&chain)?;
    let last = chain.last().context("an empty chain")?;
    last.link_pads(Some("src"), refvsr, Some(pad))
        .with_context(|| format!("refvsr takes no video for {pad}"))?;
    Ok(source)
}

fn flip(orientation: Orientation) -> Result<gst::Element> {
    let flip = make("videoflip")?;
    set(&flip, "method", orientation.videoflip_method())?;
    Ok(flip)
}

/// What the caps of the recording say of the light it was graded for (HDR), which is no part of the caps that the element compares.
fn description_of_light(caps: &gst::Caps) -> Result<Option<gst::Element>> {
    let Some(structure) = caps.structure(0) else {
        return Ok(None);
    };
    let mut described = gst::Structure::new_empty("video/x-raw");
    for field in ["mastering-display-info", "content-light-level"] {
        if let Ok(value) = structure.value(field) {
            described.set_value(field, value.clone());
        }
    }
    if described.n_fields() == 0 {
        return Ok(None);
    }
    let setter = make("capssetter")?;
    setter.set_property(
        "caps",
        gst::Caps::builder_full().structure(described).build(),
    );
    Ok(Some(setter))
}

fn formats(formats: &[VideoFormat]) -> Result<gst::Element> {
    let caps = gst_video::VideoCapsBuilder::new()
        .format_list(formats.iter().copied())
        .build();
    let filter = make("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

/// The formats that an encoder takes.
fn offered(encoder: &gst::Element) -> Vec<VideoFormat> {
    let Some(pad) = encoder.static_pad("sink") else {
        return vec![];
    };
    let caps = pad.query_caps(None);
    let mut all: Vec<VideoFormat> = Vec::new();
    for structure in caps.iter() {
        let names: Vec<String> = match (
            structure.get::<String>("format"),
            structure.get::<gst::List>("format"),
        ) {
            (Ok(one), _) => vec![one],
            (_, Ok(list)) => list.iter().filter_map(|value| value.get().ok()).collect(),
            _ => vec![],
        };
        all.extend(names.iter().map(|name| VideoFormat::from_string(name)));
    }
    all.retain(|format| *format != VideoFormat::Unknown);
    all.dedup();
    all
}

fn name(element: &gst::Element) -> String {
    element
        .factory()
        .map(|factory| factory.name().to_string())
        .unwrap_or_default()
}
