//! The frame that came last in a clip, and whether another one goes on from it.

use ::refvsr::image::scene::Thumbnail;
use gst::ClockTime;

/// The ultra-wide frame that came last in a clip.
#[derive(Debug)]
pub struct LastFrame {
    start: ClockTime,
    end: ClockTime,
    /// Where scene cuts are looked for.
    pub scene: Option<Thumbnail>,
}

impl LastFrame {
    /// In running time.
    pub fn new(start: ClockTime, duration: Option<ClockTime>, scene: Option<Thumbnail>) -> Self {
        let end = start.saturating_add(duration.unwrap_or_default());
        Self { start, end, scene }
    }

    /// Whether a frame at this running time goes on from it: it starts within a second of its end, or
    /// within twice its duration where that is longer, and no more than a second before its start.
    pub fn leads_to(&self, time: ClockTime) -> bool {
        let duration = self.end.saturating_sub(self.start);
        let margin = ClockTime::SECOND.max(duration.saturating_add(duration));
        let latest = self.end.saturating_add(margin);
        (self.start.saturating_sub(ClockTime::SECOND)..=latest).contains(&time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_within_a_second_go_on_from_the_last() {
        let ms = ClockTime::from_mseconds;
        let last = LastFrame::new(ms(5000), Some(ms(40)), None);
        let goes_on = [3999, 4000, 5000, 5040, 6040, 6041].map(|time| last.leads_to(ms(time)));
        assert_eq!(goes_on, [false, true, true, true, true, false]);
    }

    #[test]
    fn slow_streams_have_longer() {
        let seconds = ClockTime::from_seconds;
        let last = LastFrame::new(seconds(10), Some(seconds(4)), None);
        assert!(last.leads_to(seconds(22)));
        assert!(!last.leads_to(seconds(23)));
    }
}
