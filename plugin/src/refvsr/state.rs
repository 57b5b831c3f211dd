//! What changes while the element lives.

use super::{
    camera::{Camera, PerCamera},
    epochs::Epochs,
    model::Loading,
    overload::Qos,
    stats::Stats,
    timing::Timing,
    video::Video,
    work::{Held, Segment, Work},
};
use ::refvsr::Stopper;
use std::sync::Arc;

/// Everything behind the element's state lock.
#[derive(Debug, Default)]
pub struct State {
    /// `None` while the element is stopped.
    pub running: Option<Running>,
    /// Also those of the last run, once it is over.
    pub stats: Stats,
    /// The model that the next run will need, from READY on.
    pub loading: Option<Loading>,
}

/// The state of the running element.
#[derive(Debug, Default)]
pub struct Running {
    /// `None` while a thread has it; see [`Self::take_work`].
    work: Option<Work>,
    /// What has come in since the work was last taken.
    arrived: Vec<Held>,
    pub epochs: Epochs,
    /// Stops the session's work, whoever has it.
    pub stopper: Stopper,
    /// The element is about to stop.
    pub stopping: bool,
    /// Events that may make the base class stop the streaming thread, which must not wait for anything then.
    pub passing: usize,
    /// The same on each pad: threads that are in a flush of it.
    pub in_flush: PerCamera<usize>,
    /// The base class has begun a flush of the whole element, and waits for its end on every pad.
    pub flushes_all: bool,
    /// The ultra-wide stream has ended, and all of it has come out.
    pub ended: bool,
    /// The epoch of the streaming thread's last turn.
    pub last_turn: u64,
    /// Output size over input size.
    pub scale: i32,
    pub timing: Timing,
    /// The latency that the base class has been told of.
    pub told_latency: gst::ClockTime,
    /// The video that each pad takes in at present.
    pub videos: PerCamera<Option<Arc<Video>>>,
    /// The ultra-wide video whose frames come out at present.
    pub source: Option<Arc<Video>>,
    /// The video they come out as.
    pub output: Option<Arc<Video>>,
    /// The ultra-wide segment that came last.
    pub segment_in: Option<Segment>,
    /// The segment of the frames that come out at present.
    pub segment: Option<Segment>,
    /// The seqnum of that segment's event: after a seek it is the seek's, by which players know theirs.
    pub segment_seqnum: Option<gst::Seqnum>,
    /// The timestamp of the frame that came out last.
    pub position: Option<gst::ClockTime>,
    /// The segment downstream has been told of.
    pub segment_out: Option<gst::Segment>,
    pub qos: Qos,
}

impl Running {
    pub fn new(work: Work, scale: i32) -> Self {
        Self {
            timing: Timing::new(work.session.look_ahead()),
            stopper: work.session.stopper(),
            work: Some(work),
            scale,
            ..Self::default()
        }
    }

    /// A camera's next frames are of this video. Returns the one before.
    pub fn take_video(&mut self, camera: Camera, video: Arc<Video>) -> Option<Arc<Video>> {
        let (lasts, at_least) = (video.frame_duration(), video.shortest_duration());
        self.timing.claim(camera, lasts, at_least);
        self.videos[camera].replace(video)
    }

    /// All latency up to here, as the base class has it; `None` where the pipeline is not live.
    pub fn set_latency(&mut self, latency: Option<gst::ClockTime>) {
        let upstream = latency.map(|latency| latency.saturating_sub(self.told_latency));
        self.timing.set_upstream(upstream);
    }

    /// Until when an ultra-wide frame waits for these cameras' frames, before all latency.
    pub fn wait_until(&self, time: gst::ClockTime, cameras: &[Camera]) -> gst::ClockTime {
        let until = self.timing.wait_until(time, cameras);
        let upstream = self.timing.upstream().unwrap_or_default();
        until.saturating_sub(upstream.saturating_add(self.told_latency))
    }

    /// Takes the work out, unless another thread has it.
    pub fn take_work(&mut self) -> Option<Work> {
        let mut work = self.work.take()?;
        work.held.extend(self.arrived.drain(..));
        Some(work)
    }

    /// Puts the work back. What was flushed is forgotten by now, so that work may go on.
    pub fn put_back(&mut self, work: Work) {
        self.work = Some(work);
        if !self.stopping {
            self.stopper.rearm();
        }
    }

    /// Whether a pad's flush has to end, for itself or for the base class's of the whole element. A seek's own thread sees to
    /// that: the pipeline may wait for it with locks that downstream's answer to a flush needs.
    pub fn waits_for_flush(&self, camera: Camera) -> bool {
        (self.flushes_all || self.epochs.has_begun(camera)) && !self.epochs.is_seeking()
    }

    /// The flush that a pad is to join, and whether it resets time, where no thread is in one of it; this thread is from now on.
    pub fn join_flush(&mut self, camera: Camera) -> Option<(gst::Seqnum, bool)> {
        let nobody = self.in_flush[camera] == 0;
        let seqnum = self.epochs.under_way(camera).filter(|_| nobody)?;
        self.in_flush[camera] = 1;
        Some((seqnum, self.epochs.resets_time))
    }

    /// Whether the ultra-wide pad was flushed since this epoch, or will be.
    pub fn is_over(&self, epoch: u64) -> bool {
        self.epochs.left(Camera::UltraWide, epoch) || self.epochs.is_ending(epoch)
    }

    /// A pad's flush starts. What is computed at present is of no use if it is the ultra-wide one's.
    pub fn flush_start(&mut self, camera: Camera, seqnum: gst::Seqnum) {
        self.epochs.flush_start(camera, seqnum);
        self.timing.forget_frames(camera);
        if camera == Camera::UltraWide {
            self.stopper.stop();
        }
    }

    /// The ultra-wide pad is flushed: what comes after it has a segment of its own.
    pub fn forget_output(&mut self) {
        self.segment_in = None;
        self.segment = None;
        self.position = None;
        self.qos = Qos::default();
        self.ended = false;
    }

    /// The element is about to stop: nothing is computed any more.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.epochs.replace_pad(Camera::UltraWide);
        self.stopper.stop();
    }

    /// Puts something of the ultra-wide stream behind all that came before it.
    pub fn hold(&mut self, held: Held) {
        self.arrived.push(held);
    }
}
