//! Whether the network may work on frames where late ones come out enlarged bicubically, and how long.
//!
//! The latency makes up for a second at most, and while the network works on a frame all later ones wait. So a
//! [rehearsal](super::rehearsal) shows first how long a frame takes. On a machine where it takes too long, then
//! or later, no frame is tried for a while, and after it there is a rehearsal again. One frame that takes too long
//! after others that did not is forgiven.

use super::{overload::SLOWEST, rehearsal::Rehearsal};
use gst::ClockTime;
use std::time::Duration;

/// After the first frame given up none is tried for so long, then for twice as long, and so on.
const REST: ClockTime = ClockTime::from_seconds(10);
/// But for no longer than this.
const LONGEST_REST: ClockTime = ClockTime::from_seconds(300);

/// What is known of this machine.
#[derive(Debug, Default)]
pub struct Patience {
    stage: Stage,
    /// The size of the ultra-wide frames it is known for.
    size: Vec<i64>,
    /// The last rest, where no frame has been finished since.
    rest: Option<ClockTime>,
    /// The last frame tried was finished. If the next one is given up, there is no rest: the machine may
    /// have had something else to do.
    forgives: bool,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Unknown,
    Rehearsing(Rehearsal),
    Ready,
    /// Until this running time.
    Resting(ClockTime),
}

/// How long the network may work on a frame; frames last `frame`.
pub fn limit(frame: ClockTime) -> Duration {
    Duration::from(SLOWEST.max(frame * 2))
}

impl Patience {
    /// Whether there is to be a rehearsal at this running time, of frames of this size.
    pub fn needs_rehearsal(&self, size: &[i64], now: ClockTime) -> bool {
        match self.stage {
            _ if self.size != size => true,
            Stage::Unknown => true,
            Stage::Rehearsing(_) | Stage::Ready => false,
            Stage::Resting(end) => now >= end,
        }
    }

    /// It has begun.
    pub fn rehearse(&mut self, size: Vec<i64>, rehearsal: Rehearsal) {
        self.size = size;
        self.stage = Stage::Rehearsing(rehearsal);
        self.forgives = false;
    }

    /// The rehearsal there is at present.
    pub fn rehearsal(&self) -> Option<&Rehearsal> {
        match &self.stage {
            Stage::Rehearsing(rehearsal) => Some(rehearsal),
            Stage::Unknown | Stage::Ready | Stage::Resting(_) => None,
        }
    }

    /// The rehearsal is over: a frame takes so long, or it was given up. Whether that is fast enough.
    pub fn rehearsed(&mut self, took: Option<Duration>, frame: ClockTime, now: ClockTime) -> bool {
        let fast = took.is_some_and(|took| took <= limit(frame));
        if fast {
            self.stage = Stage::Ready;
        } else {
            self.gave_up(now);
        }
        fast
    }

    /// Whether no frame is to be tried.
    pub fn rests(&self) -> bool {
        matches!(self.stage, Stage::Resting(_))
    }

    /// A frame was finished.
    pub fn finished(&mut self) {
        self.rest = None;
        self.forgives = true;
    }

    /// A frame was given up at this running time.
    pub fn gave_up(&mut self, now: ClockTime) {
        if std::mem::take(&mut self.forgives) {
            return;
        }
        let length = match self.rest {
            Some(last) => (last * 2).min(LONGEST_REST),
            None => REST,
        };
        self.rest = Some(length);
        self.stage = Stage::Resting(now + length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: ClockTime = ClockTime::from_mseconds(40);

    #[test]
    fn a_slow_machine_is_tried_ever_more_rarely() {
        let at = ClockTime::from_seconds;
        let size = [1, 3, 16, 16];
        let mut patience = Patience {
            size: size.to_vec(),
            ..Patience::default()
        };
        assert!(patience.needs_rehearsal(&size, at(0)));
        let slow = Some(Duration::from_millis(1001));
        assert!(!patience.rehearsed(slow, FRAME, at(5)));
        assert!(patience.rests());
        assert!(!patience.needs_rehearsal(&size, at(14)));
        assert!(patience.needs_rehearsal(&size, at(15)));
        assert!(!patience.rehearsed(None, FRAME, at(16)));
        assert!(!patience.needs_rehearsal(&size, at(35)));
        assert!(patience.needs_rehearsal(&size, at(36)));
        for _ in 0..9 {
            patience.gave_up(at(0));
        }
        assert!(!patience.needs_rehearsal(&size, at(299)));
        assert!(patience.needs_rehearsal(&size, at(300)));

        let fast = Some(Duration::from_millis(1000));
        assert!(patience.rehearsed(fast, FRAME, at(300)));
        assert!(!patience.rests() && !patience.needs_rehearsal(&size, at(300)));
        patience.gave_up(at(301));
        assert!(
            !patience.needs_rehearsal(&size, at(600)),
            "no frame was done"
        );
        assert!(patience.rehearsed(fast, FRAME, at(601)));
        patience.finished();
        patience.gave_up(at(700));
        assert!(!patience.rests(), "one is forgiven");
        patience.gave_up(at(700));
        assert!(patience.rests(), "a second one is not");
        assert!(patience.needs_rehearsal(&size, at(710)), "it begins anew");
    }

    #[test]
    fn frames_of_another_size_are_rehearsed_anew() {
        let mut patience = Patience::default();
        let fast = Some(Duration::from_millis(1));
        patience.size = vec![1, 3, 16, 16];
        assert!(patience.rehearsed(fast, FRAME, FRAME));
        assert!(!patience.needs_rehearsal(&[1, 3, 16, 16], FRAME));
        assert!(patience.needs_rehearsal(&[1, 3, 16, 32], FRAME));
    }

    #[test]
    fn slow_cameras_give_more_time() {
        assert_eq!(limit(ClockTime::SECOND), Duration::from_secs(2));
        assert_eq!(limit(FRAME), Duration::from_secs(1));
    }
}
