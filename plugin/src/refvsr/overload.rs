//! What becomes of frames that the network would finish too late.
//!
//! A frame is judged before the work on it, by what downstream says (QOS events) and, in live pipelines,
//! by the clock: what the network usually takes must end before the frame's time plus the latency, or not
//! much later. Frames in time always go through the network, so that an overloaded machine does as many
//! as it can.

use super::enums::Overload;
use gst::ClockTime;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The network enlarges it.
    Enlarged,
    /// It comes out enlarged bicubically.
    Bypassed,
    /// It does not come out.
    Dropped,
}

/// Why a frame is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// By the clock.
    Overdue,
    /// Downstream has said that it would not take it.
    Refused,
}

impl Overload {
    /// What becomes of late frames.
    pub fn of_late(self, qos: bool, live: bool) -> Fate {
        match self {
            Self::Drop => Fate::Dropped,
            Self::Bypass => Fate::Bypassed,
            Self::Auto if qos => Fate::Dropped,
            Self::Auto if live => Fate::Bypassed,
            Self::Auto | Self::Wait => Fate::Enlarged,
        }
    }
}

/// The time at which a frame is judged, and what it is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Running time.
    pub time: ClockTime,
    /// From a frame's running time to when it is due downstream.
    pub latency: ClockTime,
    /// How long the network usually takes.
    pub takes: ClockTime,
    /// How long a frame lasts.
    pub frame: ClockTime,
}

impl Now {
    /// When a frame of this running time is due downstream.
    pub fn due(&self, frame: ClockTime) -> ClockTime {
        frame.saturating_add(self.latency)
    }

    /// By how much a frame of this running time would be late, where it would be too late. It may be by
    /// less than a frame: one whose references were waited for comes half a frame late.
    pub fn lateness(&self, frame: ClockTime) -> Option<ClockTime> {
        let slack = self.frame / 4 * 3;
        let due = self.due(frame);
        let done = self.time.saturating_add(self.takes);
        (done > due.saturating_add(slack)).then(|| done - due)
    }
}

/// A time of overload: from the first frame that was late until none has been for a second.
#[derive(Debug, Default, Clone, Copy)]
pub struct Episode {
    /// Where the last late frame was, in running time; `None`: there is no overload.
    last: Option<ClockTime>,
    pub dropped: u64,
    pub bypassed: u64,
    /// Frames dropped since one came out.
    in_a_row: u64,
}

/// A frame that takes longer than this is no matter of latency but of overload.
pub const SLOWEST: ClockTime = ClockTime::SECOND;

/// Without a late frame for so long an overload is over.
const OVER: ClockTime = ClockTime::SECOND;

/// Dropped frames in a row after which one goes through the network however late it is: on a machine
/// that is always late nothing at all would come out otherwise.
const DROPPED_IN_A_ROW: u64 = 4;

/// What is to be said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Begins,
    /// After so many frames dropped and bypassed.
    Ends {
        dropped: u64,
        bypassed: u64,
    },
}

impl Episode {
    /// What becomes of the next frame, where late ones are `of_late`. One that downstream has refused
    /// beforehand is not worth the work in any case.
    pub fn fate(&self, late: Option<Lateness>, of_late: Fate) -> Fate {
        match (late, of_late) {
            (None, _) => Fate::Enlarged,
            (Some(Lateness::Overdue), Fate::Dropped) if self.in_a_row >= DROPPED_IN_A_ROW => {
                Fate::Enlarged
            }
            (Some(_), of_late) => of_late,
        }
    }

