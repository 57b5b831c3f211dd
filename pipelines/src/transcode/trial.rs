//! Whether elements take a stream: its first piece is sent through them.

use super::sound::source;
use anyhow::Result;
use gst::prelude::*;

/// Longer than any encoder or muxer needs for one piece, on a busy machine too.
const LONGEST: gst::ClockTime = gst::ClockTime::from_seconds(20);

/// Whether a stream that begins with `first` passes what `build` puts behind its source. A header alone proves nothing, and passes.
pub fn passes(
    first: &gst::Sample,
    build: impl FnOnce(&gst::Pipeline, &gst::Element) -> Result<gst::Element>,
) -> bool {
    let pipeline = gst::Pipeline::new();
    let passed = send(&pipeline, first, build).unwrap_or(false);
    _ = pipeline.set_state(gst::State::Null);
    passed
}

fn send(
    pipeline: &gst::Pipeline,
    first: &gst::Sample,
    build: impl FnOnce(&gst::Pipeline, &gst::Element) -> Result<gst::Element>,
) -> Result<bool> {
    let (Some(caps), Some(mut buffer)) = (first.caps_owned(), first.buffer_owned()) else {
        return Ok(false);
    };
    if buffer.flags().contains(gst::BufferFlags::HEADER) {
        return Ok(true);
    }
    let source = source(&caps, u64::MAX);
    let sink = crate::element::make("fakesink")?;
    sink.set_property("async", false);
    pipeline.add(&source)?;
    let last = build(pipeline, source.upcast_ref())?;
    pipeline.add(&sink)?;
    last.link(&sink)?;
    let inner = buffer.make_mut();
    inner.set_pts(gst::ClockTime::ZERO);
    inner.set_dts(gst::ClockTime::NONE);
    pipeline.set_state(gst::State::Playing)?;
    source.push_buffer(buffer)?;
    source.end_of_stream()?;
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline
        .bus()
        .and_then(|bus| bus.timed_pop_filtered(LONGEST, &ends));
    // Something slow is no refusal.
    Ok(message.is_none_or(|message| message.type_() == gst::MessageType::Eos))
}
