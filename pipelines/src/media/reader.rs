//! One recording: a pipeline of its own that decodes the picture and hands the sound over as it lies in the file.

use super::messages::{preroll, wait};
use super::orientation::Orientation;
use crate::element::make;
use crate::stop::Stop;
use anyhow::{Context, Result, anyhow, ensure};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

/// Decoded frames that wait for the network. Small: a frame of a 4K camera has 12 MB.
const FRAMES_WAITING: u32 = 3;
/// Compressed pieces of sound that wait.
const PACKETS_WAITING: u32 = 64;

/// A stream as it comes out of the file.
#[derive(Debug, Clone)]
pub struct Stream {
    sink: AppSink,
    /// Its format.
    pub caps: gst::Caps,
    /// What the file says of it.
    pub tags: gst::TagList,
    /// Running time of its first buffer in nanoseconds; below zero where the file wants the start cut off.
    pub first: i64,
    /// Time of day of its first picture in nanoseconds, where the file has timecodes.
    pub timecode: Option<u64>,
}

/// A recording, open, at its first frame.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    pipeline: gst::Pipeline,
    /// The picture, decoded.
    pub video: Stream,
    /// The sound tracks, as they lie in the file.
    pub audio: Vec<Stream>,
    /// What the file says of all of it: title, place, date.
    pub tags: gst::TagList,
}

/// What the pipeline of a reader says while it runs.
#[derive(Debug)]
pub struct Report {
    /// The file.
    pub path: PathBuf,
    /// The message.
    pub message: gst::Message,
}

/// What to do with the streams of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sound {
    /// Leave it out.
    Ignore,
    /// Hand it over as it lies in the file.
    Copy,
}

/// Streams found so far.
#[derive(Debug, Default)]
struct Found {
    video: Option<AppSink>,
    audio: Vec<AppSink>,
}

impl Reader {
    /// Opens a file and decodes its first frame.
    ///
    /// # Errors
    /// One message that names the file: it cannot be read, holds no video, or needs a decoder that is not installed.
    pub fn open(path: &Path, sound: Sound, stop: &Stop) -> Result<Self> {
        std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let pipeline = gst::Pipeline::new();
        let source = make("filesrc")?;
        source.set_property("location", path);
        let decoder = make("decodebin")?;
        // Sound stays as it is.
        decoder.connect("autoplug-continue", false, |values| {
            let caps = values.get(2)?.get::<gst::Caps>().ok()?;
            let audio = caps.structure(0)?.name().starts_with("audio/");
            Some((!audio).to_value())
        });
        pipeline.add_many([&source, &decoder])?;
        source.link(&decoder)?;

        let found = Arc::new(Mutex::new(Found::default()));
        let (weak, streams) = (pipeline.downgrade(), found.clone());
        decoder.connect_pad_added(move |_, pad| {
            if let Some(pipeline) = weak.upgrade() {
                let linked = link(&pipeline, pad, sound, &streams);
                if let Err(error) = linked {
                    gst::element_error!(pipeline, gst::CoreError::Pad, ("{error:#}"));
                }
            }
        });

        let opened = preroll(&pipeline, stop).and_then(|()| {
            let found = std::mem::take(&mut *lock(&found));
            let video = found.video.context("it holds no video")?;
            ensure!(
                !video.is_eos(),
                "its video has no frame that can be decoded"
            );
            let tags = tags(&video, gst::TagScope::Global);
            let audio = found.audio.into_iter().filter(|sink| !sink.is_eos());
            Ok(Self {
                path: path.to_owned(),
                video: stream(video)?,
                audio: audio.map(stream).collect::<Result<_>>()?,
                tags,
                pipeline: pipeline.clone(),
            })
        });
        if opened.is_err() {
            _ = pipeline.set_state(gst::State::Null);
        }
        opened.with_context(|| format!("cannot read {}", path.display()))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long it is, where the file says so.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        self.pipeline.query_duration()
    }

    /// The picture's size and format.
    pub fn format(&self) -> Result<gst_video::VideoInfo> {
        gst_video::VideoInfo::from_caps(&self.video.caps).with_context(|| {
            format!(
                "{} has a picture of an unknown format, {}",
                self.path.display(),
                self.video.caps
            )
        })
    }

    /// How the camera was held.
    pub fn orientation(&self) -> Orientation {
        self.video
            .tags
            .get::<gst::tags::ImageOrientation>()
            .map(|tag| Orientation::from_tag(tag.get()))
            .unwrap_or_default()
    }

    /// Goes to the first frame at or after `from`; the stream ends before `to`. Running time starts anew there.
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
            if to.is_some() {
                gst::SeekType::Set
            } else {
                gst::SeekType::None
            },
            to,
        );
        sought
            .map_err(|_| anyhow!("it cannot be read from the middle"))
            .and_then(|()| wait(&self.pipeline, stop))
            .with_context(|| format!("cannot go to {from:.3} in {}", self.path.display()))?;
        ensure!(
            !self.video.sink.is_eos(),
            "{} has no frame after {from:.3}",
            self.path.display()
        );
        Ok(())
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

