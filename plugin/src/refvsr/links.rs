//! Reference cameras' pads: requested and released, linked or not.
//!
//! The base class waits for data on every pad and for every flush on every pad. A pad whose frames nobody waits for counts
//! as ended, and takes part in flushes that will never reach it. The base class is told so by its own functions, which
//! take none of the locks that a blocked upstream may hold.

use super::{
    camera::Camera,
    element::RefVsr,
    log::CAT,
    references::{at_rate, moved, sensor_time},
};
use gst::{PadProbeReturn, PadProbeType, prelude::*, subclass::prelude::*};
use gst_base::{AggregatorPad, prelude::*, subclass::prelude::*};
use std::{sync::atomic::Ordering, time::Duration};

/// How long a reference camera's first frame waits for something to be linked to the ultra-wide pad. Its absence is an error,
/// so there is time for slow sources.
const ULTRAWIDE_GRACE: Duration = Duration::from_secs(10);
/// How long a seek, and a flush of a pad, may take while that is released.
const LEAVING: Duration = Duration::from_secs(5);

impl RefVsr {
    /// A reference camera's pad.
    pub fn new_reference(&self, template: &gst::PadTemplate) -> gst::Pad {
        let pad = gst::PadBuilder::<super::RefVsrPad>::from_template(template)
            .name(template.name_template())
            .build()
            .upcast::<AggregatorPad>();
        let element = self.obj().downgrade();
        let settle = move |pad: &AggregatorPad, _: &gst::Pad| {
            element
                .upgrade()
                .inspect(|element| element.imp().settle(pad));
        };
        pad.connect_linked(settle.clone());
        pad.connect_unlinked(settle);
        let element = self.obj().downgrade();
        let kinds = PadProbeType::BUFFER | PadProbeType::BUFFER_LIST;
        pad.add_probe(kinds, move |pad, info| match element.upgrade() {
            Some(element) => element.imp().let_in(pad.upcast_ref(), info),
            None => PadProbeReturn::Ok,
        });
        pad.upcast()
    }

    /// The application needs the pad no more; one of the same name may be requested again.
    pub fn remove_reference(&self, pad: &super::RefVsrPad) {
        let camera = Camera::of(pad);
        // The base class unlinks it with a lock held that its other functions need.
        pad.imp().released.store(true, Ordering::Release);
        if let Some(peer) = pad.peer() {
            // Another thread may have unlinked it by now.
            let _ = peer.unlink(pad);
        }
        self.wait_while(LEAVING, |running| {
            running.in_flush[camera] > 0 || running.epochs.is_seeking()
        });
        if self.running(|running| running.flushes_all) == Some(true) {
            self.join_flush(pad.upcast_ref());
        }
        self.parent_release_pad(pad.upcast_ref());
        let old = self.running(|running| {
            running.epochs.replace_pad(camera);
            running.timing.forget(camera);
            running.videos[camera].take()
        });
        drop(old);
        self.forget_flushed();
        self.notify();
    }

    /// Waits for a pad's frames from now on, or does so no more.
    pub fn settle(&self, pad: &AggregatorPad) {
        let own = pad.downcast_ref::<super::RefVsrPad>();
        while own.is_some_and(|own| !own.imp().released.load(Ordering::Acquire)) {
            let linked = pad.is_linked();
            let camera = Camera::of(pad);
            if !linked && self.running(|running| running.waits_for_flush(camera)) == Some(true) {
                self.join_flush(pad);
            }
            let ended = pad.sticky_event::<gst::event::Eos>(0).is_some();
            if !linked || !self.is_used(camera) || ended {
                self.running(|running| running.timing.forget_frames(camera));
                self.parent_sink_event(pad, gst::event::Eos::new());
            } else {
                self.parent_sink_event(pad, gst::event::StreamStart::new("linked"));
            }
            // Linked or unlinked by another thread meanwhile, whose events may have come first.
            if pad.is_linked() == linked {
                return;
            }
        }
    }

    /// The same for all reference pads.
    pub fn settle_all(&self) {
        self.references().for_each(|(_, pad)| self.settle(&pad));
    }

    /// Whether a reference camera's frames are to be used.
    pub fn is_used(&self, camera: Camera) -> bool {
        camera != Camera::Tele || self.settings().use_tele
    }

    /// The reference cameras whose frames are waited for.
    pub fn awaited(&self) -> impl Iterator<Item = Camera> {
        let awaited = |pad: &AggregatorPad| pad.is_linked() && !pad.is_eos();
        self.references()
            .filter_map(move |(camera, pad)| awaited(&pad).then_some(camera))
    }

