//! A pipeline that reads one recording, down to the streams that are wanted of it.

use super::messages::{preroll, wait};
use crate::element::make;
use crate::stop::Stop;
use anyhow::{Context, Result, anyhow};
use gst::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;

/// A recording, open.
#[derive(Debug)]
pub struct Player {
    path: PathBuf,
    pub pipeline: gst::Pipeline,
}

/// What the pipeline of a recording says while it runs.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// The message.
    pub message: gst::Message,
}

impl Player {
    /// Makes a pipeline for a file. `goes_on` says of a stream's form on its way whether it is taken apart or decoded further, and
    /// `take` links what comes out in the end.
    pub fn new(
        path: &Path,
        goes_on: impl Fn(&gst::Pad, &gst::Caps) -> bool + Send + Sync + 'static,
        take: impl Fn(&gst::Pipeline, &gst::Pad) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        std::fs::File::open(path)?;
        let pipeline = gst::Pipeline::new();
        let source = make("filesrc")?;
        source.set_property("location", path);
        let decoder = make("decodebin")?;
        decoder.connect("autoplug-continue", false, move |values| {
            let pad = values.get(1)?.get::<gst::Pad>().ok()?;
            let caps = values.get(2)?.get::<gst::Caps>().ok()?;
            Some(goes_on(&pad, &caps).to_value())
        });
        pipeline.add_many([&source, &decoder])?;
        source.link(&decoder)?;
        let weak = pipeline.downgrade();
        decoder.connect_pad_added(move |_, pad| {
            if let Some(pipeline) = weak.upgrade()
                && let Err(error) = take(&pipeline, pad)
            {
                gst::element_error!(pipeline, gst::CoreError::Pad, ("{error:#}"));
            }
        });
        Ok(Self {
            path: path.to_owned(),
            pipeline,
        })
    }

    /// Reads up to the first buffer of all streams.
    pub fn begin(&self, stop: &Stop) -> Result<()> {
        preroll(&self.pipeline, stop)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Goes to `from`; streams end before `to`. Running time starts anew there.
    pub fn seek(
        &self,
        from: gst::ClockTime,
        to: Option<gst::ClockTime>,
        stop: &Stop,
    ) -> Result<()> {
        let sought = self.pipeline.seek(
            1.0,
            gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE,
            gst::SeekType::Set,
            from,
            match to {
                Some(_) => gst::SeekType::Set,
                None => gst::SeekType::None,
            },
            to,
        );
        sought
            .map_err(|_| anyhow!("it cannot be read from the middle"))
            .and_then(|()| wait(&self.pipeline, stop))
    }

    /// Goes back to the start, for a recording that cannot be read from the middle.
    pub fn rewind(&self, stop: &Stop) -> Result<()> {
        self.pipeline.set_state(gst::State::Ready)?;
        if let Some(bus) = self.pipeline.bus() {
            // What was said of the attempt to seek.
            while bus.pop().is_some() {}
        }
        self.begin(stop)
    }

    /// Sends messages of the pipeline to `to` from now on.
    pub fn report_to<E: From<Report> + Send + 'static>(&self, to: Sender<E>) -> Result<()> {
        let bus = self.pipeline.bus().context("a pipeline without a bus")?;
        let path = self.path.clone();
        bus.set_sync_handler(move |_, message| {
            _ = to.send(E::from(Report {
                path: path.clone(),
                message: message.clone(),
            }));
            gst::BusSyncReply::Drop
        });
        Ok(())
    }

    /// Starts reading; what streams were connected receive their buffers.
    pub fn play(&self) -> Result<()> {
        self.pipeline
            .set_state(gst::State::Playing)
            .with_context(|| format!("cannot read {}", self.path.display()))?;
        Ok(())
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Lets a stream that is not wanted run into nothing, so that it holds up no other one.
pub fn pass_by(pad: &gst::Pad) {
    let data = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(data, |_, _| gst::PadProbeReturn::Drop);
}
