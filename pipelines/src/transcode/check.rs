//! What lies in the finished file, as a player finds it.

use crate::element::make;
use crate::media::Take;
use crate::media::contents::{Kind, is_container, list};
use crate::media::messages::error_text;
use crate::media::player::{Player, pass_by};
use crate::media::reader::Reader;
use crate::stop::Stop;
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many frames a video file holds.
pub fn frames(file: &Path, stop: &Stop) -> Result<u64> {
    let picture = list(file, stop)?;
    let picture = picture.of_kind(Kind::Picture).next().cloned();
    let id = picture.context("it holds no video")?.id;
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    let player = Player::new(
        file,
        |_, caps| is_container(caps),
        move |pipeline, pad| {
            if pad.stream_id().as_deref() != Some(&id) {
                pass_by(pad);
                return Ok(());
            }
            let sink = make("fakesink")?;
            sink.set_property("sync", false);
            sink.set_property("enable-last-sample", false);
            pipeline.add(&sink)?;
            let counter = counter.clone();
            let input = sink.static_pad("sink").context("a sink without a pad")?;
            input.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                counter.fetch_add(1, Ordering::Relaxed);
                gst::PadProbeReturn::Ok
            });
            sink.sync_state_with_parent()?;
            pad.link(&input)?;
            Ok(())
        },
    )?;
    let bus = player.pipeline.bus().context("a pipeline without a bus")?;
    player.play()?;
    loop {
        stop.check()?;
        let message = bus.timed_pop(gst::ClockTime::from_mseconds(100));
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => return Ok(count.load(Ordering::Relaxed)),
            Some(gst::MessageView::Error(error)) => bail!(error_text(error)),
            _ => (),
        }
    }
}

/// What players do not learn from the file of its pictures' colours. `recorded` are the caps of the recording, `coded` of what went into the
/// encoder.
pub fn colours(file: &Path, recorded: &gst::Caps, coded: &gst::Caps, stop: &Stop) -> Vec<String> {
    // A file that cannot be decoded here may well be decoded elsewhere.
    let Ok(reader) = Reader::open(file, Take::default(), stop) else {
        return vec![];
    };
    let field = |caps: &gst::Caps, field: &str| caps.structure(0)?.get::<String>(field).ok();
    let info = |caps: &gst::Caps| gst_video::VideoInfo::from_caps(caps).ok();
    let mut lost = Vec::new();
    let (wanted, found) = (info(coded), info(&reader.video.caps));
    if let (Some(wanted), Some(found), Some(_)) = (wanted, found, field(recorded, "colorimetry"))
        && wanted.colorimetry() != found.colorimetry()
    {
        lost.push(format!(
            "the file does not say that its colours are {}; players will take them for {}",
            wanted.colorimetry(),
            found.colorimetry()
        ));
    }
    let graded = |caps: &gst::Caps| {
        ["mastering-display-info", "content-light-level"].map(|name| field(caps, name))
    };
    let kept = graded(recorded).into_iter().zip(graded(&reader.video.caps));
    if kept
        .into_iter()
        .any(|(wanted, found)| wanted.is_some() && wanted != found)
    {
        lost.push(
            "the file does not say as the recording does for which light its pictures were graded (HDR)".to_owned(),
        );
    }
    lost
}

/// How many pictures a folder holds.
pub fn pictures(folder: &Path) -> Result<u64> {
    let entries = std::fs::read_dir(folder)?;
    let is_picture = |entry: &std::fs::DirEntry| {
        let path = entry.path();
        path.extension().is_some_and(|extension| extension == "png")
    };
    let all = entries.flatten().filter(is_picture);
    Ok(all
        .filter(|entry| entry.metadata().is_ok_and(|data| data.len() > 0))
        .count() as u64)
}
