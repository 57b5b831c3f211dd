//! The times of frames that have none of their own, or one that is not after the frame's before.

/// Keeps frames in order. Times are running times in nanoseconds.
#[derive(Debug)]
pub struct Times {
    framerate: gst::Fraction,
    /// A frame with a time, and how many came after it.
    anchor: Option<(i64, u64)>,
    last: Option<i64>,
    /// How many frames were given a time.
    given: u64,
}

impl Times {
    /// For frames of this rate, where they do not say when they are.
    pub fn new(framerate: gst::Fraction) -> Self {
        Self {
            framerate,
            anchor: None,
            last: None,
            given: 0,
        }
    }

    /// When a frame is shown that says `own` of itself.
    pub fn place(&mut self, own: Option<i64>) -> i64 {
        let in_order = own.filter(|own| self.last.is_none_or(|last| *own > last));
        let time = match (in_order, self.anchor) {
            (Some(own), _) => {
                self.anchor = Some((own, 0));
                own
            }
            (None, anchor) => {
                self.given += 1;
                let (start, frames) = anchor.map_or((0, 0), |(start, n)| (start, n + 1));
                self.anchor = Some((start, frames));
                start + self.lasting(frames)
            }
        };
        self.last = Some(time);
        time
    }

    /// How long so many frames last.
    fn lasting(&self, frames: u64) -> i64 {
        let (rate, seconds) = (self.framerate.numer() as u128, self.framerate.denom());
        let time = u128::from(frames) * 1_000_000_000 * seconds as u128 / rate.max(1);
        i64::try_from(time).unwrap_or(i64::MAX)
    }

    /// How many frames were given a time, in words.
    pub fn complaint(&self) -> Option<String> {
        let (frames, rate) = (self.given, f64::from(self.framerate.numer()));
        let rate = rate / f64::from(self.framerate.denom());
        (frames > 0).then(|| {
            let (s, have) = if frames == 1 {
                ("", "has")
            } else {
                ("s", "have")
            };
            format!(
                "{frames} frame{s} {have} no time of their own and follow at {rate:.5} a second"
            )
            .replace(".00000", "")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_without_a_time_follow_at_the_frame_rate_and_do_not_drift() {
        let mut times = Times::new(gst::Fraction::new(30_000, 1001));
        assert_eq!(times.complaint(), None);
        for frame in 0..30_000 {
            assert_eq!(times.place(None), frame * 1_001_000_000 / 30, "{frame}");
        }
        let mut times = Times::new(gst::Fraction::new(10, 1));
        let own = [Some(5), None, Some(5), Some(250_000_000), Some(20), None];
        let placed = own.map(|own| times.place(own));
        let steps = [
            5,
            100_000_005,
            200_000_005,
            250_000_000,
            350_000_000,
            450_000_000,
        ];
        assert_eq!(placed, steps);
        let text = times.complaint().unwrap();
        assert_eq!(
            text,
            "4 frames have no time of their own and follow at 10 a second"
        );
    }
}
