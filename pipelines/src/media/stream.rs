//! One stream of a recording on its way to the pipeline that enlarges.

use super::continuity::Continuity;
use anyhow::{Context, Result};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use std::sync::{Arc, Mutex, PoisonError};

/// A stream as it comes out of the file.
#[derive(Debug, Clone)]
pub struct Stream {
    pub(super) sink: AppSink,
    /// Its format.
    pub caps: gst::Caps,
    /// What the file says of it.
    pub tags: gst::TagList,
    /// Running time of its first buffer in nanoseconds; below zero where the file wants the start cut off.
    pub first: i64,
    /// Time of day of its first picture in nanoseconds, where the file has timecodes.
    pub timecode: Option<u64>,
    /// The times of its buffers.
    seen: Arc<Mutex<Continuity>>,
}

impl Stream {
    /// A stream that stands at its first buffer.
    pub fn open(sink: AppSink) -> Result<Self> {
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
        Ok(Self {
            sink,
            caps,
            tags,
            first,
            timecode,
            seen: Arc::default(),
        })
    }

    /// Whether all of it was read.
    pub fn has_ended(&self) -> bool {
        self.sink.is_eos()
    }

    /// The times of the buffers that were read since it was connected, in the file's own time.
    pub fn seen(&self) -> Continuity {
        lock(&self.seen).clone()
    }

    /// Hands all buffers to `to`, their times as running time plus `shift` nanoseconds. What would come before time 0 is left out.
    pub fn connect(&self, to: AppSrc, shift: i64) {
        let (end, seen) = (to.clone(), self.seen.clone());
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
                    if let Some((time, discont)) = place(&sample) {
                        lock(&seen).add(time, discont);
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

/// When a sample is in the file, and whether the decoder left something out before it.
fn place(sample: &gst::Sample) -> Option<(gst::ClockTime, bool)> {
    let buffer = sample.buffer()?;
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    let time = segment.to_stream_time(buffer.pts()?)?;
    Some((time, buffer.flags().contains(gst::BufferFlags::DISCONT)))
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

fn lock(seen: &Mutex<Continuity>) -> std::sync::MutexGuard<'_, Continuity> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
