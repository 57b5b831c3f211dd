//! One recording: a pipeline of its own that decodes the picture and hands the sound over as it lies in the file.

use super::messages::{preroll, wait};
use super::orientation::Orientation;
use super::stream::{Stream, tags};
use super::timecode;
use crate::element::make;
use crate::stop::Stop;
use anyhow::{Context, Result, anyhow, ensure};
use gst::prelude::*;
use gst_app::AppSink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

/// Decoded frames that wait for the network. Small: a frame of a 4K camera has 12 MB.
const FRAMES_WAITING: u32 = 3;
/// Compressed pieces of sound that wait.
const PACKETS_WAITING: u32 = 64;

/// A stream of sound whose last packet begins no earlier before the file's end is what the file's length comes from.
const SOUND_LEFT: gst::ClockTime = gst::ClockTime::from_mseconds(500);

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
    /// It has sound, handed over or not.
    has_sound: bool,
    /// The latest frame that went into the decoder, in the file's time.
    encoded: Encoded,
}

type Encoded = Arc<Mutex<Option<gst::ClockTime>>>;

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
    has_sound: bool,
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

        let encoded = Encoded::default();
        let latest = encoded.clone();
        pipeline.connect_deep_element_added(move |_, _, element| follow(element, &latest));

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
                video: Stream::open(video)?,
                audio: audio.map(Stream::open).collect::<Result<_>>()?,
                tags,
                has_sound: found.has_sound,
                encoded,
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

    /// The time of day of its first frame in nanoseconds, where it has timecodes.
    pub fn timecode(&self) -> Option<u64> {
        self.video
            .timecode
            .or_else(|| timecode::of_file(&self.path))
    }

    /// What was wrong with the picture as far as it was read, or up to `to`: frames that are missing or cannot be decoded, and an end
    /// that comes too early.
    pub fn complaint(&self, to: Option<gst::ClockTime>) -> Option<String> {
        let encoded = *lock(&self.encoded);
        // Where a reference goes on longer than the ultra-wide picture, its end has not been seen.
        let end = match self.video.has_ended() {
            true => self.length().map(|end| to.map_or(end, |to| to.min(end))),
            false => None,
        };
        self.video.seen().complaint(encoded, end)
    }

    /// Where the picture should end: the file's length, if that is written in the file (others make a guess) and is not the sound's.
    fn length(&self) -> Option<gst::ClockTime> {
        let known = self.has_sound != self.audio.is_empty() && self.has_length();
        let length = self.duration().filter(|_| known)?;
        let reaches = |track: &Stream| {
            let last = track.seen().last();
            last.is_some_and(|last| last.saturating_add(SOUND_LEFT) >= length)
        };
        (!self.audio.iter().any(reaches)).then_some(length)
    }

    /// Whether the length is written in the file.
    fn has_length(&self) -> bool {
        let names = ["matroskademux", "qtdemux"];
        let elements = self.pipeline.iterate_recurse().into_iter().flatten();
        elements
            .filter_map(|element| element.factory())
            .any(|factory| names.contains(&factory.name().as_str()))
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

/// Notes the latest frame that goes into an element, if that is a decoder of pictures.
fn follow(element: &gst::Element, latest: &Encoded) {
    let decodes = element.factory().is_some_and(|factory| {
        let pictures = gst::ElementFactoryType::MEDIA_VIDEO | gst::ElementFactoryType::MEDIA_IMAGE;
        factory.has_type(gst::ElementFactoryType::DECODER | pictures)
    });
    let (true, Some(pad)) = (decodes, element.static_pad("sink")) else {
        return;
    };
    let latest = latest.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        if let Some(event) = info.event() {
            // What came before a seek does not count.
            if event.type_() == gst::EventType::Segment {
                *lock(&latest) = None;
            }
        } else if let Some(time) = info.buffer().and_then(|buffer| stream_time(pad, buffer)) {
            let mut latest = lock(&latest);
            *latest = latest.max(Some(time));
        }
        gst::PadProbeReturn::Ok
    });
}

/// When a buffer is in the file; none where it is to be cut off.
fn stream_time(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    let pts = buffer
        .pts()
        .filter(|pts| segment.stop().is_none_or(|stop| *pts < stop))?;
    segment.to_stream_time(pts)
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
    found.has_sound |= kind.starts_with("audio/");
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
