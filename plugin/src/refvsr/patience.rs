//! How long the network may work on one frame where late frames come out enlarged bicubically.
//!
//! The latency makes up for a second at most, and while the network works on a frame all later ones wait. On a
//! machine where a frame takes many seconds a viewfinder would stand still, so the work is given up, and
//! not tried again for a while.

use super::{latency::WARM_UP, overload::SLOWEST};
use gst::ClockTime;
use std::time::Duration;

/// How long each of the first frames ([`WARM_UP`]) may take, which set up memory and kernels.
const FIRST: Duration = Duration::from_secs(5);
/// After the first frame given up none is tried for so long, then for twice as long, and so on.
const REST: ClockTime = ClockTime::from_seconds(10);
/// But for no longer than this.
const LONGEST_REST: ClockTime = ClockTime::from_seconds(300);

/// What is known of this machine.
#[derive(Debug, Default, Clone, Copy)]
pub struct Patience {
    finished: usize,
    /// The last rest, and where it ends, in running time.
    rest: Option<(ClockTime, ClockTime)>,
}

impl Patience {
    /// Whether no frame is to be tried at this running time.
    pub fn rests(&self, now: ClockTime) -> bool {
        self.rest.is_some_and(|(_, end)| now < end)
    }

    /// How long the network may work on a frame; frames last `frame`.
    pub fn limit(&self, frame: ClockTime) -> Duration {
        let most = Duration::from(SLOWEST.max(frame * 2));
        if self.finished < WARM_UP && self.rest.is_none() {
            most.max(FIRST)
        } else {
            most
        }
    }

    /// A frame was finished.
    pub fn finished(&mut self) {
        self.finished += 1;
        self.rest = None;
    }

    /// A frame was given up at this running time.
    pub fn gave_up(&mut self, now: ClockTime) {
        let length = match self.rest {
            Some((last, _)) => (last * 2).min(LONGEST_REST),
            None => REST,
        };
        self.rest = Some((length, now + length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_machine_is_tried_ever_more_rarely() {
        let at = ClockTime::from_seconds;
        let frame = ClockTime::from_mseconds(40);
        let mut patience = Patience::default();
        assert!(!patience.rests(at(0)));
        assert_eq!(patience.limit(frame), FIRST);
        patience.gave_up(at(5));
        assert!(patience.rests(at(14)) && !patience.rests(at(15)));
        assert_eq!(patience.limit(frame), Duration::from_secs(1));
        patience.gave_up(at(16));
        assert!(patience.rests(at(35)) && !patience.rests(at(36)));
        for _ in 0..9 {
            patience.gave_up(at(0));
        }
        assert!(patience.rests(at(299)) && !patience.rests(at(300)));
        patience.finished();
        assert!(!patience.rests(at(0)));
    }

    #[test]
    fn slow_cameras_give_more_time() {
        let mut patience = Patience::default();
        patience.finished();
        patience.finished();
        assert_eq!(patience.limit(ClockTime::SECOND), Duration::from_secs(2));
        assert_eq!(
            patience.limit(ClockTime::from_mseconds(40)),
            Duration::from_secs(1)
        );
    }
}
