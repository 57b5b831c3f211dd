//! Pads that nothing is linked to.
//!
//! The base class waits for data on every pad, so a pad that nothing is linked to would stall the pipeline for ever. Such a pad is ended with
//! an EOS of our own. Many applications link while the pipeline starts up, so it is given some time first; if it is linked after
//! all, the EOS is taken back by flushing that one pad.

use gst::prelude::*;
use gst_base::AggregatorPad;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

/// How long after the ultra-wide caps a pad may be linked before its frames count as missing.
pub const GRACE: gst::ClockTime = gst::ClockTime::SECOND;
/// How long after another camera's caps the ultra-wide pad may be linked. Its absence is an error, so there is time for slow sources.
pub const ULTRAWIDE_GRACE: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// The pads that were ended, and the timers that will end others.
///
/// The lock of the ended pads is the one lock of the element's that is held over events: while a pad is ended or revived, so that the two cannot
/// overtake each other and a pad that is linked meanwhile is revived after its end. It is safe there because nothing that these events lead
/// to takes it, and the streaming thread, which an event may wait for, never does. The timers, which that thread sets, have a lock of their own.
#[derive(Debug, Default)]
pub struct Unlinked {
    ended: Mutex<Vec<AggregatorPad>>,
    timers: Mutex<Vec<Timer>>,
}

#[derive(Debug)]
struct Timer {
    id: gst::SingleShotClockId,
    fired: Arc<AtomicBool>,
}

impl Unlinked {
    /// Calls `end` once the time of grace is over, unless the element stops before.
    pub fn watch(&self, grace: gst::ClockTime, end: impl FnOnce() + Send + 'static) {
        let clock = gst::SystemClock::obtain();
        let id = clock.new_single_shot_id(clock.time() + grace);
        let fired = Arc::new(AtomicBool::new(false));
        let timer = Timer {
            id: id.clone(),
            fired: fired.clone(),
        };
        let call = move |_: &gst::Clock, time: Option<gst::ClockTime>, _: &gst::ClockId| {
            fired.store(true, Ordering::Release);
            // An unscheduled timer calls too, without a time.
            if time.is_some() {
                end();
            }
        };
        let mut timers = self.timers.lock().unwrap();
        timers.retain(|timer| !timer.fired.load(Ordering::Acquire));
        if id.wait_async(call).is_ok() {
            timers.push(timer);
        }
    }

    /// Ends a pad if nothing is linked to it. `false`: something is, or the pad was ended before.
    pub fn end(&self, pad: &AggregatorPad) -> bool {
        let mut ended = self.ended.lock().unwrap();
        if pad.is_linked() || ended.contains(pad) {
            return false;
        }
        ended.push(pad.clone());
        send_eos(pad);
        true
    }

    /// Takes the end of a pad back, where it was of our making; returns whether it was. To be called when the pad has been linked.
    pub fn revive(&self, pad: &AggregatorPad) -> bool {
        let mut ended = self.ended.lock().unwrap();
        let was_ended = remove(&mut ended, pad);
        if was_ended {
            pad.send_event(gst::event::FlushStart::new());
            pad.send_event(gst::event::FlushStop::new(false));
        }
        was_ended
    }

    /// Passes a flush on to a pad, which would otherwise never get it: a flush is over when all pads have seen its end.
    pub fn flush(&self, pad: &AggregatorPad, event: &gst::Event) {
        pad.send_event(event.clone());
        if event.type_() == gst::EventType::FlushStop {
            let ended = self.ended.lock().unwrap();
            if ended.contains(pad) {
                send_eos(pad);
            }
        }
    }

    /// Forgets a pad that is gone.
    pub fn forget(&self, pad: &AggregatorPad) {
        remove(&mut self.ended.lock().unwrap(), pad);
    }

    /// The element stops.
    pub fn clear(&self) {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap());
        let timers = std::mem::take(&mut *self.timers.lock().unwrap());
        for timer in timers {
            timer.id.unschedule();
        }
        drop(ended);
    }
}

/// Removes a pad from those that were ended. Whether it was one.
fn remove(ended: &mut Vec<AggregatorPad>, pad: &AggregatorPad) -> bool {
    let before = ended.len();
    ended.retain(|p| p != pad);
    ended.len() < before
}

fn send_eos(pad: &AggregatorPad) {
    pad.send_event(gst::event::StreamStart::new("unlinked"));
    pad.send_event(gst::event::Eos::new());
}
