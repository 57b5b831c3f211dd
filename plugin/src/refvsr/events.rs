//! Events: what comes with the streams, and what downstream sends.

use super::{camera::Camera, element::RefVsr, log::CAT, work::Held};
use gst::{prelude::*, subclass::prelude::*};
use gst_base::{AggregatorPad, subclass::prelude::*};

impl RefVsr {
    /// An event on a sink pad. Serialized ones come on the streaming thread, between two turns.
    pub fn take_sink_event(&self, pad: &AggregatorPad, event: gst::Event) -> bool {
        let camera = Camera::of(pad);
        match event.view() {
            gst::EventView::Caps(caps) => self.take_caps(pad, camera, caps.caps()),
            gst::EventView::Segment(segment) => {
                self.take_segment(pad, camera, segment) && self.parent_sink_event(pad, event)
            }
            gst::EventView::StreamStart(_) => self.start_stream(pad, camera, event),
            gst::EventView::Eos(_) if camera == Camera::UltraWide => {
                // No reference is needed any more, so the base class is not to wait for one.
                let done = self.parent_sink_event(pad, event);
                for (_, reference) in self.references() {
                    self.parent_sink_event(&reference, gst::event::Eos::new());
                }
                done
            }
            gst::EventView::FlushStart(_)
            | gst::EventView::FlushStop(_)
            | gst::EventView::Gap(_)
            | gst::EventView::Eos(_) => self.parent_sink_event(pad, event),
            // The output is as long as the ultra-wide video.
            gst::EventView::SegmentDone(_) if camera != Camera::UltraWide => true,
            gst::EventView::SegmentDone(_) => {
                self.drain_now();
                self.parent_sink_event(pad, event)
            }
            // What else comes with the reference cameras' streams says nothing of the output.
            _ if camera != Camera::UltraWide => true,
            _ if event.is_serialized() => {
                self.hold(Held::Event(event));
                true
            }
            _ => self.parent_sink_event(pad, event),
        }
    }

    /// Puts something of the ultra-wide stream behind the frames held.
    pub fn hold(&self, held: Held) {
        self.running(|running| running.hold(held));
        // Where no frame is held it can go on at once.
        if let Some((mut work, turn)) = self.take_work(false) {
            if let Err(why) = self.pass_on_between_turns(&mut work, &turn) {
                gst::debug!(CAT, imp = self, "Not passed on: {why}");
            }
            self.put_back(work);
        }
    }

    /// A stream begins on a pad. Newer base classes take another one after the end, and begin anew.
    fn start_stream(&self, pad: &AggregatorPad, camera: Camera, event: gst::Event) -> bool {
        let done = self.parent_sink_event(pad, event);
        if camera == Camera::UltraWide {
            self.running(|running| {
                running.ended = false;
                running.segment_in = None;
                running.segment_out = None;
            });
            self.settle_all();
        } else {
            self.settle(pad);
        }
        done
    }

    /// A pad is flushed. By the end of it the pad's frames have been forgotten, so that nothing is left to do for the base
    /// class's flush of the whole element.
    pub fn flush(
        &self,
        pad: &AggregatorPad,
        event: gst::Event,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let (camera, seqnum) = (Camera::of(pad), event.seqnum());
        let of_all = camera == Camera::UltraWide;
        let stop = match event.view() {
            gst::EventView::FlushStop(stop) => Some(stop.resets_time()),
            _ => None,
        };
        let start = stop.is_none();
        self.running(|running| {
            running.passing += 1;
            running.in_flush[camera] += 1;
            if start {
                running.flush_start(camera, seqnum);
            }
            if of_all {
                running.forget_output();
            }
        });
        self.notify();
        if of_all {
            self.flush_pool(true);
            self.join_unlinked();
        }
        self.forget_flushed();
        let done = self.parent_sink_event_pre_queue(pad, event);
        if of_all && !start {
            self.flush_pool(false);
        }
        self.running(|running| {
            running.passing = running.passing.saturating_sub(1);
            running.in_flush[camera] = running.in_flush[camera].saturating_sub(1);
            if let Some(resets_time) = stop {
                running.epochs.flush_stop(camera, seqnum, resets_time);
            }
        });
        self.forget_flushed();
        self.notify();
        match (start, of_all) {
            (false, true) => self.settle_all(),
            (false, false) => self.settle(pad),
            // Unlinked meanwhile: the end of the flush will not come.
            (true, false) if !pad.is_linked() => self.settle(pad),
            (true, _) => (),
        }
        done
    }

    /// Lets go of what was flushed, unless the streaming thread has the work; then it will.
    pub fn forget_flushed(&self) {
        if let Some((work, _)) = self.take_work(false) {
            self.put_back(work);
        }
    }

