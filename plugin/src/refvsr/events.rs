//! Events: what comes with the streams, and what downstream sends.

use super::{camera::Camera, element::RefVsr, log::CAT, work::Held};
use gst::subclass::prelude::*;
use gst_base::{AggregatorPad, subclass::prelude::*};

impl RefVsr {
    /// An event on a sink pad. Serialized ones come on the streaming thread, between two turns.
    pub fn take_sink_event(&self, pad: &AggregatorPad, event: gst::Event) -> bool {
        let camera = Camera::of(pad);
        match event.view() {
            gst::EventView::Caps(caps) => self.take_caps(pad, camera, caps.caps()),
            gst::EventView::Segment(segment) => {
                self.take_segment(pad, camera, segment.segment())
                    && self.parent_sink_event(pad, event)
            }
            gst::EventView::FlushStart(_) | gst::EventView::FlushStop(_) => {
                self.flush(pad, camera, event)
            }
            gst::EventView::StreamStart(_) | gst::EventView::Gap(_) | gst::EventView::Eos(_) => {
                self.parent_sink_event(pad, event)
            }
            // The output is as long as the ultra-wide video.
            gst::EventView::SegmentDone(_) if camera != Camera::UltraWide => true,
            gst::EventView::SegmentDone(_) => {
                self.drain_now();
                self.parent_sink_event(pad, event)
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

    /// A pad is flushed.
    fn flush(&self, pad: &AggregatorPad, camera: Camera, event: gst::Event) -> bool {
        let (start, seqnum) = (event.type_() == gst::EventType::FlushStart, event.seqnum());
        if start {
            self.running(|running| running.epochs.flush_start(camera, seqnum));
        }
        self.forget_flushed();
        if camera == Camera::UltraWide {
            self.running(|running| {
                running.segment_in = None;
                running.segment = None;
                running.qos = Default::default();
            });
            self.flush_unlinked(&event);
        }
        // Nothing of the base class's flush() is left to do: by then each pad's frames have been
        // forgotten with its own flush.
        let done = self.parent_sink_event(pad, event);
        if !start {
            self.running(|running| running.epochs.flush_stop(camera, seqnum));
            self.forget_flushed();
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
                    let video = running.videos[Camera::UltraWide].as_ref();
                    let duration = video.and_then(|video| video.frame_duration());
                    running.qos.update(proportion, late, timestamp, duration);
                });
            }
            gst::EventView::Seek(seek) if seek.get().1.contains(gst::SeekFlags::FLUSH) => {
                self.running(|running| running.epochs.seek());
                let done = self.parent_src_event(event);
                self.running(|running| running.epochs.seek_done());
                return done;
            }
            _ => (),
        }
        self.parent_src_event(event)
    }

    /// Sees the events that leave the element, whoever sends them.
    pub fn see_leaving(&self, event: &gst::Event) -> gst::PadProbeReturn {
        match event.view() {
            gst::EventView::FlushStop(_) => {
                self.running(|running| running.segment_out = None);
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().clone();
                let before = self.running(|running| running.segment_out.replace(segment.clone()));
                if before.flatten().as_ref() == Some(&segment) {
                    return gst::PadProbeReturn::Handled;
                }
            }
            _ => (),
        }
        gst::PadProbeReturn::Ok
    }
}
