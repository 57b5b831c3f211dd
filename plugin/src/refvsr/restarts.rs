//! Where a clip ends although its stream goes on: timestamps jump, or the scene changes. What the
//! recurrence remembers is of no use then.

use super::{
    camera::{Camera, PerCamera},
    element::RefVsr,
    enums::SceneCut,
    log::CAT,
    work::{Turn, Work},
};
use ::refvsr::{ModelConfig, config::Recurrence, image::scene::Thumbnail};
use gst::{ClockTime, subclass::prelude::*};
use tch::Tensor;

/// The ultra-wide frame that came last in a clip.
#[derive(Debug)]
pub struct LastFrame {
    start: ClockTime,
    end: ClockTime,
    /// Where scene cuts are looked for.
    scene: Option<Thumbnail>,
}

impl LastFrame {
    /// In running time.
    pub fn new(start: ClockTime, duration: Option<ClockTime>, scene: Option<Thumbnail>) -> Self {
        let end = start.saturating_add(duration.unwrap_or_default());
        Self { start, end, scene }
    }

    /// Whether a frame at this running time goes on from it: it starts within a second of its end, or
    /// within twice its duration where that is longer, and no more than a second before its start.
    fn leads_to(&self, time: ClockTime) -> bool {
        let duration = self.end.saturating_sub(self.start);
        let margin = ClockTime::SECOND.max(duration.saturating_add(duration));
        let latest = self.end.saturating_add(margin);
        (self.start.saturating_sub(ClockTime::SECOND)..=latest).contains(&time)
    }
}

impl SceneCut {
    /// Whether cuts are looked for: unasked only where the model was trained for clips that end.
    fn applies(self, model: &ModelConfig) -> bool {
        match self {
            Self::Auto => model.recurrence == Recurrence::Clean,
            Self::On => true,
            Self::Off => false,
        }
    }
}

impl RefVsr {
    /// Puts out the frames held and starts a new clip where the frame at this running time does not go
    /// on from the last one.
    pub fn restart_at_jump(
        &self,
        work: &mut Work,
        time: ClockTime,
        turn: &Turn,
    ) -> Result<(), gst::FlowError> {
        match &work.last {
            Some(last) if !last.leads_to(time) => {
                self.restart(work, "timestamps", time, turn)?;
                // What has been taken of the references is of the old clip.
                work.references = PerCamera::default();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The same where the frame's picture, `[1, 3, H, W]`, shows another scene. Gives its thumbnail, if
    /// cuts are looked for.
    pub fn restart_at_cut(
        &self,
        work: &mut Work,
        picture: &Tensor,
        time: ClockTime,
        turn: &Turn,
    ) -> Result<Option<Thumbnail>, gst::FlowError> {
        let model = work.session.network().config();
        if !turn.settings.scene_cut.applies(model) {
            return Ok(None);
        }
        let scene = Thumbnail::new(picture).map_err(|e| self.failed(&e))?;
        let before = work.last.as_ref().and_then(|last| last.scene.as_ref());
        if before.is_some_and(|before| !scene.shows_scene_of(before)) {
            self.restart(work, "scene-cut", time, turn)?;
        }
        Ok(Some(scene))
    }

    fn restart(
        &self,
        work: &mut Work,
        reason: &str,
        time: ClockTime,
        turn: &Turn,
    ) -> Result<(), gst::FlowError> {
        gst::info!(CAT, imp = self, "A new clip starts at {time}: {reason}");
        self.drain(work, turn)?;
        self.state().stats.clips_restarted += 1;
        let told = gst::Structure::builder("refvsr-clip-restarts")
            .field("pad", Camera::UltraWide.name())
            .field("reason", reason)
            .field("running-time", time)
            .build();
        self.tell(told);
        Ok(())
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