    /// Brings the pads that nothing is linked to through the flush that is under way.
    pub fn join_unlinked(&self) {
        let unlinked = self.references().filter(|(_, pad)| !pad.is_linked());
        unlinked.for_each(|(_, pad)| self.join_flush(&pad));
    }

    /// Brings a pad through the flush that is under way, where upstream will not; one thread at a time, since the base class
    /// holds a lock of the pad meanwhile.
    pub fn join_flush(&self, pad: &AggregatorPad) {
        let camera = Camera::of(pad);
        let flush = || self.running(|running| running.join_flush(camera)).flatten();
        while let Some((seqnum, resets_time)) = flush() {
            let start = gst::event::FlushStart::builder().seqnum(seqnum).build();
            let stop = gst::event::FlushStop::builder(resets_time);
            let stop = stop.seqnum(seqnum).build();
            for event in [start, stop] {
                if let Err(why) = self.flush(pad, event) {
                    gst::debug!(CAT, obj = pad, "Not flushed: {why}");
                }
            }
            self.running(|running| {
                running.in_flush[camera] = running.in_flush[camera].saturating_sub(1)
            });
            self.notify();
        }
    }

    /// Sees a reference camera's buffers before the base class does.
    fn let_in(&self, pad: &gst::Pad, info: &mut gst::PadProbeInfo) -> PadProbeReturn {
        if self.running(|running| running.ended) == Some(true) {
            // Newer base classes take buffers after the end until they block.
            info.flow_res = Err(gst::FlowError::Eos);
            return PadProbeReturn::Handled;
        }
        let is_missing = || {
            let flushing = pad.pad_flags().contains(gst::PadFlags::FLUSHING);
            !self.ultrawide.is_linked() && !flushing && pad.parent().is_some()
        };
        if is_missing() && self.wait_while(ULTRAWIDE_GRACE, |_| is_missing()) {
            let text = "Nothing is linked to pad ultrawide, whose video is to be enlarged";
            self.post_error(gst::StreamError::Failed, text);
        }
        if self.is_used(Camera::of(pad)) {
            self.note_arrival(pad, info);
        }
        PadProbeReturn::Ok
    }

    /// Takes note of when a camera's frame comes, before it waits for anything here.
    fn note_arrival(&self, pad: &gst::Pad, info: &gst::PadProbeInfo) {
        let event = pad.sticky_event::<gst::event::Segment>(0);
        let Some((buffer, event)) = info.buffer().zip(event) else {
            return;
        };
        let segment = event.segment().downcast_ref::<gst::ClockTime>();
        let time = segment
            .zip(buffer.pts())
            .and_then(|(segment, pts)| segment.to_running_time(pts));
        let Some((segment, time)) = segment.zip(time) else {
            return;
        };
        let (camera, sensor) = (Camera::of(pad), sensor_time(buffer));
        let offset = pad.downcast_ref::<super::RefVsrPad>();
        let offset = offset.map_or(0, |own| own.imp().offset());
        let duration = at_rate(segment.rate(), buffer.duration());
        let plays = self.obj().current_state() == gst::State::Playing;
        let now = self.obj().current_running_time().filter(|_| plays);
        let sync = self.settings().sync;
        self.running(|running| {
            let timing = &mut running.timing;
            timing.observe(camera, time, now, sensor);
            let shift = match camera {
                Camera::UltraWide => 0,
                _ => timing.shift(sync, camera, time, sensor),
            };
            timing.came(camera, moved(moved(time, offset), shift), duration, now);
        });
    }

    /// Sees every event that leaves through the source pad, and when the ultra-wide pad is linked.
    pub fn follow_pads(&self) {
        let element = self.obj().downgrade();
        self.ultrawide.connect_linked(move |_, _| {
            element.upgrade().inspect(|element| element.imp().notify());
        });
        let element = self.obj().downgrade();
        self.ultrawide
            .add_probe(PadProbeType::BUFFER, move |pad, info| {
                let element = element.upgrade();
                element.inspect(|element| element.imp().note_arrival(pad.upcast_ref(), info));
                PadProbeReturn::Ok
            });
        let element = self.obj().downgrade();
        let kinds = PadProbeType::EVENT_DOWNSTREAM | PadProbeType::EVENT_FLUSH;
        let source = self.obj().src_pad().clone();
        source.add_probe(kinds, move |_, info| match element.upgrade() {
            Some(element) => element.imp().see_leaving(info),
            None => PadProbeReturn::Ok,
        });
    }
}
