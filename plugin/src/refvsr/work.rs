//! What the streaming thread works with. It is one value: taken out of the element's state while the
//! thread works, so that no lock is held meanwhile, and put back after.

use super::{
    camera::{Camera, PerCamera},
    frames::Reference,
    last_frame::LastFrame,
    overload::{Episode, Patience},
    pairing::{Missing, Pairing},
    rehearsal::Rehearsal,
    settings::Settings,
    video::Video,
};
use ::refvsr::{Session, net::footage::Footage};
use gst::ClockTime;
use gst_base::prelude::*;
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// The segments of pads, and of downstream.
pub type Segment = gst::FormattedSegment<ClockTime>;

/// The session and everything that goes with the clip it is in.
#[derive(Debug)]
pub struct Work {
    pub session: Session,
    /// The epoch all of this is of.
    pub epoch: u64,
    /// Frames were sent to the session since it was new or reset.
    pub under_way: bool,
    /// The frame that came last, in the clip there is.
    pub last: Option<LastFrame>,
    /// That frames are too large for the model's matching has been said.
    pub told_reduced: bool,
    /// Running times of the last messages on recurrence that ran away, and on a clip that started.
    pub told_runaway: Option<ClockTime>,
    pub told_restart: Option<ClockTime>,
    /// What the last clip's footage was said to be.
    pub told_footage: Option<Footage>,
    /// That frames are too small for a reference camera to be found has been said.
    pub told_unseen: bool,
    /// What has come in and not gone out yet, in order.
    pub held: VecDeque<Held>,
    /// What was told of missing reference frames.
    pub missing: PerCamera<Missing>,
    /// Which reference cameras a registered model has found, and not lost.
    pub seen: PerCamera<bool>,
    /// The overload at present, if there is one.
    pub overload: Episode,
    /// Whether frames are tried, where late ones are bypassed.
    pub patience: Patience<Rehearsal>,
    /// The next frame that comes out does not continue one before: the stream begins, was flushed, or
    /// frames are missing.
    pub discont: bool,
    /// Where each pad's next buffer without a timestamp belongs.
    pub clocks: PerCamera<Clock>,
    /// The frames of the wide and tele cameras.
    pub references: PerCamera<Pairing<Reference>>,
}

impl Work {
    pub fn new(session: Session) -> Self {
        Self {
            session,
            epoch: 0,
            under_way: false,
            last: None,
            told_reduced: false,
            told_runaway: None,
            told_restart: None,
            told_footage: None,
            told_unseen: false,
            held: VecDeque::new(),
            missing: PerCamera::default(),
            seen: PerCamera::default(),
            overload: Episode::default(),
            patience: Patience::default(),
            discont: true,
            clocks: PerCamera::default(),
            references: PerCamera::default(),
        }
    }

    /// Forgets a camera's frames; where it is the ultra-wide one, everything but the model.
    pub fn forget(&mut self, camera: Camera) {
        if camera == Camera::UltraWide {
            self.end_clip();
            self.discont = true;
            self.held.retain(Held::outlives_a_flush);
            self.clocks = PerCamera::default();
            self.references = PerCamera::default();
        } else {
            self.clocks[camera] = Clock::default();
            self.references[camera] = Pairing::default();
        }
    }

    /// The next frame is the first of a clip.
    pub fn end_clip(&mut self) {
        self.session.reset();
        self.under_way = false;
        self.last = None;
    }

    /// Whether frames held have to come out before anything new is taken in.
    pub fn clip_ends(&self) -> bool {
        self.held.iter().any(Held::ends_clip)
    }
}

/// Something of the ultra-wide stream on its way through.
#[derive(Debug)]
pub enum Held {
    /// A frame, without its picture, and how much later the pictures that were sent with it were filmed.
    Frame(gst::Buffer, PerCamera<Option<i64>>),
    /// A gap in the stream.
    Gap(ClockTime, Option<ClockTime>),
    /// New caps.
    Caps {
        video: Arc<Video>,
        /// Only the frame rate changes.
        same_picture: bool,
    },
    /// A new segment, and the seqnum of the event that brought it.
    Segment(Segment, gst::Seqnum),
    /// Any other serialized event.
    Event(gst::Event),
}

impl Held {
    /// Whether the frames before it and those after it are of two clips.
    fn ends_clip(&self) -> bool {
        match self {
            Self::Caps { same_picture, .. } => !same_picture,
            Self::Segment(..) => true,
            Self::Frame(..) | Self::Gap(..) | Self::Event(_) => false,
        }
    }

    /// Upstream sends caps and sticky events once: they hold after a flush too.
    fn outlives_a_flush(&self) -> bool {
        match self {
            Self::Caps { .. } => true,
            Self::Event(event) => event.is_sticky(),
            Self::Frame(..) | Self::Gap(..) | Self::Segment(..) => false,
        }
    }
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

/// One turn of the streaming thread.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The epoch when it began.
    pub epoch: u64,
    /// What has not come yet is too late.
    pub timeout: bool,
    pub settings: Settings,
    /// When work on the frame at hand began.
    pub started: Instant,
}
