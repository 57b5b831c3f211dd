//! Watches pads as GStreamer's own validation tool does: what may come when, and where buffers lie.

use gst::prelude::*;
use std::sync::{Arc, Mutex};

/// What has gone through a pad so far.
#[derive(Default)]
struct Seen {
    stream_start: bool,
    caps: Option<gst::Caps>,
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    flushing: bool,
    /// The number of the last flush.
    flush: Option<gst::Seqnum>,
    /// A buffer has come since the start or a flush.
    under_way: bool,
    ended: bool,
    last: Option<gst::ClockTime>,
    buffers: usize,
}

impl Seen {
    fn buffer(&mut self, buffer: &gst::BufferRef, clipped: bool) -> Result<(), String> {
        if self.flushing {
            return Ok(()); // it goes nowhere
        }
        self.buffers += 1;
        let discont = buffer.flags().contains(gst::BufferFlags::DISCONT);
        if clipped && !std::mem::replace(&mut self.under_way, true) && !discont {
            return Err("the first buffer goes on from none, and has no DISCONT flag".into());
        }
        let caps = self.caps.as_ref().ok_or("a buffer before caps")?;
        let segment = self.segment.as_ref().ok_or("a buffer before a segment")?;
        if self.ended {
            return Err("a buffer after the end".into());
        }
        let info = gst_video::VideoInfo::from_caps(caps).map_err(|e| e.to_string())?;
        if buffer.size() < info.size() {
            return Err(format!("{} bytes for a picture of {caps}", buffer.size()));
        }
        let pts = buffer.pts().ok_or("a buffer without a timestamp")?;
        let end = pts.saturating_add(buffer.duration().unwrap_or_default());
        let wrapped = pts > gst::ClockTime::MAX / 2;
        if wrapped || segment.clip(pts, end).is_none() {
            // A source may start at a key frame before it, and GStreamer's live ones below 0 after a seek.
            return match clipped {
                true => Err(format!("a buffer at {pts}, outside of the segment")),
                false => Ok(()),
            };
        }
        let time = segment.to_running_time(pts);
        if time < self.last {
            return Err(format!(
                "running time goes back from {:?} to {time:?}",
                self.last
            ));
        }
        self.last = time;
        Ok(())
    }

    fn event(&mut self, event: &gst::EventRef, seeks: &[gst::Seqnum]) -> Result<(), String> {
        let flushes = [gst::EventType::FlushStart, gst::EventType::FlushStop];
        if self.flushing && !flushes.contains(&event.type_()) {
            return Ok(()); // on its way when the flush came: it goes nowhere either
        }
        let needs = |there: bool, what: &str| match there {
            true => Ok(()),
            false => Err(format!("{:?} before {what}", event.type_())),
        };
        let of_seek = |flush: Option<gst::Seqnum>| match flush {
            Some(flush) if flush != event.seqnum() => {
                Err(format!("{:?} with another's number", event.type_()))
            }
            _ => Ok(()),
        };
        match event.view() {
            gst::EventView::StreamStart(_) => self.stream_start = true,
            gst::EventView::Caps(caps) => {
                needs(self.stream_start, "the stream's start")?;
                self.caps = Some(caps.caps_owned());
            }
            gst::EventView::Segment(segment) => {
                needs(self.caps.is_some(), "caps")?;
                of_seek(self.flush)?;
                self.segment = segment.segment().clone().downcast().ok();
            }
            gst::EventView::FlushStart(_) => {
                if !seeks.contains(&event.seqnum()) {
                    return Err("a flush that no seek asked for".into());
                }
                self.flush = Some(event.seqnum());
                self.flushing = true;
            }
            gst::EventView::FlushStop(_) => {
                needs(self.flushing, "a flush's start")?;
                of_seek(self.flush)?;
                *self = Self {
                    flush: self.flush,
                    stream_start: self.stream_start,
                    caps: self.caps.take(),
                    buffers: self.buffers,
                    ..Self::default()
                };
            }
            gst::EventView::Eos(_) => {
                if std::mem::replace(&mut self.ended, true) {
                    return Err("the end comes twice".into());
                }
                needs(self.stream_start, "the stream's start")?;
                of_seek(self.flush)?;
            }
            _ => (),
        }
        Ok(())
    }
}

/// The watch over several pads.
#[derive(Clone, Default)]
pub struct Monitor {
    issues: Arc<Mutex<Vec<String>>>,
    seeks: Arc<Mutex<Vec<gst::Seqnum>>>,
}

impl Monitor {
    /// Watches a pad; the number of its buffers so far is what it returns gives.
    pub fn watch(&self, pad: &gst::Pad) -> impl Fn() -> usize + use<> {
        let (monitor, name) = (self.clone(), pad.name());
        let clipped = matches!(&*name, "src" | "sink");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let count = seen.clone();
        let kinds = gst::PadProbeType::BUFFER
            | gst::PadProbeType::EVENT_DOWNSTREAM
            | gst::PadProbeType::EVENT_FLUSH;
        pad.add_probe(kinds, move |_, info| {
            let mut seen = seen.lock().unwrap();
            let seeks = monitor.seeks.lock().unwrap().clone();
            let well = match (info.buffer(), info.event()) {
                (Some(buffer), _) => seen.buffer(buffer, clipped),
                (_, Some(event)) => seen.event(event, &seeks),
                _ => Ok(()),
            };
            if let Err(issue) = well {
                monitor
                    .issues
                    .lock()
                    .unwrap()
                    .push(format!("{name}: {issue}"));
            }
            gst::PadProbeReturn::Ok
        });
        move || count.lock().unwrap().buffers
    }

    /// Seeks; what follows must have the seek's number.
    #[track_caller]
    pub fn seek(&self, pipeline: &gst::Pipeline, rate: f64, to: gst::ClockTime) {
        let flags = gst::SeekFlags::FLUSH | gst::SeekFlags::ACCURATE;
        let (start, stop) = (gst::SeekType::Set, gst::SeekType::None);
        let seek = gst::event::Seek::builder(rate, flags, start, to, stop, gst::ClockTime::NONE);
        let seek = seek.build();
        self.seeks.lock().unwrap().push(seek.seqnum());
        assert!(pipeline.send_event(seek), "the seek to {to} was refused");
    }

    /// Asserts that nothing was wrong.
    #[track_caller]
    pub fn assert_well(&self) {
        let issues = self.issues.lock().unwrap();
        assert!(issues.is_empty(), "{issues:#?}");
    }
}
