//! The frames of a video or a folder of pictures, one after the other.

use super::messages::error_text;
use super::pictures;
use crate::element::make;
use crate::frames::{self, of_sample};
use anyhow::{Context, Result, bail};
use gst::prelude::*;
use gst_app::AppSink;
use refvsr_tools::picture;
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};

/// Names of files that are taken for videos.
const VIDEOS: [&str; 7] = ["mkv", "mp4", "mov", "webm", "ts", "m4v", "avi"];

/// Whether a file's name ends as a video's does.
pub fn is_video(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| VIDEOS.iter().any(|v| e.eq_ignore_ascii_case(v)))
}

/// A source of frames.
#[derive(Debug)]
pub enum Frames {
    Video(Video),
    Pictures(std::vec::IntoIter<PathBuf>),
}

/// A video that is being decoded.
#[derive(Debug)]
pub struct Video {
    path: PathBuf,
    pipeline: gst::Pipeline,
    sink: AppSink,
}

impl Frames {
    /// Opens a video file, or a folder of numbered PNG files.
    pub fn open(path: &Path) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Pictures(pictures::list(path)?.into_iter()));
        }
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self::Video(Video::open(path)?))
    }

    /// The next frame, RGB `[1, 3, H, W]`, f32 in \[0, 1\]; none at the end.
    pub fn next(&mut self) -> Result<Option<Tensor>> {
        match self {
            Self::Video(video) => video.next(),
            Self::Pictures(files) => {
                let read = |file: PathBuf| picture::tensor(&file, Device::Cpu);
                files.next().map(read).transpose()
            }
        }
    }
}

impl Video {
    fn open(path: &Path) -> Result<Self> {
        let pipeline = gst::Pipeline::new();
        let source = make("filesrc")?;
        source.set_property("location", path);
        let decoder = make("decodebin")?;
        let sink = frames::sink();
        let convert = make("videoconvert")?;
        pipeline.add_many([&source, &decoder, &convert, sink.upcast_ref()])?;
        source.link(&decoder)?;
        convert.link(&sink)?;
        let target = convert
            .static_pad("sink")
            .context("an element without input")?;
        decoder.connect_pad_added(move |_, pad| {
            if !target.is_linked() {
                // Sound does not fit.
                _ = pad.link(&target);
            }
        });
        // Where this fails there is a message that says why.
        _ = pipeline.set_state(gst::State::Playing);
        Ok(Self {
            path: path.to_owned(),
            pipeline,
            sink,
        })
    }

    fn next(&mut self) -> Result<Option<Tensor>> {
        let bus = self.pipeline.bus().context("a pipeline without a bus")?;
        loop {
            if let Some(sample) = self
                .sink
                .try_pull_sample(gst::ClockTime::from_mseconds(100))
            {
                return of_sample(&sample).map(Some);
            }
            if self.sink.is_eos() {
                return Ok(None);
            }
            if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
                && let gst::MessageView::Error(error) = message.view()
            {
                bail!("cannot read {}: {}", self.path.display(), error_text(error))
            }
        }
    }
}

impl Drop for Video {
    fn drop(&mut self) {
        _ = self.pipeline.set_state(gst::State::Null);
    }
}
