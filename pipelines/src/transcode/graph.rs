//! The pipeline that enlarges: cameras and sound in through `appsrc`, one file or a folder of pictures out.

use super::camera::{self, Camera, flip};
use super::container::{self, Container};
use super::encoder::{self, EncoderOptions};
use super::options::Lens;
use super::sound::Way;
use super::usage::Usage;
use super::{extras, format, sound};
use crate::element::{make, set};
use crate::media::colours::replace_caps;
use crate::media::orientation::Orientation;
use crate::media::track::Track;
use crate::model::Model;
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::AppSrc;
use gst_video::VideoFormat;
use std::path::Path;

/// What the element is told.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkOptions {
    /// A bundled model, or a model file; auto is the bundled one that suits the device
    #[arg(
        long,
        default_value = "auto",
        value_name = "auto|quality|light|live|FILE"
    )]
    pub model: Model,
    /// Where to compute
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda|cuda:N")]
    pub device: String,
    /// Any other property of the element, scene-cut=off for instance; may be repeated (gst-inspect-1.0 refvsr lists all)
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = super::options::pair)]
    pub properties: Vec<(String, String)>,
}

impl NetworkOptions {
    /// What the user set a property to.
    pub fn property(&self, name: &str) -> Option<&str> {
        let mut all = self.properties.iter().rev();
        let found = all.find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What is to be written.
#[derive(Debug)]
pub enum Output<'a> {
    /// A video, with these sound tracks, subtitles and tags.
    Video {
        path: &'a Path,
        container: Container,
        tracks: &'a [Track],
        tags: gst::TagList,
        /// The recording's chapters, and how much later they are in the output, in nanoseconds.
        chapters: Option<(gst::Toc, i64)>,
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
    /// How the tracks get into the file, in their order.
    pub tracks: Vec<Way>,
    /// Where pictures go into the encoder; none for folders.
    pub coded: Option<gst::Pad>,
    /// The frames that came out of the element.
    pub usage: Usage,
    /// What does not stay as it was.
    pub notes: Vec<String>,
}

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
    deinterlace: bool,
) -> Result<Graph> {
    let pipeline = gst::Pipeline::new();
    let refvsr = element(network)?;
    pipeline.add(&refvsr)?;

    let feed = |pad, camera, turn| camera::feed(&pipeline, &refvsr, pad, camera, turn, deinterlace);
    let first = feed("ultrawide", ultrawide, Orientation::default())?;
    let mut others = Vec::new();
    for (lens, reference) in references {
        // A reference is turned until it lies as the ultra-wide picture does.
        let turn = reference.orientation.then(ultrawide.orientation.inverse());
        others.push(feed(lens.name(), reference, turn)?);
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

    let mut coded = None;
    let (tracks, writer) = match output {
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
            tracks,
            tags,
            chapters,
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
            let encoder_input = encoder
                .static_pad("sink")
                .context("an encoder without input")?;
            coded = Some(encoder_input.clone());
            chain.extend([formats(&choice.formats)?, encoder]);
            if let Some(parser) = codec.parser() {
                chain.push(make(parser)?);
            }
            let last = chain.last().context("an empty chain")?;
            let pad = last
                .static_pad("src")
                .context("an encoder without output")?;
            container::add_durations(&pad);
            describe(&pad, &encoder_input, &ultrawide.caps);
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
            if let Some((chapters, shift)) = chapters {
                notes.extend(extras::chapters(&muxer, chapters, *shift));
            }
            let mut ways = Vec::new();
            for track in *tracks {
                let (way, note) = sound::add(&pipeline, &muxer, *container, track)?;
                ways.push(way);
                notes.extend(note);
            }
            (ways, sink)
        }
    };
    for element in &chain {
        if element.parent().is_none() {
            pipeline.add(element)?;
        }
    }
    refvsr.link(&chain[0])?;
    gst::Element::link_many(&chain).context("the elements of the output do not fit together")?;

    let usage = Usage::default();
    usage.follow(&refvsr.static_pad("src").context("refvsr has no output")?);
    Ok(Graph {
        pipeline,
        refvsr,
        writer,
        ultrawide: first,
        references: others,
        tracks,
        coded,
        usage,
        notes,
    })
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

/// Tells the muxer of colours and light where the encoder does not, by which some codecs' pictures lose them.
fn describe(pad: &gst::Pad, encoder_input: &gst::Pad, recorded: &gst::Caps) {
    let (input, recorded) = (encoder_input.downgrade(), recorded.clone());
    replace_caps(pad, move |caps| {
        let coded = input.upgrade()?.current_caps()?;
        let mut told = caps.clone();
        for (field, from) in [
            ("colorimetry", &coded),
            ("mastering-display-info", &recorded),
            ("content-light-level", &recorded),
        ] {
            if let Ok(value) = from.structure(0)?.value(field)
                && !told.structure(0)?.has_field(field)
            {
                told.make_mut()
                    .structure_mut(0)?
                    .set_value(field, value.clone());
            }
        }
        Some(told)
    });
}

/// A filter of pixel formats.
pub fn formats(formats: &[VideoFormat]) -> Result<gst::Element> {
    let caps = gst_video::VideoCapsBuilder::new()
        .format_list(formats.iter().copied())
        .build();
    let filter = make("capsfilter")?;
    filter.set_property("caps", caps);
    Ok(filter)
}

/// The formats that an encoder takes.
pub fn offered(encoder: &gst::Element) -> Vec<VideoFormat> {
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
