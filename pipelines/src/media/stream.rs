//! One stream of a recording on its way to the pipeline that enlarges.

use super::changes;
use super::continuity::{Continuity, seconds};
use super::times::Times;
use anyhow::{Context, Result, anyhow};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use std::cell::Cell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// A stream as it comes out of the file.
#[derive(Debug, Clone)]
pub struct Stream {
    pub(super) sink: AppSink,
    /// Its format.
    pub caps: gst::Caps,
    /// What the file says of it.
    pub tags: gst::TagList,
    /// Running time of its first buffer in nanoseconds; below zero where the file wants the start cut off. None where it begins later than
    /// the other streams.
    pub first: Option<i64>,
    /// The first buffer.
    pub sample: Option<gst::Sample>,
    /// The times of its buffers.
    seen: Arc<Mutex<Continuity>>,
    part: Cell<Part>,
}

/// The part of a recording that is cut out while it is read from its start: none of it where it was sought.
#[derive(Debug, Clone, Copy, Default)]
pub struct Part {
    pub from: i64,
    pub to: Option<i64>,
}

impl Part {
    /// From one moment to another.
    pub fn new(from: gst::ClockTime, to: Option<gst::ClockTime>) -> Self {
        Self {
            from: from.nseconds() as i64,
            to: to.map(|to| to.nseconds() as i64),
        }
    }
}

/// What is found while a stream is read.
#[derive(Debug)]
pub enum Word {
    /// Something worth knowing that is no failure.
    Note(String),
    /// The recording cannot be used further.
    Failed(anyhow::Error),
}

/// How pictures are handed over.
#[derive(Debug)]
pub struct Pictures {
    /// The file, for messages.
    pub path: PathBuf,
    /// Of frames that do not say when they are, in a file that does not say it either.
    pub framerate: gst::Fraction,
    /// Interlaced pictures are taken.
    pub interlaced: bool,
}

/// Changes of form that are told of a recording.
const TOLD: usize = 3;

impl Stream {
    /// A stream that stands at its first buffer, or before it where that is late.
    pub fn open(sink: AppSink) -> Result<Self> {
        let sample = sink.try_pull_preroll(gst::ClockTime::ZERO);
        let pad = sink.static_pad("sink");
        let caps = match &sample {
            Some(sample) => sample.caps_owned(),
            None => pad.and_then(|pad| pad.current_caps()),
        };
        let tags = tags(&sink, gst::TagScope::Stream);
        Ok(Self {
            caps: caps.context("a stream without a format")?,
            first: sample.as_ref().and_then(running_time),
            tags,
            sample,
            sink,
            seen: Arc::default(),
            part: Cell::default(),
        })
    }

    /// Whether all of it was read.
    pub fn has_ended(&self) -> bool {
        self.sink.is_eos()
    }

    /// Whether it stands at a frame that says when it is.
    pub fn stands_at_a_time(&self) -> bool {
        let sample = self.sink.try_pull_preroll(gst::ClockTime::ZERO);
        sample.is_some_and(|sample| running_time(&sample).is_some())
    }

    /// Cuts a part out of a stream that is read from its start.
    pub fn cut(&self, part: Part) {
        self.part.set(part);
    }

    /// The times of the buffers that were read since it was connected, in the file's own time.
    pub fn seen(&self) -> Continuity {
        lock(&self.seen).clone()
    }

    /// Hands all buffers to `to`, their times as running time plus `shift` nanoseconds. What would come before time 0 is left out.
    /// Every frame of `pictures` gets a time; one whose form changes is told, and goes on in the new form.
    pub fn connect(
        &self,
        to: AppSrc,
        shift: i64,
        pictures: Option<Pictures>,
        tell: impl Fn(Word) + Send + 'static,
    ) {
        let part = self.part.get();
        let shift = shift - part.from;
        let end = to.clone();
        let tell = Arc::new(Mutex::new(tell));
        let mut reading = Reading {
            first: self.caps.clone(),
            last: self.caps.clone(),
            changes: 0,
            seen: self.seen.clone(),
            tell: tell.clone(),
            pictures,
        };
        let rate = self
            .caps
            .structure(0)
            .and_then(|s| s.get::<gst::Fraction>("framerate").ok());
        let given = reading.pictures.as_ref().map(|pictures| pictures.framerate);
        let rate = rate.filter(|rate| rate.numer() > 0).or(given);
        let times = Arc::new(Mutex::new(Times::new(
            rate.unwrap_or(gst::Fraction::new(30, 1)),
        )));
        let (placed, path) = (
            times.clone(),
            reading.pictures.as_ref().map(|p| p.path.clone()),
        );
        self.sink.set_callbacks(
            gst_app::AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                    if let Some(caps) = reading.caps(&sample)? {
                        to.set_caps(Some(&caps));
                    }
                    let own = running_time(&sample);
                    let time = match reading.pictures {
                        Some(_) => Some(lock(&times).place(own)),
                        None => own,
                    };
                    if let Some((at, discont)) = place(&sample, time) {
                        lock(&reading.seen).add(at, discont);
                    }
                    if part
                        .to
                        .is_some_and(|to| time.is_some_and(|time| time >= to))
                    {
                        _ = to.end_of_stream();
                        return Err(gst::FlowError::Eos);
                    }
                    match shifted(&sample, time, shift) {
                        Some(buffer) => to.push_buffer(buffer),
                        None => Ok(gst::FlowSuccess::Ok),
                    }
                })
                .eos(move |_| {
                    if let (Some(text), Some(path)) = (lock(&placed).complaint(), &path) {
                        lock(&tell)(Word::Note(format!("{}: {text}", path.display())));
                    }
                    // It fails only while the pipeline is being taken down.
                    _ = end.end_of_stream();
                })
                .build(),
        );
    }
}

