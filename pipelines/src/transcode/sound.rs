//! Sound and subtitles on their way from file to file: as they are where the container takes them, sound encoded anew where it does not.
//! What can neither be copied nor encoded is left out, and told.

use super::container::{self, Container};
use super::room::{self, Room};
use super::trial::passes;
use crate::media::contents::Kind;
use crate::media::stream::Stream;
use crate::media::track::Track;
use anyhow::{Context, Result};
use gst::prelude::*;
use gst_app::AppSrc;

/// How a track gets into the file.
#[derive(Debug)]
pub enum Way {
    /// Fed in here.
    Copied(AppSrc),
    Encoded(Room),
    LeftOut,
}

impl Way {
    /// Where the track is fed in.
    pub fn input(&self) -> Option<&AppSrc> {
        match self {
            Self::Copied(source) => Some(source),
            Self::Encoded(room) => Some(&room.input),
            Self::LeftOut => None,
        }
    }
}

/// Adds a track to the pipeline. Returns how, and a note where it does not stay as it is.
pub fn add(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    container: Container,
    track: &Track,
) -> Result<(Way, Option<String>)> {
    let name = match track.kind {
        Kind::Subtitles => "a track of subtitles",
        _ => "sound",
    };
    let what = format!("{name} of the kind {}", kind(&track.stream.caps));
    if track.kind == Kind::Subtitles {
        return subtitles(pipeline, muxer, container, track, &what);
    }
    if let Some(parser) = copying(container, track)? {
        let source = source(&track.stream.caps, 1 << 20);
        pipeline.add(&source)?;
        let (last, caps) = through(pipeline, source.upcast_ref(), parser.as_ref(), track)?;
        join(&last, muxer, &caps)?;
        source.send_event(labels(&track.stream));
        return Ok((Way::Copied(source), None));
    }
    let left_out = |why: &str| Ok((Way::LeftOut, Some(format!("{what} is left out: {why}"))));
    if !is_decodable(&track.stream.caps) {
        return left_out(
            "it does not fit into the file as it is, and GStreamer has no decoder for it",
        );
    }
    let names = container.audio_encoders();
    let exists = |name: &&&str| gst::ElementFactory::find(name).is_some();
    let Some(encoder) = names.iter().find(exists) else {
        let names = names.join(", ");
        return left_out(&format!(
            "it does not fit into the file as it is, and GStreamer has none of the encoders {names}"
        ));
    };
    let coded = gst::ElementFactory::find(encoder).context("an encoder that is gone")?;
    let coded = coded.static_pad_templates().iter().find_map(|template| {
        let source = template.direction() == gst::PadDirection::Src;
        source.then(|| template.caps())
    });
    let coded = coded.context("an encoder without output")?;
    let template = container::template(muxer, &coded);
    let taken = template
        .context("the file has no place for sound")?
        .caps()
        .clone();
    let first = track.stream.sample.as_ref();
    let goes_in = first.is_none_or(|first| {
        passes(first, |pipeline, source| {
            let last = room::encode(pipeline, source, encoder)?;
            let muxer = container.muxer()?;
            pipeline.add(&muxer)?;
            last.link_filtered(&muxer, &taken)?;
            Ok(muxer)
        })
    });
    if !goes_in {
        return left_out("it does not fit into the file as it is, and cannot be encoded anew");
    }
    let output = AppSrc::builder()
        .format(gst::Format::Time)
        .block(true)
        .max_bytes(1 << 20)
        .build();
    pipeline.add(&output)?;
    join(output.upcast_ref(), muxer, &coded)?;
    let room = Room::new(&track.stream, encoder, &taken, &output)?;
    let note = format!("{what} does not fit into the file as it is; {encoder} encodes it anew");
    Ok((Way::Encoded(room), Some(note)))
}

/// Adds a track of subtitles, if the file has a place for it.
fn subtitles(
    pipeline: &gst::Pipeline,
    muxer: &gst::Element,
    container: Container,
    track: &Track,
    what: &str,
) -> Result<(Way, Option<String>)> {
    let mut caps = track.stream.caps.clone();
    let is_markup = |s: &gst::StructureRef| s.get::<&str>("format") == Ok("pango-markup");
    let markup = caps.structure(0).is_some_and(is_markup);
    if markup {
        caps = gst::Caps::builder("text/x-raw")
            .field("format", "utf8")
            .build();
    }
    if container::template(muxer, &caps).is_none() {
        let note =
            format!("{what} is left out: GStreamer does not write it into files of this kind");
        return Ok((Way::LeftOut, Some(note)));
    }
    let source = source(&caps, 1 << 20);
    pipeline.add(&source)?;
    join(source.upcast_ref(), muxer, &caps)?;
    source.send_event(labels(&track.stream));
    // The reader hands the form of its own over with the first buffer.
    let pad = source
        .static_pad("src")
        .context("a source without output")?;
    let marked = matches!(container, Container::Matroska | Container::WebM);
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        let plain = info
            .buffer()
            .filter(|_| markup)
            .and_then(|b| unmarked(b, marked));
        if let Some(buffer) = plain {
            info.data = Some(gst::PadProbeData::Buffer(buffer));
        }
        gst::PadProbeReturn::Ok
    });
    Ok((Way::Copied(source), None))
}

