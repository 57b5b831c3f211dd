//! Pads that nothing is linked to.
//!
//! The base class waits for data on every pad, so a pad that nothing is linked to would stall the pipeline for ever. Such a pad is ended with
//! an EOS of our own. Many applications link while the pipeline starts up, so it is given some time first; if it is linked after
//! all, the EOS is taken back by flushing that one pad.

use gst::prelude::*;
use gst_base::AggregatorPad;
use std::sync::Mutex;

/// How long after the ultra-wide caps a pad may be linked before its frames count as missing.
pub const GRACE: gst::ClockTime = gst::ClockTime::SECOND;
/// How long after another camera's caps the ultra-wide pad may be linked. Its absence is an error, so there is time for slow sources.
pub const ULTRAWIDE_GRACE: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// The pads that were ended, and the timers that will end others.
///
/// The lock is held while a pad is ended or revived, so that the two cannot overtake each other: a pad that is linked meanwhile is
/// revived after its end. Nothing that these events lead to takes the lock.
#[derive(Debug, Default)]
pub struct Unlinked {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    ended: Vec<AggregatorPad>,
    timers: Vec<gst::SingleShotClockId>,
}

impl Unlinked {
    /// Calls `end` once the time of grace is over, unless the element stops before.
    pub fn watch(&self, grace: gst::ClockTime, end: impl FnOnce() + Send + 'static) {
        let clock = gst::SystemClock::obtain();
        let timer = clock.new_single_shot_id(clock.time() + grace);
        // An unscheduled timer calls too, without a time.
        if timer
            .wait_async(move |_, time, _| {
                if time.is_some() {
                    end()
                }
            })
            .is_ok()
        {
            self.inner.lock().unwrap().timers.push(timer);
        }
    }

    /// Ends a pad if nothing is linked to it. `false`: something is, or the pad was ended before.
    pub fn end(&self, pad: &AggregatorPad) -> bool {
        let mut inner = self.inner.lock().unwrap();
        if pad.is_linked() || inner.ended.contains(pad) {
            return false;
        }
        inner.ended.push(pad.clone());
        send_eos(pad);
        true
    }

    /// Takes the end of a pad back, where it was of our making. To be called when the pad has been linked.
    pub fn revive(&self, pad: &AggregatorPad) {
        let mut inner = self.inner.lock().unwrap();
        if inner.take(pad) {
            pad.send_event(gst::event::FlushStart::new());
            pad.send_event(gst::event::FlushStop::new(false));
        }
    }

    /// Passes a flush on to a pad, which would otherwise never get it: a flush is over when all pads have seen its end.
    pub fn flush(&self, pad: &AggregatorPad, event: &gst::Event) {
        pad.send_event(event.clone());
        if event.type_() == gst::EventType::FlushStop && self.inner.lock().unwrap().ended.contains(pad) {
            send_eos(pad);
        }
    }

    /// Forgets a pad that is gone.
    pub fn forget(&self, pad: &AggregatorPad) {
        self.inner.lock().unwrap().take(pad);
    }

    /// The element stops.
    pub fn clear(&self) {
        let inner = std::mem::take(&mut *self.inner.lock().unwrap());
        for timer in inner.timers {
            timer.unschedule();
        }
    }
}

impl Inner {
    /// Removes a pad from those that were ended. Whether it was one.
    fn take(&mut self, pad: &AggregatorPad) -> bool {
        let before = self.ended.len();
        self.ended.retain(|p| p != pad);
        self.ended.len() < before
    }
}

fn send_eos(pad: &AggregatorPad) {
    pad.send_event(gst::event::StreamStart::new("unlinked"));
    pad.send_event(gst::event::Eos::new());
}
