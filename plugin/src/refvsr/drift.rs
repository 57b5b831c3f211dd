//! How a camera's clock drifts from another: free-running cameras are seconds apart after some minutes.
//!
//! Pure logic. It is told how much later the other clock is at each frame. Of the frames of some seconds the one with
//! the least delay says most, since waiting only adds to it; the median of the slopes between these is the drift.
//! Only those near one another are compared, so that a delay that changes once is no drift.

use gst::ClockTime;

/// A frame's time by the camera, and by how much later the other clock was, in nanoseconds.
type Point = (i64, i64);

/// So long lie points apart at first, in nanoseconds.
const SPACING: i64 = 1_000_000_000;
/// Of so many points every second one is kept, with twice the spacing from then on.
const POINTS: usize = 32;
/// So many points say how clocks drift.
const ENOUGH: usize = 6;

#[derive(Debug, Default, Clone)]
pub struct Drift {
    points: Vec<Point>,
    /// The best one since the last of them, and where the first one was.
    best: Option<(Point, i64)>,
    /// How often the spacing was doubled.
    doubled: u32,
    start: i64,
    /// By how much the delay grows, of the time.
    slope: f64,
}

impl Drift {
    /// At a frame of this time the other clock was so much later.
    pub fn note(&mut self, time: ClockTime, later: i64) {
        let time = i64::try_from(time.nseconds()).unwrap_or(i64::MAX);
        let last = self.points.last().map_or(time, |point| point.0);
        if time < last {
            *self = Self::default(); // it begins anew
        }
        let Some((best, first)) = &mut self.best else {
            if self.points.is_empty() {
                self.start = time;
            }
            self.best = Some(((time, later), time));
            return;
        };
        let beyond = |(time, later): Point| later as f64 - self.slope * (time - *first) as f64;
        if beyond((time, later)) < beyond(*best) {
            *best = (time, later);
        }
        if time - *first >= SPACING << self.doubled {
            let best = *best;
            self.best = None;
            self.points.push(best);
            self.settle();
        }
    }

    /// By how much later the other clock is at this time than it was at the start, in nanoseconds.
    pub fn grown(&self, time: ClockTime) -> i64 {
        let time = i64::try_from(time.nseconds()).unwrap_or(i64::MAX);
        (self.slope * time.saturating_sub(self.start) as f64) as i64
    }

    /// By how many millionths this clock runs fast.
    pub fn millionths(&self) -> f64 {
        -self.slope * 1e6
    }

    fn settle(&mut self) {
        let points = &self.points;
        if points.len() >= ENOUGH {
            let near = (points.len() / 4).max(2);
            let slope = |(a, b): (Point, Point)| (b.1 - a.1) as f64 / ((b.0 - a.0).max(1)) as f64;
            let mut slopes: Vec<f64> = (1..=near)
                .flat_map(|n| points.iter().copied().zip(points.iter().skip(n).copied()))
                .map(slope)
                .collect();
            slopes.sort_unstable_by(f64::total_cmp);
            self.slope = slopes[slopes.len() / 2];
        }
        if self.points.len() == POINTS {
            let slope = self.slope;
            let beyond = |p: &Point| p.1 as f64 - slope * p.0 as f64;
            let better = |pair: &[Point]| {
                pair.iter()
                    .copied()
                    .min_by(|a, b| beyond(a).total_cmp(&beyond(b)))
            };
            self.points = self.points.chunks(2).filter_map(better).collect();
            self.doubled += 1;
        }
    }
}