impl Drop for Reader {
    fn drop(&mut self) {
        _ = self.pipeline.set_state(gst::State::Null);
    }
}

impl Stream {
    /// Hands all buffers to `to`, their times as running time plus `shift` nanoseconds. What would come before time 0 is left out.
    pub fn connect(&self, to: AppSrc, shift: i64) {
        let end = to.clone();
        let mut caps = None;
        self.sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if let Some(new) = sample.caps_owned().filter(|new| caps.as_ref() != Some(new))
                    {
                        to.set_caps(Some(&new));
                        caps = Some(new);
                    }
                    match shifted(&sample, shift) {
                        Some(buffer) => to.push_buffer(buffer),
                        None => Ok(gst::FlowSuccess::Ok),
                    }
                })
                .eos(move |_| {
                    // It fails only while the pipeline is being taken down.
                    _ = end.end_of_stream();
                })
                .build(),
        );
    }
}

/// The sample's buffer with its times as running time plus `shift`; none where that lies before 0.
fn shifted(sample: &gst::Sample, shift: i64) -> Option<gst::Buffer> {
    let mut buffer = sample.buffer_owned()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?.clone();
    let time = |time: Option<gst::ClockTime>| {
        let at = nanoseconds(segment.to_running_time_full(time?)?) + shift;
        u64::try_from(at).ok().map(gst::ClockTime::from_nseconds)
    };
    let (pts, dts) = (time(buffer.pts()), time(buffer.dts()));
    if buffer.pts().is_some() && pts.is_none() {
        return None;
    }
    let inner = buffer.make_mut();
    inner.set_pts(pts);
    inner.set_dts(dts);
    Some(buffer)
}

fn nanoseconds(time: gst::Signed<gst::ClockTime>) -> i64 {
    match time {
        gst::Signed::Positive(time) => time.nseconds() as i64,
        gst::Signed::Negative(time) => -(time.nseconds() as i64),
    }
}

/// Links a new pad of the decoder to a sink of its own.
fn link(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    sound: Sound,
    found: &Mutex<Found>,
) -> Result<()> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let kind = caps
        .structure(0)
        .map(|s| s.name().to_string())
        .unwrap_or_default();
    let mut found = lock(found);
    let (sink, waiting) = if kind == "video/x-raw" && found.video.is_none() {
        let sink = found.video.insert(AppSink::builder().build());
        (Some(sink.clone()), FRAMES_WAITING)
    } else if kind.starts_with("audio/") && sound == Sound::Copy {
        found.audio.push(AppSink::builder().build());
        (found.audio.last().cloned(), PACKETS_WAITING)
    } else {
        (None, 0)
    };
    let sink = match sink {
        Some(sink) => {
            sink.set_property("sync", false);
            sink.set_property("enable-last-sample", false);
            sink.set_property("max-buffers", waiting);
            sink.upcast::<gst::Element>()
        }
        None => {
            let sink = make("fakesink")?;
            sink.set_property("sync", false);
            sink.set_property("async", false);
            sink
        }
    };
    pipeline.add(&sink)?;
    sink.sync_state_with_parent()?;
    let target = sink.static_pad("sink").context("a sink without a pad")?;
    pad.link(&target)?;
    Ok(())
}

fn stream(sink: AppSink) -> Result<Stream> {
    let sample = sink
        .try_pull_preroll(gst::ClockTime::ZERO)
        .context("a stream without a first buffer")?;
    let caps = sample.caps_owned().context("a stream without a format")?;
    let time = sample.buffer().and_then(gst::BufferRef::pts);
    let first = sample
        .segment()
        .and_then(|segment| {
            segment
                .downcast_ref::<gst::ClockTime>()?
                .to_running_time_full(time?)
        })
        .map_or(0, nanoseconds);
    let timecode = sample.buffer().and_then(|buffer| {
        let meta = buffer.meta::<gst_video::VideoTimeCodeMeta>()?;
        Some(meta.tc().time_since_daily_jam().nseconds())
    });
    let tags = tags(&sink, gst::TagScope::Stream);
    Ok(Stream {
        sink,
        caps,
        tags,
        first,
        timecode,
    })
}

/// The tags of a scope that came with a stream.
fn tags(sink: &AppSink, scope: gst::TagScope) -> gst::TagList {
    let mut all = gst::TagList::new();
    let Some(pad) = sink.static_pad("sink") else {
        return all;
    };
    pad.sticky_events_foreach(|event| {
        if let gst::EventView::Tag(event) = event.view()
            && event.tag().scope() == scope
        {
            all.make_mut()
                .insert(event.tag(), gst::TagMergeMode::Append);
        }
        std::ops::ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    all
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