    /// Takes note of a frame that comes out, or does not.
    pub fn note(&mut self, time: ClockTime, fate: Fate) -> Option<News> {
        self.in_a_row = match fate {
            Fate::Dropped => self.in_a_row + 1,
            Fate::Enlarged | Fate::Bypassed => 0,
        };
        match fate {
            Fate::Enlarged => {
                let since = time.saturating_sub(self.last?);
                let Self {
                    dropped, bypassed, ..
                } = *self;
                (since >= OVER).then(|| {
                    *self = Self::default();
                    News::Ends { dropped, bypassed }
                })
            }
            Fate::Bypassed | Fate::Dropped => {
                let begins = self.last.replace(time).is_none();
                *(if fate == Fate::Dropped {
                    &mut self.dropped
                } else {
                    &mut self.bypassed
                }) += 1;
                begins.then_some(News::Begins)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refvsr::latency::Latency;
    use std::time::Duration;

    fn ms(n: u64) -> ClockTime {
        ClockTime::from_mseconds(n)
    }

    #[test]
    fn the_default_follows_from_qos_and_liveness() {
        use Fate::*;
        for (overload, qos, live, expected) in [
            (Overload::Auto, false, false, Enlarged),
            (Overload::Auto, false, true, Bypassed),
            (Overload::Auto, true, true, Dropped),
            (Overload::Wait, true, true, Enlarged),
            (Overload::Drop, false, false, Dropped),
            (Overload::Bypass, true, false, Bypassed),
        ] {
            assert_eq!(overload.of_late(qos, live), expected, "{overload:?}");
        }
    }

    #[test]
    fn on_a_machine_that_is_always_late_every_fifth_frame_comes_out() {
        for (late, of_late, expected) in [
            (Lateness::Overdue, Fate::Dropped, 4),
            (Lateness::Refused, Fate::Dropped, 0),
            (Lateness::Overdue, Fate::Bypassed, 0),
        ] {
            let mut episode = Episode::default();
            let enlarged = (0..20).filter(|&n| {
                let fate = episode.fate(Some(late), of_late);
                episode.note(ms(40 * n), fate);
                fate == Fate::Enlarged
            });
            assert_eq!(enlarged.count(), expected, "{of_late:?}, {late:?}");
        }
        assert_eq!(Episode::default().fate(None, Fate::Dropped), Fate::Enlarged);
    }

    #[test]
    fn a_frame_is_late_by_more_than_a_part_of_a_frame() {
        let at = |time| Now {
            time: ms(time),
            latency: ms(200),
            takes: ms(50),
            frame: ms(40),
        };
        assert_eq!(at(1150).lateness(ms(1000)), None);
        assert_eq!(at(1180).lateness(ms(1000)), None, "not by much");
        assert_eq!(at(1181).lateness(ms(1000)), Some(ms(31)));
        assert_eq!(at(0).lateness(ms(1000)), None);
    }

    /// A machine on which a frame takes `network`, or `bypass` where it is passed by, in milliseconds, at
    /// 25 frames a second with a look-ahead of 3: how many of 500 frames the network enlarges, and how
    /// late the latest is.
    fn overloaded(network: u64, bypass: u64) -> (usize, ClockTime) {
        let mut latency = Latency::new(3);
        latency.set_frame(Some(ms(40)));
        let (mut now, mut enlarged, mut latest) = (ms(0), 0, ms(0));
        for n in 0..500 {
            let frame = ms(40 * n);
            // Work on it may begin when the third frame after it has come.
            now = now.max(frame + ms(120));
            let (least, _) = latency.range(None);
            let judged = Now {
                time: now,
                latency: least,
                takes: latency.expected(None),
                frame: ms(40),
            };
            if judged.lateness(frame).is_none() {
                now += ms(network);
                enlarged += 1;
                latency.took(Duration::from_millis(network));
            } else {
                now += ms(bypass);
            }
            let (least, _) = latency.range(None);
            // The first frames take longer than was known.
            if n > 100 {
                latest = latest.max(now.saturating_sub(frame + least));
            }
        }
        (enlarged, latest)
    }

    #[test]
    fn at_half_of_what_is_needed_two_fifths_are_enlarged_and_all_are_in_time() {
        let (enlarged, latest) = overloaded(80, 8);
        assert!(enlarged >= 200, "{enlarged} of 500");
        assert!(latest <= ms(40), "{latest} late");
        let (enlarged, latest) = overloaded(39, 8);
        assert_eq!((enlarged, latest), (500, ms(0)), "nothing is overloaded");
        let (enlarged, latest) = overloaded(400, 8);
        assert!((25..100).contains(&enlarged), "{enlarged} of 500");
        assert!(latest <= ms(40), "{latest} late");
        // Slower than the latency can grow: still some.
        let (enlarged, _) = overloaded(2000, 8);
        assert!(enlarged >= 8, "{enlarged} of 500");
    }

    #[test]
    fn an_overload_is_over_when_no_frame_has_been_late_for_a_second() {
        use Fate::*;
        let mut episode = Episode::default();
        assert_eq!(episode.note(ms(0), Enlarged), None);
        assert_eq!(episode.note(ms(40), Bypassed), Some(News::Begins));
        assert_eq!(episode.note(ms(80), Enlarged), None);
        assert_eq!(episode.note(ms(120), Dropped), None);
        assert_eq!(episode.note(ms(1100), Enlarged), None);
        let ends = News::Ends {
            dropped: 1,
            bypassed: 1,
        };
        assert_eq!(episode.note(ms(1120), Enlarged), Some(ends));
        assert_eq!(episode.note(ms(1160), Enlarged), None);
        assert_eq!(episode.note(ms(1200), Bypassed), Some(News::Begins));
    }
}
