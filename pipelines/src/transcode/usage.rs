//! Into which frames each reference camera's picture went.

use super::options::Lens;
use super::watch::Missing;
use gst::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The frames that came out of the element.
#[derive(Debug, Clone, Default)]
pub struct Usage(Arc<Mutex<Vec<Frame>>>);

#[derive(Debug, Clone, Copy)]
struct Frame {
    time: Option<gst::ClockTime>,
    wide: bool,
    tele: bool,
    /// References were matched to it.
    matched: bool,
}

/// In how many frames a camera's picture was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub used: usize,
    pub frames: usize,
}

impl Share {
    /// Whether the camera made hardly any difference.
    pub fn is_little(self) -> bool {
        2 * self.used < self.frames
    }
}

impl Usage {
    /// Takes note of the frames that go through a pad.
    pub fn follow(&self, pad: &gst::Pad) {
        let usage = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                let frame = Frame::of(buffer);
                usage.lock().push(frame);
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// How many frames have come out.
    pub fn frames(&self) -> usize {
        self.lock().len()
    }

    /// Whether the model matches references, and so says of each frame what went into it.
    pub fn is_matched(&self) -> bool {
        self.lock().iter().any(|frame| frame.matched)
    }

    /// A camera's share: the frames that had a picture of their own time. `tells` says that the element tells of each frame what went into it;
    /// models that do nothing with references say nothing. What stands in for a missing picture counts where the user asked for it.
    pub fn share(&self, lens: Lens, missing: &[Missing], tells: bool, may_stand_in: bool) -> Share {
        let frames = self.lock();
        let used = frames.iter().filter(|frame| match tells {
            true => frame.has(lens) && (may_stand_in || !frame.lies_in(missing, lens)),
            false => !frame.lies_in(missing, lens),
        });
        Share {
            used: used.count(),
            frames: frames.len(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frame {
    fn of(buffer: &gst::BufferRef) -> Self {
        let meta = gst::meta::CustomMeta::from_buffer(buffer, "GstRefVsrMeta").ok();
        let used = |lens: Lens| {
            let meta = meta.as_ref();
            meta.is_some_and(|meta| meta.structure().get(lens.name()) == Ok(true))
        };
        Self {
            time: buffer.pts(),
            wide: used(Lens::Wide),
            tele: used(Lens::Tele),
            matched: meta.is_some_and(|meta| meta.structure().has_field("confidence")),
        }
    }

    fn has(&self, lens: Lens) -> bool {
        match lens {
            Lens::Wide => self.wide,
            Lens::Tele => self.tele,
        }
    }

    fn lies_in(&self, missing: &[Missing], lens: Lens) -> bool {
        let of_lens = |missing: &&Missing| missing.lens == lens.name();
        missing.iter().filter(of_lens).any(|missing| {
            let after = self.time >= Some(missing.from);
            after && missing.until.is_none_or(|until| self.time < Some(until))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(frames: impl Iterator<Item = (u64, bool)>) -> Usage {
        let usage = Usage::default();
        for (time, wide) in frames {
            usage.lock().push(Frame {
                time: Some(gst::ClockTime::from_mseconds(time)),
                wide,
                tele: false,
                matched: true,
            });
        }
        usage
    }

    #[test]
    fn frames_count_by_what_is_told_of_them_or_by_what_was_missing() {
        let usage = usage((0..10).map(|n| (n * 100, n < 4)));
        let missing = |from, until: Option<u64>| Missing {
            lens: "wide".into(),
            from: gst::ClockTime::from_mseconds(from),
            until: until.map(gst::ClockTime::from_mseconds),
            frames: None,
        };
        let share = usage.share(Lens::Wide, &[], true, false);
        assert_eq!((share.used, share.frames, share.is_little()), (4, 10, true));
        let places = [missing(100, Some(300)), missing(700, None)];
        let share = usage.share(Lens::Wide, &places, false, false);
        assert_eq!((share.used, share.is_little()), (5, false));
        assert_eq!(usage.share(Lens::Tele, &places, false, false).used, 10);
        // The camera's last picture was used again.
        assert_eq!(usage.share(Lens::Wide, &places, true, false).used, 2);
        assert_eq!(usage.share(Lens::Wide, &places, true, true).used, 4);
    }
}
