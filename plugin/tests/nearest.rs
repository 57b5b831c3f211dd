//! Which frame of another camera belongs to an ultra-wide frame: the nearest in running time.

#![allow(dead_code)] // the element uses the rest

#[path = "../src/refvsr/camera.rs"]
mod camera;
#[path = "../src/refvsr/drift.rs"]
mod drift;
#[path = "../src/refvsr/enums.rs"]
mod enums;
#[path = "../src/refvsr/pace.rs"]
mod pace;
#[path = "../src/refvsr/pairing.rs"]
mod pairing;
#[path = "../src/refvsr/recent.rs"]
mod recent;
#[path = "../src/refvsr/timing.rs"]
mod timing;

use gst::ClockTime;
use pairing::{Pair, Pairing, Stamped};

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
    let tolerance = 21;
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
        let tolerance = period.max(40) / 2 + 1;
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
