//! Epochs: the time between two flushes.
//!
//! One counter tells what belongs together. Every flush begins an epoch; a pad enters it with its own
//! flush, and frames, features and outputs from before its entry are of no use any more.
//!
//! Pads are flushed one after another. A frame from after the flush of one pad must not meet frames
//! from before the flush of another: it would be paired to nothing, or lost with them. So the
//! streaming thread takes no frame while an epoch is still being entered.

use super::camera::{Camera, PerCamera};
use gst::Seqnum;
use std::time::{Duration, Instant};

/// How long after one pad's flush the others' may come. A flush need not reach them all: a camera
/// can be flushed alone.
pub const GRACE: Duration = Duration::from_millis(100);
/// How long the streaming thread waits for the end of a pad's flush before it looks again.
const LOOK: Duration = Duration::from_secs(1);

/// The epochs of the running element and of its pads.
#[derive(Debug, Default)]
pub struct Epochs {
    current: u64,
    /// The flush that the current epoch began with.
    seqnum: Option<Seqnum>,
    /// Whether running time begins anew behind it, as far as is known.
    pub resets_time: bool,
    /// The epoch that each pad's frames are of at least.
    entered: PerCamera<u64>,
    flushing: PerCamera<bool>,
    /// When a pad last entered the current epoch; `None` once the other pads have, or will not.
    open_since: Option<Instant>,
    /// Flushing seeks that are on their way upstream.
    seeks: usize,
    /// The epoch that the last of them ends.
    ends: u64,
    /// Its number. A pipeline of several sinks sends each several times.
    last_seek: Option<Seqnum>,
}

impl Epochs {
    /// The number of the current epoch.
    pub fn current(&self) -> u64 {
        self.current
    }

    /// Whether a camera was flushed after this epoch.
    pub fn left(&self, camera: Camera, epoch: u64) -> bool {
        self.entered[camera] > epoch
    }

    /// A flushing seek sets out. `false`: it has been sent already.
    pub fn seek(&mut self, seqnum: Seqnum) -> bool {
        let is_new = self.last_seek.replace(seqnum) != Some(seqnum);
        self.seeks += usize::from(is_new);
        self.ends = self.current;
        is_new
    }

    /// Whether one is on its way.
    pub fn is_seeking(&self) -> bool {
        self.seeks > 0
    }

    /// Whether one is on its way that makes work of this epoch useless.
    pub fn is_ending(&self, epoch: u64) -> bool {
        self.seeks > 0 && epoch <= self.ends
    }

    /// A flushing seek has been everywhere.
    pub fn seek_done(&mut self) {
        self.seeks = self.seeks.saturating_sub(1);
    }

    /// A pad's flush starts.
    pub fn flush_start(&mut self, camera: Camera, seqnum: Seqnum) {
        self.enter(camera, seqnum);
        self.flushing[camera] = true;
    }

    /// A pad's flush is over.
    pub fn flush_stop(&mut self, camera: Camera, seqnum: Seqnum, resets_time: bool) {
        self.enter(camera, seqnum);
        self.resets_time = resets_time;
        self.flushing[camera] = false;
        self.open_since = Some(Instant::now());
    }

    /// A pad is new or gone: nothing is known of its frames.
    pub fn replace_pad(&mut self, camera: Camera) {
        self.current += 1;
        self.seqnum = None;
        self.entered[camera] = self.current;
        self.flushing[camera] = false;
    }

    /// How long the streaming thread has to wait before it looks again, while a flush has not been on all
    /// of these cameras' pads yet; `None`: it may go on.
    pub fn open_for(&mut self, linked: &[Camera]) -> Option<Duration> {
        if self.is_flushing() {
            return Some(LOOK);
        }
        let everywhere = linked
            .iter()
            .all(|&camera| self.entered[camera] == self.current);
        let left = self
            .open_since
            .map(|when| GRACE.saturating_sub(when.elapsed()));
        let open = left.filter(|left| !everywhere && !left.is_zero());
        if open.is_none() {
            self.open_since = None;
        }
        open
    }

    /// The flush that other pads have seen and this one has not, or not the end of it.
    pub fn under_way(&self, camera: Camera) -> Option<Seqnum> {
        let is_behind = self.entered[camera] != self.current || self.flushing[camera];
        let is_open = self.open_since.is_some() || self.is_flushing();
        self.seqnum.filter(|_| is_behind && is_open)
    }

    /// Whether a pad's flush has begun and not ended.
    pub fn has_begun(&self, camera: Camera) -> bool {
        self.flushing[camera]
    }

    fn is_flushing(&self) -> bool {
        Camera::ALL.iter().any(|&camera| self.flushing[camera])
    }

    fn enter(&mut self, camera: Camera, seqnum: Seqnum) {
        if self.seqnum != Some(seqnum) {
            self.current += 1;
            self.seqnum = Some(seqnum);
            self.resets_time = true;
        }
        self.entered[camera] = self.current;
    }
}
