//! How long after an ultra-wide frame came in it comes out.
//!
//! The latency is `look-ahead` frames, plus the time a frame takes. That time is measured and counted
//! in whole frames, at least one: a machine that keeps up with the stream takes no longer than a
//! frame on average, and a latency that follows every millisecond would make live pipelines jump.

use super::overload::SLOWEST;
use gst::ClockTime;
use std::{collections::VecDeque, time::Duration};

/// Frames whose times are looked at.
const RECENT: usize = 32;
/// The first frames take longer, while memory and kernels are set up.
pub const WARM_UP: usize = 2;
/// Frames that a live pad queues beside those that are held.
const QUEUED: u64 = 2;

/// What the latency follows from.
#[derive(Debug, Default)]
pub struct Latency {
    look_ahead: u64,
    /// How long a frame lasts, by caps or by the frames themselves.
    frame: Option<ClockTime>,
    /// Where the last frame started.
    last: Option<ClockTime>,
    /// How long the last frames took, the newest at the end.
    recent: VecDeque<Duration>,
    finished: usize,
    /// Frames that one frame takes.
    takes: u64,
}

impl Latency {
    pub fn new(look_ahead: usize) -> Self {
        Self {
            look_ahead: look_ahead as u64,
            takes: 1,
            ..Self::default()
        }
    }

    /// Another number of frames has to follow a frame.
    pub fn set_look_ahead(&mut self, look_ahead: usize) {
        self.look_ahead = look_ahead as u64;
    }

    /// How long a frame lasts.
    pub fn frame(&self) -> ClockTime {
        self.frame.unwrap_or_default()
    }

    /// New caps say how long a frame lasts, or do not.
    pub fn set_frame(&mut self, frame: Option<ClockTime>) {
        self.frame = frame.or(self.frame);
        self.last = None;
    }

    /// A frame came in. Where the caps did not say how long frames last, it does, or its distance from
    /// the one before.
    pub fn came_in(&mut self, time: ClockTime, duration: Option<ClockTime>) {
        let distance = self
            .last
            .replace(time)
            .and_then(|last| time.checked_sub(last));
        if self.frame.is_none() {
            self.frame = duration.or(distance).filter(|frame| !frame.is_zero());
        }
    }

    /// A frame took so long.
    pub fn took(&mut self, time: Duration) {
        self.finished += 1;
        let Some(frame) = self.frame.filter(|_| self.finished > WARM_UP) else {
            return;
        };
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(time);
        let longest = self.longest().min(SLOWEST);
        let needed = longest.nseconds().div_ceil(frame.nseconds()).max(1);
        // It rises at once, and falls when no frame of late would have needed it.
        if needed > self.takes || self.recent.len() == RECENT {
            self.takes = needed;
        }
    }

    /// A rehearsal has shown that a frame takes so long; the first frames count from now on.
    pub fn rehearsed(&mut self, time: Duration) {
        self.finished = self.finished.max(WARM_UP);
        self.took(time);
    }

    /// How long the slowest of the last frames took.
    fn longest(&self) -> ClockTime {
        let longest = self.recent.iter().max().copied().unwrap_or_default();
        ClockTime::try_from(longest).unwrap_or(ClockTime::MAX)
    }

    /// The least latency, and the most that there is room for. `deadline`: the time a frame takes, as
    /// the user has fixed it.
    pub fn range(&self, deadline: Option<ClockTime>) -> (ClockTime, Option<ClockTime>) {
        let takes = deadline.unwrap_or_else(|| self.frames(self.takes));
        let least = self.frames(self.look_ahead).saturating_add(takes);
        let most = self.frames(self.look_ahead + QUEUED).max(least);
        (least, self.frame.map(|_| most))
    }

    /// How long the network is expected to take for a frame: as long as the slowest of the last ones, but no
    /// longer than the latency has room for. So a frame that work begins on in time counts as being in time.
    pub fn expected(&self, deadline: Option<ClockTime>) -> ClockTime {
        let room = deadline.unwrap_or_else(|| self.frames(self.takes));
        self.longest().min(room)
    }

    fn frames(&self, count: u64) -> ClockTime {
        let time = self.frame().nseconds().saturating_mul(count);
        ClockTime::from_nseconds(time.min(ClockTime::MAX.nseconds() / 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> ClockTime {
        ClockTime::from_mseconds(n)
    }

    fn at_25(look_ahead: usize) -> Latency {
        let mut latency = Latency::new(look_ahead);
        latency.set_frame(Some(ms(40)));
        latency
    }

    #[test]
    fn the_look_ahead_and_a_frame_at_first() {
        assert_eq!(at_25(3).range(None), (ms(160), Some(ms(200))));
        assert_eq!(at_25(3).range(Some(ms(0))), (ms(120), Some(ms(200))));
        assert_eq!(at_25(0).range(Some(ms(70))), (ms(70), Some(ms(80))));
        assert_eq!(at_25(0).range(Some(ms(700))), (ms(700), Some(ms(700))));
        assert_eq!(
            Latency::new(3).range(None),
            (ms(0), None),
            "nothing is known yet"
        );
    }

    #[test]
    fn it_rises_at_once_and_falls_when_nothing_needs_it() {
        let mut latency = at_25(1);
        let least = |latency: &Latency| latency.range(None).0.mseconds();
        for _ in 0..WARM_UP {
            latency.took(Duration::from_millis(900));
        }
        assert_eq!(least(&latency), 80, "warming up does not count");
        latency.took(Duration::from_millis(39));
        assert_eq!(least(&latency), 80);
        latency.took(Duration::from_millis(90));
        assert_eq!(least(&latency), 40 + 120);
        for n in 0..RECENT {
            assert_eq!(least(&latency), 160, "after {n} faster frames");
            latency.took(Duration::from_millis(20));
        }
        assert_eq!(least(&latency), 80);
        latency.took(Duration::from_secs(100));
        assert_eq!(least(&latency), 40 + 1000, "more is overload");
    }

    #[test]
    fn what_a_rehearsal_shows_counts_at_once() {
        let mut latency = at_25(1);
        latency.rehearsed(Duration::from_millis(70));
        assert_eq!(latency.range(None).0, ms(40 + 80));
        assert_eq!(latency.expected(None), ms(70));
        latency.took(Duration::from_millis(90));
        assert_eq!(latency.range(None).0, ms(40 + 120), "as the frames do");
    }

    #[test]
    fn no_more_is_expected_than_there_is_room_for() {
        let mut latency = at_25(1);
        assert_eq!(latency.expected(None), ms(0), "nothing is known yet");
        for milliseconds in [9, 9, 50, 70, 60] {
            latency.took(Duration::from_millis(milliseconds));
        }
        assert_eq!(latency.expected(None), ms(70));
        assert_eq!(latency.expected(Some(ms(20))), ms(20));
        latency.took(Duration::from_secs(60));
        assert_eq!(latency.expected(None), ms(1000));
    }

    #[test]
    fn without_a_rate_the_frames_tell() {
        let mut latency = Latency::new(2);
        latency.set_frame(None);
        latency.came_in(ms(100), None);
        assert_eq!(latency.frame(), ms(0));
        latency.came_in(ms(150), None);
        assert_eq!(latency.range(Some(ms(0))).0, ms(100));
        let mut latency = Latency::new(2);
        latency.came_in(ms(0), Some(ms(30)));
        latency.came_in(ms(20), Some(ms(10)));
        assert_eq!(latency.range(Some(ms(0))).0, ms(60), "the first one's");
    }
}
