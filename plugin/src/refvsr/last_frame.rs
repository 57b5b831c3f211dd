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
