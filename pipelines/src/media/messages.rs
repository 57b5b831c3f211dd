//! Waiting for a pipeline, and what its messages say.

use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use gst::prelude::*;

/// Brings the pipeline to its first frame.
pub fn preroll(pipeline: &gst::Pipeline, stop: &Stop) -> Result<()> {
    // Where this fails there is a message that says why.
    _ = pipeline.set_state(gst::State::Paused);
    wait(pipeline, stop)
}

/// Waits until all streams stand at a frame.
pub fn wait(pipeline: &gst::Pipeline, stop: &Stop) -> Result<()> {
    let bus = pipeline.bus().context("a pipeline without a bus")?;
    let mut lacks = None;
    loop {
        stop.check()?;
        let Some(message) = bus.timed_pop(gst::ClockTime::from_mseconds(100)) else {
            continue;
        };
        match message.view() {
            gst::MessageView::AsyncDone(_) => return Ok(()),
            gst::MessageView::Error(error) => bail!(lacks.unwrap_or_else(|| unreadable(error))),
            gst::MessageView::Element(element) => {
                lacks = element.structure().and_then(missing_plugin).or(lacks);
            }
            _ => (),
        }
    }
}

/// What a message of a missing decoder says.
fn missing_plugin(structure: &gst::StructureRef) -> Option<String> {
    if structure.name() != "missing-plugin" {
        return None;
    }
    let name = structure.get::<String>("name").ok()?;
    Some(format!("no GStreamer plugin is installed for: {name}"))
}

/// Why a recording cannot be read.
pub fn unreadable(error: &gst::message::Error) -> String {
    unknown_pixels(error).unwrap_or_else(|| error_text(error))
}

/// FFmpeg's decoders know more kinds of pixels than GStreamer. What cannot be named they find no memory for.
fn unknown_pixels(error: &gst::message::Error) -> Option<String> {
    let decoder = error.src()?.downcast_ref::<gst::Element>()?;
    let [input, output] = ["sink", "src"].map(|name| decoder.static_pad(name));
    let is_ffmpegs = decoder.factory()?.name().starts_with("avdec_");
    let kinds = [gst::ResourceError::Failed, gst::ResourceError::NoSpaceLeft];
    let of_memory = kinds.iter().any(|kind| error.error().matches(*kind));
    if !is_ffmpegs || !of_memory || output?.has_current_caps() {
        return None;
    }
    let caps = input?.current_caps()?;
    let coded = caps.structure(0)?;
    let mut words = vec![coded.name().to_string()];
    let text = |field| coded.get::<String>(field).ok();
    words.extend(text("profile").map(|profile| format!("profile {profile}")));
    words.extend(text("chroma-format").map(|chroma| format!("colours {chroma}")));
    let bits = coded.get::<u32>("bit-depth-luma").ok();
    words.extend(bits.map(|bits| format!("{bits} bits a sample")));
    Some(format!(
        "GStreamer has no name for its kind of pixels ({}); another program can make a recording of 4:2:0 of it",
        words.join(", ")
    ))
}

/// An error message in one line: what happened, and the details where they say more.
pub fn error_text(error: &gst::message::Error) -> String {
    let text = error.error().to_string();
    let text = text.trim_end_matches('.').to_owned();
    // The debug text is "file(line): function (): /path/of/element:\nreason".
    let debug = error.debug().unwrap_or_default();
    let reason = debug.lines().skip(1).find(|line| !line.trim().is_empty());
    match reason.map(|reason| reason.trim().trim_end_matches('.')) {
        Some(reason) if !text.contains(reason) && !reason.starts_with("streaming stopped") => {
            format!("{text} ({reason})")
        }
        _ => text,
    }
}
