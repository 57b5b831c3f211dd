//! What changes while the element lives.

use super::{
    camera::PerCamera,
    epochs::Epochs,
    latency::Latency,
    qos::Qos,
    stats::Stats,
    video::Video,
    work::{Held, Segment, Work},
};
use std::sync::Arc;

/// Everything behind the element's state lock.
#[derive(Debug, Default)]
pub struct State {
    /// `None` while the element is stopped.
    pub running: Option<Running>,
    /// Also those of the last run, once it is over.
    pub stats: Stats,
}

/// The state of the running element.
#[derive(Debug)]
pub struct Running {
    /// `None` while a thread has it; see [`Self::take_work`].
    work: Option<Work>,
    /// What has come in since the work was last taken.
    arrived: Vec<Held>,
    pub epochs: Epochs,
    /// The epoch of the streaming thread's last turn.
    pub last_turn: u64,
    /// Output size over input size.
    pub scale: i32,
    pub latency: Latency,
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
    /// The timestamp of the frame that came out last.
    pub position: Option<gst::ClockTime>,
    /// The segment downstream has been told of.
    pub segment_out: Option<gst::Segment>,
    pub qos: Qos,
}

impl Running {
    pub fn new(work: Work, scale: i32) -> Self {
        Self {
            latency: Latency::new(work.session.look_ahead()),
            work: Some(work),
            arrived: Vec::new(),
            epochs: Epochs::default(),
            last_turn: 0,
            scale,
            videos: PerCamera::default(),
            source: None,
            output: None,
            segment_in: None,
            segment: None,
            position: None,
            segment_out: None,
            qos: Qos::default(),
        }
    }
    /// Takes the work out, unless another thread has it.
    pub fn take_work(&mut self) -> Option<Work> {
        let mut work = self.work.take()?;
        work.held.extend(self.arrived.drain(..));
        Some(work)
    }

    /// Puts the work back.
    pub fn put_back(&mut self, work: Work) {
        self.work = Some(work);
    }

    /// Puts something of the ultra-wide stream behind all that came before it.
    pub fn hold(&mut self, held: Held) {
        self.arrived.push(held);
    }
}
