//! Sound tracks on their way from file to file: as they are where the container takes them, encoded anew where it does not.

use super::container::{self, Container};
use crate::element::make;
use crate::media::stream::Stream;
use anyhow::{Context, Result};
use gst::prelude::*;
use gst_app::AppSrc;

/// Adds a sound track to the pipeline. Returns where it is fed in, and a note where it does not stay as it is.
pub fn add(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    container: Container,
    track: &Stream,
) -> Result<(AppSrc, Option<String>)> {
    let source = source(&track.caps, 1 << 20);
    pipeline.add(&source)?;
    let (last, note) = match way(muxer, &track.caps) {
        Way::AsItIs => (source.clone().upcast(), None),
        Way::Parsed(factory) => {
            let parser = factory.create().build()?;
            pipeline.add(&parser)?;
            source.link(&parser)?;
            (parser, None)
        }
        Way::Encoded => encode(pipeline, container, &source, &track.caps)?,
    };
    let caps = match (&note, last == source) {
        (None, true) => track.caps.clone(),
        _ => last
            .static_pad("src")
            .context("an element without output")?
            .query_caps(None),
    };
    let template = container::template(muxer, &caps).with_context(|| {
        format!(
            "no sound of the kind {} fits into the file",
            kind(&track.caps)
        )
    })?;
    container::link(&last, muxer, &template)?;
    if track.tags.n_tags() > 0 {
        let mut tags = track.tags.clone();
        tags.make_mut().set_scope(gst::TagScope::Stream);
        source.send_event(gst::event::Tag::new(tags));
    }
    Ok((source, note))
}

/// Where the buffers of a stream are fed in; it holds as many bytes, and whoever pushes more waits.
pub fn source(caps: &gst::Caps, bytes: u64) -> AppSrc {
    AppSrc::builder()
        .caps(caps)
        .format(gst::Format::Time)
        .block(true)
        .max_bytes(bytes)
        .build()
}

/// How a track gets into the file.
enum Way {
    AsItIs,
    /// Through an element that cuts it into the frames the container wants.
    Parsed(gst::ElementFactory),
    Encoded,
}

fn way(muxer: &gst::Element, caps: &gst::Caps) -> Way {
    let fits = container::template(muxer, caps).is_some();
    let framed = caps.structure(0).is_some_and(|s| {
        ["framed", "parsed"]
            .iter()
            .any(|field| s.get::<bool>(*field) == Ok(true))
    });
    if fits && framed {
        return Way::AsItIs;
    }
    let parsers = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::PARSER,
        gst::Rank::MARGINAL,
    );
    let parser = parsers.into_iter().find(|factory| {
        let fits = |template: &gst::StaticPadTemplate| {
            template.direction() == gst::PadDirection::Src
                && container::template(muxer, &template.caps()).is_some()
        };
        factory.can_sink_any_caps(caps) && factory.static_pad_templates().iter().any(fits)
    });
    match parser {
        Some(parser) => Way::Parsed(parser),
        None if fits => Way::AsItIs,
        None => Way::Encoded,
    }
}

fn encode(
    pipeline: &gst::Pipeline,
    container: Container,
    source: &AppSrc,
    caps: &gst::Caps,
) -> Result<(gst::Element, Option<String>)> {
    let names = container.audio_encoders();
    let name = names
        .iter()
        .find(|name| gst::ElementFactory::find(name).is_some())
        .with_context(|| {
            format!(
                "sound of the kind {} does not fit into the file as it is, and GStreamer has none of the encoders {}",
                kind(caps),
                names.join(", ")
            )
        })?;
    let decoder = make("decodebin")?;
    let chain = [make("audioconvert")?, make("audioresample")?, make(name)?];
    pipeline.add(&decoder)?;
    pipeline.add_many(&chain)?;
    source.link(&decoder)?;
    gst::Element::link_many(&chain)?;
    let target = chain[0]
        .static_pad("sink")
        .context("an element without input")?;
    decoder.connect_pad_added(move |decoder, pad| {
        if let Err(error) = pad.link(&target) {
            gst::element_error!(
                decoder,
                gst::CoreError::Pad,
                ("the sound cannot be encoded anew: {error}")
            );
        }
    });
    let note = format!(
        "sound of the kind {} does not fit into the file as it is; {name} encodes it anew",
        kind(caps)
    );
    let [.., encoder] = chain;
    Ok((encoder, Some(note)))
}

/// The media type in words.
fn kind(caps: &gst::Caps) -> String {
    let Some(structure) = caps.structure(0) else {
        return "unknown".into();
    };
    let mut name = structure.name().to_string();
    for field in ["mpegversion", "layer"] {
        if let Ok(value) = structure.get::<i32>(field) {
            name += &format!(" {field} {value}");
        }
    }
    name
}