/// A subtitle's text without Pango's markup.
fn unmarked(buffer: &gst::BufferRef, marked: bool) -> Option<gst::Buffer> {
    let map = buffer.map_readable().ok()?;
    let text = super::text::of_markup(std::str::from_utf8(&map).ok()?, marked);
    let mut plain = gst::Buffer::from_slice(text.into_bytes());
    let flags = gst::BufferCopyFlags::FLAGS | gst::BufferCopyFlags::TIMESTAMPS;
    buffer.copy_into(plain.get_mut()?, flags, ..).ok()?;
    Some(plain)
}

/// What the recording says of a track: its language, for instance.
pub fn labels(track: &Stream) -> gst::Event {
    let mut tags = track.tags.clone();
    tags.make_mut().set_scope(gst::TagScope::Stream);
    gst::event::Tag::new(tags)
}

/// Links a track to the muxer. Muxers take one form a track: what comes in another one later is left out.
fn join(last: &gst::Element, muxer: &gst::Element, caps: &gst::Caps) -> Result<()> {
    let template = container::template(muxer, caps).context("the file has no place for it")?;
    container::link(last, muxer, &template)?;
    let pad = last
        .static_pad("src")
        .context("an element without output")?;
    let (mut first, mut same) = (None, true);
    let state = std::sync::Mutex::new(move |event: Option<&gst::CapsRef>| {
        if let Some(caps) = event {
            let form = form(caps);
            same = *first.get_or_insert_with(|| form.clone()) == form;
        }
        same
    });
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        let caps = match info.event().map(|event| event.view()) {
            Some(gst::EventView::Caps(event)) => Some(event.caps()),
            Some(_) => return gst::PadProbeReturn::Ok,
            None => None,
        };
        let mut state = state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match state(caps) {
            true => gst::PadProbeReturn::Ok,
            false => gst::PadProbeReturn::Drop,
        }
    });
    Ok(())
}

/// What a muxer writes into a track's description.
fn form(caps: &gst::CapsRef) -> Vec<Option<String>> {
    let fields = [
        "rate",
        "channels",
        "codec_data",
        "stream-format",
        "layout",
        "format",
    ];
    let value = |field: &&str| {
        let value = caps.structure(0)?.value(*field).ok()?;
        Some(
            value
                .serialize()
                .map_or_else(|_| format!("{value:?}"), |text| text.to_string()),
        )
    };
    fields.iter().map(value).collect()
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

/// How a track is copied: as it is, or through a parser that cuts it into the frames the container wants. None where it cannot be.
fn copying(container: Container, track: &Track) -> Result<Option<Option<gst::ElementFactory>>> {
    let muxer = container.muxer()?;
    let caps = &track.stream.caps;
    let fits = container::template(&muxer, caps).is_some();
    let framed = caps.structure(0).is_some_and(|s| {
        ["framed", "parsed"]
            .iter()
            .any(|field| s.get::<bool>(*field) == Ok(true))
    });
    let parser = (!(fits && framed)).then(|| parser(&muxer, caps)).flatten();
    if parser.is_none() && !fits {
        return Ok(None);
    }
    let goes_in = track.stream.sample.as_ref().is_none_or(|first| {
        passes(first, |pipeline, source| {
            let (last, caps) = through(pipeline, source, parser.as_ref(), track)?;
            let muxer = container.muxer()?;
            pipeline.add(&muxer)?;
            let template = container::template(&muxer, &caps).context("no place in the file")?;
            container::link(&last, &muxer, &template)?;
            Ok(muxer)
        })
    });
    Ok(goes_in.then_some(parser))
}

/// Adds a track's parser, if it needs one. Returns the last element, and the form of what it puts out.
fn through(
    pipeline: &gst::Pipeline,
    source: &gst::Element,
    parser: Option<&gst::ElementFactory>,
    track: &Track,
) -> Result<(gst::Element, gst::Caps)> {
    let Some(factory) = parser else {
        return Ok((source.clone(), track.stream.caps.clone()));
    };
    let parser = factory.create().build()?;
    pipeline.add(&parser)?;
    source.link(&parser)?;
    let pad = parser
        .static_pad("src")
        .context("a parser without output")?;
    Ok((parser, pad.query_caps(None)))
}

/// A parser that brings sound of this kind into a form that the muxer takes. It stays of its kind: a parser of several kinds may offer another
/// one that the muxer takes, which this sound never becomes.
fn parser(muxer: &gst::Element, caps: &gst::Caps) -> Option<gst::ElementFactory> {
    let name = caps.structure(0)?.name();
    let parsers = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::PARSER,
        gst::Rank::MARGINAL,
    );
    parsers.into_iter().find(|factory| {
        let fits = |template: &gst::StaticPadTemplate| {
            let offered = template.caps();
            let alike = offered.iter().filter(|offered| offered.name() == name);
            let alike = alike
                .map(|offered| offered.to_owned())
                .collect::<gst::Caps>();
            template.direction() == gst::PadDirection::Src
                && container::template(muxer, &alike).is_some()
        };
        factory.can_sink_any_caps(caps) && factory.static_pad_templates().iter().any(fits)
    })
}

/// Whether there is a decoder for sound of this kind.
fn is_decodable(caps: &gst::Caps) -> bool {
    let raw = caps.structure(0).is_some_and(|s| s.name() == "audio/x-raw");
    let all = gst::ElementFactory::factories_with_type(
        gst::ElementFactoryType::DECODER,
        gst::Rank::MARGINAL,
    );
    raw || all
        .into_iter()
        .any(|factory| factory.can_sink_any_caps(caps))
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
