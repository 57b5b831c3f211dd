//! Which frame of another camera belongs to an ultra-wide frame: the nearest in running time.
//!
//! Pure logic. A [`Pairing`] sees one camera's frames in order and holds at most three of them: the newest that is
//! not after the ultra-wide frame, the last before that if that is a gap, and the one after it, which
//! stays queued on its pad: it may belong to later ultra-wide frames too.

use gst::ClockTime;

/// Times closer than this are the same moment: containers round times to a millisecond.
const SAME_MOMENT: ClockTime = ClockTime::from_mseconds(1);

/// A frame of another camera, or a gap in its stream, with its place in running time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped<T> {
    /// Where it starts.
    pub time: ClockTime,
    /// How long it lasts, where known.
    pub duration: Option<ClockTime>,
    /// The frame; `None`: a gap.
    pub frame: Option<T>,
}

impl<T> Stamped<T> {
    /// A gap that lasts over `time`: whatever comes later, the camera saw nothing then.
    fn is_gap_over(&self, time: ClockTime) -> bool {
        self.frame.is_none()
            && self.time <= time
            && self
                .duration
                .is_some_and(|d| time < self.time.saturating_add(d))
    }
}

/// What became of an ultra-wide frame's search.
#[derive(Debug, PartialEq, Eq)]
pub enum Pair<'a, T> {
    /// The nearest frame, and it is near enough.
    Found(&'a T),
    /// No frame is near enough.
    Missing,
    /// A frame that has not come yet may be nearer.
    Undecided,
}

/// One camera's frames, paired to the ultra-wide frames.
#[derive(Debug)]
pub struct Pairing<T> {
    last: Option<Stamped<T>>,
    /// The last frame where `last` is a gap.
    before_gap: Option<Stamped<T>>,
    next: Option<Stamped<T>>,
}

impl<T> Default for Pairing<T> {
    fn default() -> Self {
        Self {
            last: None,
            before_gap: None,
            next: None,
        }
    }
}

impl<T> Pairing<T> {
    /// The head of the pad's queue, if it has been shown already.
    pub fn head(&self) -> Option<&Stamped<T>> {
        self.next.as_ref()
    }

    /// Shows the head of the pad's queue. It stays there until [`Self::advance`] says so.
    pub fn show(&mut self, head: Stamped<T>) {
        self.next = Some(head);
    }

    /// There is no head at present.
    pub fn hide(&mut self) {
        self.next = None;
    }

    /// Whether the head is not after `time`, so that [`Self::advance`] would move on.
    pub fn is_due(&self, time: ClockTime) -> bool {
        self.next.as_ref().is_some_and(|next| next.time <= time)
    }

    /// Moves on past the head if it is not after `time`; then it must be taken off the pad, and there is a new head to show.
    pub fn advance(&mut self, time: ClockTime) -> bool {
        let due = self.is_due(time);
        if due {
            let passed = std::mem::replace(&mut self.last, self.next.take());
            let is_gap = |s: &Option<Stamped<T>>| s.as_ref().is_some_and(|s| s.frame.is_none());
            if !is_gap(&self.last) {
                self.before_gap = None;
            } else if !is_gap(&passed) {
                self.before_gap = passed;
            }
        }
        due
    }

    /// The camera's last frame, if it is no older than `limit`.
    pub fn latest(&self, time: ClockTime, limit: ClockTime) -> Option<&T> {
        [&self.last, &self.before_gap]
            .into_iter()
            .flatten()
            .filter(|s| time <= s.time.saturating_add(limit))
            .find_map(|s| s.frame.as_ref())
    }

