//! Whether the frames of a recording follow one another without a hole.

use gst::ClockTime;

/// The times of the frames that came out of a decoder, in their order.
#[derive(Debug, Clone, Default)]
pub struct Continuity {
    times: Vec<ClockTime>,
    /// Places in `times` before which the decoder left something out.
    broken: Vec<usize>,
}

/// Frames that are missing one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hole {
    at: ClockTime,
    frames: u64,
}

/// How frames follow one another.
#[derive(Debug)]
struct Rate {
    /// The usual time between two frames: the median.
    step: ClockTime,
    /// All intervals, in steps.
    lengths: Vec<f64>,
    /// Hardly any interval is another one.
    steady: bool,
}

/// How many of its intervals have to be equal for a frame rate to be steady. A rate that varies has no holes that could be told
/// from it.
const STEADY: f64 = 0.8;
/// How far an interval may be from a whole number of frames.
const JITTER: f64 = 0.25;
/// Places that a message names.
const NAMED: usize = 5;

impl Continuity {
    /// Notes a frame; `discont` where the decoder says that it does not follow the one before it.
    pub fn add(&mut self, time: ClockTime, discont: bool) {
        if discont && !self.times.is_empty() {
            self.broken.push(self.times.len());
        }
        self.times.push(time);
    }

    /// The time of the first frame.
    pub fn first(&self) -> Option<ClockTime> {
        self.times.first().copied()
    }

    /// The time of the last one.
    pub fn last(&self) -> Option<ClockTime> {
        self.times.last().copied()
    }

    /// The frame rate; none of fewer than two frames.
    fn rate(&self) -> Option<Rate> {
        let intervals: Vec<_> = self
            .times
            .windows(2)
            .map(|pair| pair[1].saturating_sub(pair[0]))
            .collect();
        let mut sorted = intervals.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied();
        let step = median.filter(|step| !step.is_zero())?;
        let lengths: Vec<_> = intervals
            .iter()
            .map(|interval| interval.nseconds() as f64 / step.nseconds() as f64)
            .collect();
        let single = |length: &&f64| (**length - 1.0).abs() <= JITTER;
        let steady = lengths.iter().filter(single).count() as f64 >= STEADY * lengths.len() as f64;
        Some(Rate {
            step,
            lengths,
            steady,
        })
    }

    /// What is missing between the frames: what the decoder left out, and where the frame rate is steady what was never written.
    fn holes(&self, rate: &Rate) -> Vec<Hole> {
        let whole = |length: f64| (length - length.round()).abs() <= JITTER;
        let missing = |place: usize, length: f64| -> u64 {
            if rate.steady && whole(length) && length >= 1.5 {
                length.round() as u64 - 1
            } else {
                u64::from(self.broken.binary_search(&(place + 1)).is_ok())
            }
        };
        rate.lengths
            .iter()
            .enumerate()
            .map(|(place, length)| Hole {
                at: self.times[place].saturating_add(rate.step),
                frames: missing(place, *length),
            })
            .filter(|hole| hole.frames > 0)
            .collect()
    }

    /// What is wrong with the recording, in words. `encoded` is the time of the last frame that went into the decoder, `end` where
    /// the picture should end, and `cut` that the file ends before what it holds.
    pub fn complaint(
        &self,
        encoded: Option<ClockTime>,
        end: Option<ClockTime>,
        cut: bool,
    ) -> Option<String> {
        // One frame alone does not say how long it lasts.
        let rate = self.rate()?;
        let (step, last) = (rate.step, self.last()?);
        let holes = self.holes(&rate);
        let mut parts = Vec::new();
        if !holes.is_empty() {
            let places: Vec<_> = holes
                .iter()
                .take(NAMED)
                .map(|hole| format!("{:.3} s", seconds(hole.at)))
                .collect();
            let more = if holes.len() > NAMED { ", ..." } else { "" };
            let frames = holes.iter().map(|hole| hole.frames).sum::<u64>();
            let (s, are) = if frames == 1 {
                ("", "is")
            } else {
                ("s", "are")
            };
            parts.push(format!(
                "{frames} frame{s} {are} missing or damaged, at {}{more}",
                places.join(", ")
            ));
        }
        // Where the rate varies the last frame may last for any time.
        let end = end.filter(|_| rate.steady);
        let end = end.max(encoded.map(|time| time.saturating_add(step)));
        let ends = last.saturating_add(step);
        let allowed = ClockTime::from_nseconds(step.nseconds() / 2);
        if let Some(end) = end.filter(|end| ends.saturating_add(allowed) < *end) {
            parts.push(format!(
                "its picture ends at {:.3} s of {:.3} s",
                seconds(ends),
                seconds(end)
            ));
        } else if cut {
            parts.push(format!(
                "its file was cut off, and its picture ends at {:.3} s",
                seconds(ends)
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// Seconds, for messages.
pub fn seconds(time: ClockTime) -> f64 {
    time.nseconds() as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(times: &[u64], broken: &[u64]) -> Continuity {
        let mut all = Continuity::default();
        for time in times {
            all.add(ClockTime::from_mseconds(*time), broken.contains(time));
        }
        all
    }

    fn complaint(times: &[u64], broken: &[u64], end: u64) -> Option<String> {
        recording(times, broken).complaint(None, Some(ClockTime::from_mseconds(end)), false)
    }

    #[test]
    fn a_steady_recording_has_no_holes_and_neither_has_one_of_a_varying_rate() {
        // 30 frames a second in a file that counts milliseconds.
        let steady: Vec<u64> = (0..40).map(|n| (n * 1000 + 15) / 30).collect();
        assert_eq!(complaint(&steady, &[0], 1333), None);
        let varying = [0, 33, 67, 180, 213, 400, 405, 911, 944, 978];
        assert_eq!(complaint(&varying, &[0], 1000), None);
        for few in [&[][..], &[0], &[0, 40]] {
            assert_eq!(complaint(few, &[], 80), None);
        }
    }

    #[test]
    fn what_is_missing_is_counted_and_placed() {
        let times: Vec<u64> = (0..40)
            .filter(|n| ![9, 20, 21].contains(n))
            .map(|n| n * 100)
            .collect();
        let text = complaint(&times, &[1000], 4000).unwrap();
        assert_eq!(text, "3 frames are missing or damaged, at 0.900 s, 2.000 s");
        // The decoder's word counts where the rate tells nothing.
        let varying = [0, 33, 67, 180, 213, 400, 405, 911, 944, 978];
        let text = complaint(&varying, &[400], 1000).unwrap();
        assert!(text.starts_with("1 frame is missing or damaged"), "{text}");
    }

    #[test]
    fn a_picture_that_ends_early_is_told() {
        let times: Vec<u64> = (0..7).map(|n| n * 100).collect();
        assert_eq!(complaint(&times, &[], 740), None);
        let text = complaint(&times, &[], 2000).unwrap();
        assert_eq!(text, "its picture ends at 0.700 s of 2.000 s");
        let varying = [0, 33, 67, 180, 213, 400, 405, 911, 944, 978];
        assert_eq!(complaint(&varying, &[0], 1900), None);
        // Frames that the decoder was given and did not give back.
        let given = |time| {
            recording(&times, &[]).complaint(Some(ClockTime::from_mseconds(time)), None, false)
        };
        let cut = recording(&times, &[]).complaint(None, None, true).unwrap();
        assert_eq!(cut, "its file was cut off, and its picture ends at 0.700 s");
        assert_eq!(given(600), None);
        assert_eq!(
            given(900).unwrap(),
            "its picture ends at 0.700 s of 1.000 s"
        );
    }
}
