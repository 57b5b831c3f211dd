//! How one camera's frames come: part of [`timing`](super::timing).

use super::{drift::Drift, recent::Recent};
use gst::ClockTime;

/// Frames of a camera that are looked back at for how they come at present.
const LATELY: usize = 16;
/// So many distances of a live camera's frames say more than the caps.
const ENOUGH: usize = 3;
/// The same of a recording's, whose caps are seldom wrong: three holes in a row are no slower camera.
const ENOUGH_RECORDED: usize = 8;
/// After so many longer distances in a row a live camera has slowed down.
const SLOWED: usize = 4;
/// Frames of a camera that are looked back at for how early they may come.
const LONG: usize = 64;

/// When one camera's frames come.
#[derive(Debug, Default, Clone)]
pub struct Pace {
    /// How long a frame lasts by caps or by the frames themselves; at least, where the rate varies.
    pub claimed: Option<ClockTime>,
    /// The caps say that the rate varies, or nothing.
    pub varies: bool,
    /// The distance of frames, where it is another than is claimed.
    pub measured: Option<ClockTime>,
    pub last: Option<ClockTime>,
    pub distances: Recent<ClockTime, LATELY>,
    /// How long after their times frames came.
    pub delays: Recent<ClockTime, LONG>,
    /// The same of the last ones; of a reference camera, how much longer than the ultra-wide camera's.
    pub lags: Recent<ClockTime, LATELY>,
    /// Frames that have come and were not taken.
    pub queued: usize,
    /// How much later frames' sensor times are than their times, where they have them.
    pub offsets: Recent<i64, LATELY>,
    pub drift: Drift,
}

impl Pace {
    pub fn came(&mut self, time: ClockTime, duration: Option<ClockTime>, live: bool) {
        let before = self.last.replace(time);
        let distance = before.and_then(|before| time.checked_sub(before));
        if let Some(distance) = distance.filter(|distance| !distance.is_zero()) {
            self.distances.push(distance);
        }
        self.claimed = self
            .claimed
            .or(duration.filter(|duration| !duration.is_zero()));
        // Holes make distances longer and nothing makes many of them shorter, hence not the middle one.
        // Where the light fades, a live camera slows down from one frame to the next.
        let slowed = self.distances.least_of_last(SLOWED).filter(|_| live);
        let measured = self.distances.lower_quartile().max(slowed);
        let used = self.measured.or(self.claimed);
        let enough = if live { ENOUGH } else { ENOUGH_RECORDED };
        let enough = self.distances.len() >= enough || used.is_none();
        if let Some(measured) = measured.filter(|_| enough) {
            // Less than an eighth is jitter.
            let differs = |used: ClockTime| used.max(measured) - used.min(measured) > used / 8;
            if used.is_none_or(differs) {
                self.measured = Some(measured);
            }
        }
        self.queued += 1;
    }

    pub fn interval(&self) -> Option<ClockTime> {
        self.measured.or(self.claimed)
    }

    /// The longest distance of two frames between which none is missing.
    pub fn spread(&self, live: bool) -> Option<ClockTime> {
        let longest = self.distances.max().filter(|_| self.varies);
        let slowing = self.distances.least_of_last(2).filter(|_| live);
        longest.max(slowing).max(self.interval())
    }

    /// How late its frames come at least.
    pub fn least_delay(&self) -> ClockTime {
        self.delays.min().unwrap_or_default()
    }

    /// How late its frames come at present, see [`Self::lags`].
    pub fn lag(&self) -> ClockTime {
        self.lags.usual_most().unwrap_or_default()
    }

    pub fn forget_frames(&mut self) {
        *self = Self {
            claimed: self.claimed,
            varies: self.varies,
            measured: self.measured,
            ..Self::default()
        };
    }
}