    /// The nearest frame to `time` that is no further than `tolerance` away; of two equally near ones the earlier.
    /// `complete`: no frame but those shown will come in time.
    pub fn choose(&self, time: ClockTime, tolerance: ClockTime, complete: bool) -> Pair<'_, T> {
        let distance = |s: &Stamped<T>| s.time.max(time) - s.time.min(time);
        if let Some(last) = &self.last {
            if last.is_gap_over(time) {
                return Pair::Missing;
            }
            if distance(last) <= SAME_MOMENT.min(tolerance) {
                return last.frame.as_ref().map_or(Pair::Missing, Pair::Found);
            }
        }
        if self.next.is_none() && !complete {
            return Pair::Undecided;
        }
        let nearest = [&self.last, &self.next]
            .into_iter()
            .flatten()
            .min_by_key(|s| distance(s));
        match nearest {
            Some(s) if distance(s) <= tolerance => {
                s.frame.as_ref().map_or(Pair::Missing, Pair::Found)
            }
            _ => Pair::Missing,
        }
    }
}

/// How far a frame may lie from its ultra-wide frame if the user has not said: half a period of the slower of the two streams,
/// and a little for rounding. In two steady streams, then, no frame is ever missing, and every real hole is one.
pub fn automatic_tolerance(ultrawide: Option<ClockTime>, other: Option<ClockTime>) -> ClockTime {
    match ultrawide.max(other) {
        Some(period) => (period / 2).saturating_add(SAME_MOMENT),
        None => ClockTime::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> ClockTime {
        ClockTime::from_mseconds(n)
    }

    /// Runs the search as the element does: one queue, whose head is shown, and `ended` or not.
    struct Camera {
        pairing: Pairing<usize>,
        queue: std::collections::VecDeque<Stamped<usize>>,
        ended: bool,
    }

    impl Camera {
        fn new(times: &[u64], ended: bool) -> Self {
            let stamped = |(i, t): (usize, &u64)| Stamped {
                time: ms(*t),
                duration: Some(ms(40)),
                frame: Some(i),
            };
            Self {
                pairing: Pairing::default(),
                queue: times.iter().enumerate().map(stamped).collect(),
                ended,
            }
        }

        fn at(&mut self, time: u64, tolerance: u64) -> Pair<'_, usize> {
            loop {
                if self.pairing.head().is_none()
                    && let Some(head) = self.queue.front()
                {
                    self.pairing.show(head.clone());
                }
                if !self.pairing.advance(ms(time)) {
                    break;
                }
                self.queue.pop_front();
            }
            self.pairing.choose(ms(time), ms(tolerance), self.ended)
        }
    }

    #[test]
    fn equal_times_pair_without_waiting() {
        let mut wide = Camera::new(&[0, 40, 80], false);
        for (i, t) in [0, 40, 80].into_iter().enumerate() {
            assert_eq!(wide.at(t, 20), Pair::Found(&i));
        }
        assert_eq!(wide.at(120, 20), Pair::Undecided);
        wide.ended = true;
        assert_eq!(wide.at(120, 20), Pair::Missing);
        assert_eq!(wide.at(120, 40), Pair::Found(&2));
    }

    #[test]
    fn rounded_times_pair_without_waiting() {
        let mut wide = Camera::new(&[0, 33, 66], false);
        assert_eq!(wide.at(34, 17), Pair::Found(&1));
        let mut wide = Camera::new(&[0, 33, 66], false);
        assert_eq!(
            wide.at(32, 17),
            Pair::Found(&1),
            "the next one, a millisecond on"
        );
    }

    #[test]
    fn the_nearest_wins_and_ties_go_to_the_earlier() {
        let mut wide = Camera::new(&[0, 100], false);
        assert_eq!(wide.at(40, 100), Pair::Found(&0));
        assert_eq!(wide.at(50, 100), Pair::Found(&0));
        assert_eq!(wide.at(60, 100), Pair::Found(&1));
        assert_eq!(wide.at(60, 30), Pair::Missing);
    }

    #[test]
    fn half_a_frame_off_finds_its_neighbour() {
        let mut wide = Camera::new(&[20, 60, 100], true);
        let tolerance = automatic_tolerance(Some(ms(40)), Some(ms(40))).mseconds();
        let found: Vec<_> = [0, 40, 80, 120]
            .into_iter()
            .map(|t| matches!(wide.at(t, tolerance), Pair::Found(_)))
            .collect();
        assert_eq!(found, [true; 4]);
    }

    #[test]
    fn slower_and_faster_streams_leave_no_holes() {
        for period in [10_u64, 15, 40, 77, 200] {
            let times: Vec<u64> = (0..=2000 / period).map(|i| i * period).collect();
            let mut wide = Camera::new(&times, true);
            let tolerance = automatic_tolerance(Some(ms(40)), Some(ms(period))).mseconds();
            for t in (0..1600).step_by(40) {
                let Pair::Found(&i) = wide.at(t, tolerance) else {
                    panic!("hole at {t} with period {period}")
                };
                let best = times.iter().map(|&w| w.abs_diff(t)).min().unwrap();
                assert!(
                    times[i].abs_diff(t) <= best.max(1),
                    "{t} got {} with period {period}",
                    times[i]
                );
            }
        }
    }

    #[test]
    fn frames_far_ahead_stay_queued() {
        let mut wide = Camera::new(&[0, 1000, 1040], false);
        for t in [40, 80, 120] {
            assert_eq!(wide.at(t, 20), Pair::Missing);
        }
        assert_eq!(wide.queue.len(), 2);
        assert_eq!(wide.at(1000, 20), Pair::Found(&1));
    }

    #[test]
    fn late_frames_are_passed_over() {
        let mut wide = Camera::new(&[0, 10, 20, 30, 400], false);
        assert_eq!(wide.at(400, 20), Pair::Found(&4));
        assert_eq!(wide.queue.len(), 0);
    }

    #[test]
    fn gaps_are_missing_frames() {
        let gap = |time, duration| Stamped {
            time: ms(time),
            duration: Some(ms(duration)),
            frame: None,
        };
        let mut pairing = Pairing::default();
        pairing.show(Stamped {
            time: ms(0),
            duration: Some(ms(40)),
            frame: Some(0),
        });
        assert!(pairing.advance(ms(0)));
        pairing.show(gap(40, 200));
        assert!(pairing.advance(ms(40)));
        assert_eq!(
            pairing.choose(ms(40), ms(500), false),
            Pair::Missing,
            "a gap is the camera's answer"
        );
        assert_eq!(
            pairing.choose(ms(160), ms(500), false),
            Pair::Missing,
            "all the while it lasts, without waiting"
        );
        assert_eq!(
            pairing.choose(ms(300), ms(500), false),
            Pair::Undecided,
            "but no longer"
        );
    }

    #[test]
    fn the_last_frame_is_remembered_over_gaps_up_to_an_age() {
        let mut pairing = Pairing::default();
        assert_eq!(pairing.latest(ms(0), ms(100)), None);
        for (time, frame) in [(0, Some(0)), (40, Some(1)), (80, None), (120, None)] {
            pairing.show(Stamped {
                time: ms(time),
                duration: Some(ms(40)),
                frame,
            });
            assert!(pairing.advance(ms(time)));
        }
        assert_eq!(pairing.latest(ms(120), ms(100)), Some(&1));
        assert_eq!(pairing.latest(ms(140), ms(100)), Some(&1));
        assert_eq!(pairing.latest(ms(141), ms(100)), None);
    }

    #[test]
    fn an_empty_stream_is_missing_only_once_it_ended() {
        let pairing = Pairing::<usize>::default();
        assert_eq!(
            pairing.choose(ms(0), ClockTime::MAX, false),
            Pair::Undecided
        );
        assert_eq!(pairing.choose(ms(0), ClockTime::MAX, true), Pair::Missing);
    }

    #[test]
    fn unknown_frame_rates_take_the_nearest_whatever_the_distance() {
        assert_eq!(automatic_tolerance(None, None), ClockTime::MAX);
        assert_eq!(automatic_tolerance(Some(ms(40)), None), ms(21));
        assert_eq!(automatic_tolerance(Some(ms(40)), Some(ms(100))), ms(51));
    }
}