/// What is known of a stream while it is read.
struct Reading<F> {
    first: gst::Caps,
    last: gst::Caps,
    changes: usize,
    seen: Arc<Mutex<Continuity>>,
    tell: Arc<Mutex<F>>,
    pictures: Option<Pictures>,
}

impl<F: Fn(Word)> Reading<F> {
    /// The caps of a sample, where they are other than those of the one before.
    fn caps(&mut self, sample: &gst::Sample) -> Result<Option<gst::Caps>, gst::FlowError> {
        let new = sample.caps_owned().filter(|new| *new != self.last);
        let (Some(new), Some(pictures)) = (&new, &self.pictures) else {
            return Ok(new.inspect(|new| self.last = new.clone()));
        };
        let file = pictures.path.display();
        if let (Some(how), false) = (changes::interlacing(new), pictures.interlaced) {
            let at = at(sample);
            let error = anyhow!("{file} is {how} from {at} on; --deinterlace makes whole pictures");
            lock(&self.tell)(Word::Failed(error));
            return Err(gst::FlowError::Error);
        }
        if let Some(words) = changes::words(&self.last, new) {
            self.changes += 1;
            let at = at(sample);
            let text = match self.changes {
                n if n < TOLD => format!(
                    "{file}: at {at} its picture changes ({words}); it is brought to the form of the first one"
                ),
                TOLD => format!("{file}: at {at} its picture changes again, and perhaps later"),
                _ => String::new(),
            };
            if !text.is_empty() {
                lock(&self.tell)(Word::Note(text));
            }
        }
        self.last = new.clone();
        Ok(Some(changes::form(&self.first, new)))
    }
}

/// When a sample is in the file, for messages.
fn at(sample: &gst::Sample) -> String {
    let time = place(sample, running_time(sample)).map(|(time, _)| seconds(time));
    time.map_or("some moment".into(), |time| format!("{time:.3} s"))
}

/// The running time of a sample in nanoseconds.
fn running_time(sample: &gst::Sample) -> Option<i64> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let time = sample.buffer()?.pts()?;
    Some(nanoseconds(segment.to_running_time_full(time)?))
}

/// When a sample with this running time is in the file, and whether the decoder left something out before it.
fn place(sample: &gst::Sample, time: Option<i64>) -> Option<(gst::ClockTime, bool)> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let given = || u64::try_from(time?).ok().map(gst::ClockTime::from_nseconds);
    let time = match buffer.pts() {
        Some(own) => segment.to_stream_time(own)?,
        None => given()?,
    };
    Some((time, buffer.flags().contains(gst::BufferFlags::DISCONT)))
}

/// The sample's buffer at this running time plus `shift`; none where that lies before 0.
fn shifted(sample: &gst::Sample, time: Option<i64>, shift: i64) -> Option<gst::Buffer> {
    let mut buffer = sample.buffer_owned()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?.clone();
    let moved = |time: i64| {
        u64::try_from(time + shift)
            .ok()
            .map(gst::ClockTime::from_nseconds)
    };
    let pts = time.and_then(moved);
    if time.is_some() && pts.is_none() {
        return None;
    }
    let dts = buffer
        .dts()
        .and_then(|dts| segment.to_running_time_full(dts));
    let dts = dts.map(nanoseconds).and_then(moved);
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

/// The tags of a scope that came with a stream.
pub fn tags(sink: &AppSink, scope: gst::TagScope) -> gst::TagList {
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

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
