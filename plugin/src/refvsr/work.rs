//! What the streaming thread works with. It is one value: taken out of the element's state while the thread works, so that no lock is
//! held meanwhile, and put back after.

use super::{frames::Reference, pairing::Pairing};
use ::refvsr::Session;
use gst::ClockTime;
use gst_base::prelude::*;
use std::collections::VecDeque;
use tch::Tensor;

/// The session and everything that goes with the clip it is in.
#[derive(Debug)]
pub struct Work {
    pub session: Session,
    /// Frames were sent to the session since it was new or reset.
    pub under_way: bool,
    /// A frame was put out since the start, a flush or a new segment, so that downstream has the segment.
    pub announced: bool,
    /// What has come in and not gone out yet, in order.
    pub held: VecDeque<Held>,
    /// Where the next ultra-wide frame without a timestamp belongs.
    pub clock: Clock,
    pub wide: Camera,
    pub tele: Camera,
}

impl Work {
    pub fn new(session: Session) -> Self {
        Self {
            session,
            under_way: false,
            announced: false,
            held: VecDeque::new(),
            clock: Clock::default(),
            wide: Camera::default(),
            tele: Camera::default(),
        }
    }

    /// Forgets everything but the model.
    pub fn reset(&mut self) {
        self.end_clip();
        self.held.clear();
        self.announced = false;
        self.clock = Clock::default();
        self.wide = Camera::default();
        self.tele = Camera::default();
    }

    /// The next frame is the first of a clip.
    pub fn end_clip(&mut self) {
        self.session.reset();
        self.under_way = false;
    }
}

/// One ultra-wide buffer on its way through.
#[derive(Debug)]
pub enum Held {
    /// A frame, without its picture.
    Frame(gst::Buffer),
    /// A gap in the stream.
    Gap(ClockTime, Option<ClockTime>),
}

/// A reference camera.
#[derive(Debug, Default)]
pub struct Camera {
    pub pairing: Pairing<Reference>,
    /// The last frame an ultra-wide frame was paired to.
    pub previous: Option<Tensor>,
    /// Where its next frame without a timestamp belongs.
    pub clock: Clock,
}

/// Running times of a pad's buffers, also where they carry none.
#[derive(Debug, Default, Clone, Copy)]
pub struct Clock {
    next: ClockTime,
}

impl Clock {
    /// When a buffer starts.
    pub fn time(&self, pad: &gst_base::AggregatorPad, buffer: &gst::BufferRef) -> ClockTime {
        let segment = pad.segment().downcast::<ClockTime>().ok();
        segment
            .zip(buffer.pts())
            .and_then(|(segment, pts)| segment.to_running_time(pts))
            .unwrap_or(self.next)
    }

    /// Notes the buffer that was last.
    pub fn advance(&mut self, time: ClockTime, duration: Option<ClockTime>) {
        self.next = time.saturating_add(duration.unwrap_or_default());
    }
}