    /// An event from downstream.
    pub fn take_source_event(&self, event: gst::Event) -> bool {
        match event.view() {
            gst::EventView::Qos(qos) => {
                let (_, proportion, late, timestamp) = qos.get();
                self.running(|running| {
                    let interval = running.timing.interval();
                    let qos = &mut running.qos;
                    qos.update(proportion, late, timestamp, Some(interval));
                });
                // Upstream must not drop frames for it: the recurrence needs them all, and which are
                // left out is decided here.
                return true;
            }
            gst::EventView::Seek(seek) if seek.get().1.contains(gst::SeekFlags::FLUSH) => {
                return self.seek(event);
            }
            gst::EventView::Navigation(_) => return self.navigate(event),
            _ => (),
        }
        self.parent_src_event(event)
    }

    /// Where a pointer is, in the ultra-wide camera's pixels.
    fn navigate(&self, event: gst::Event) -> bool {
        let scale = self.running(|running| f64::from(running.scale));
        let Some((structure, scale)) = event.structure().zip(scale) else {
            return false;
        };
        let mut structure = structure.to_owned();
        for field in [
            "pointer_x",
            "pointer_y",
            "delta_pointer_x",
            "delta_pointer_y",
        ] {
            if let Ok(place) = structure.get::<f64>(field) {
                structure.set(field, place / scale);
            }
        }
        let scaled = gst::event::Navigation::builder(structure).seqnum(event.seqnum());
        self.ultrawide.push_event(scaled.build())
    }

    /// A flushing seek.
    fn seek(&self, event: gst::Event) -> bool {
        // The base class would flush downstream, whether or not there is anything to seek. Before the
        // first frame a stream may not know yet that it can.
        let knows = self.state().stats.frames_in > 0;
        let mut seekable = gst::query::Seeking::new(gst::Format::Time);
        if knows && self.ultrawide.peer_query(&mut seekable) && !seekable.result().0 {
            gst::debug!(CAT, imp = self, "The ultra-wide stream cannot seek");
            return false;
        }
        let seqnum = event.seqnum();
        // The base class waits for the streaming thread before it sends the seek on.
        let is_new = self.running(|running| {
            let is_new = running.epochs.seek(seqnum);
            if is_new {
                running.passing += 1;
                running.stopper.stop();
            }
            is_new
        });
        if is_new != Some(true) {
            return self.parent_src_event(event);
        }
        self.notify();
        self.flush_pool(true);
        let done = self.parent_src_event(event);
        self.join_unlinked();
        let goes_on = self.running(|running| {
            running.passing = running.passing.saturating_sub(1);
            running.epochs.seek_done();
            if !running.stopping {
                running.stopper.rearm();
            }
            !running.stopping
        });
        // What was unlinked meanwhile waited for the seek's end.
        self.join_unlinked();
        if goes_on == Some(true) {
            self.flush_pool(false);
        }
        done
    }

    /// Sees the events that leave the element, whoever sends them: the base class makes up a stream
    /// start, and repeats segments.
    pub fn see_leaving(&self, info: &mut gst::PadProbeInfo) -> gst::PadProbeReturn {
        let Some(event) = info.event() else {
            return gst::PadProbeReturn::Ok;
        };
        self.pass_on_confidence_event(event);
        match event.view() {
            gst::EventView::StreamStart(_) => {
                if let Some(start) = self.stream_start("refvsr") {
                    info.data = Some(gst::PadProbeData::Event(start));
                }
            }
            gst::EventView::FlushStart(_) => {
                self.running(|running| running.flushes_all = true);
            }
            gst::EventView::FlushStop(_) => {
                self.running(|running| {
                    running.flushes_all = false;
                    running.segment_out = None;
                });
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().clone();
                let before = self.running(|running| running.segment_out.replace(segment.clone()));
                if before.flatten().as_ref() == Some(&segment) {
                    return gst::PadProbeReturn::Handled;
                }
                // The base class takes the seqnum of whichever camera's segment came last.
                if let Some(seqnum) = self.segment_seqnum() {
                    let ours = gst::event::Segment::builder(&segment).seqnum(seqnum);
                    info.data = Some(gst::PadProbeData::Event(ours.build()));
                }
            }
            gst::EventView::Eos(_) => {
                if let Some(theirs) = self.ultrawide.sticky_event::<gst::event::Eos>(0) {
                    let ours = gst::event::Eos::builder().seqnum(theirs.seqnum());
                    info.data = Some(gst::PadProbeData::Event(ours.build()));
                }
            }
            _ => (),
        }
        gst::PadProbeReturn::Ok
    }

    /// An output's stream start: a stream made from the ultra-wide one, of the same group.
    pub fn stream_start(&self, name: &str) -> Option<gst::Event> {
        let theirs = self.ultrawide.sticky_event::<gst::event::StreamStart>(0)?;
        let id = format!("{}/{name}", theirs.stream_id());
        let ours = gst::event::StreamStart::builder(&id)
            .seqnum(theirs.seqnum())
            .flags(theirs.stream_flags())
            .group_id_if_some(theirs.group_id());
        Some(ours.build())
    }
}
