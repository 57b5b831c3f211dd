//! Where a clip ends although its stream goes on: timestamps jump, or the scene changes. What the
//! recurrence remembers is of no use then. And where it was of harm: the session's safety net.

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

/// Whether something is to be told that happens at this running time: once a second at the most.
fn is_news(told: &mut Option<ClockTime>, time: Option<ClockTime>) -> bool {
    let recent =
        |last: ClockTime| time.is_none_or(|time| (last..last + ClockTime::SECOND).contains(&time));
    let news = !told.is_some_and(recent);
    if news {
        *told = time;
    }
    news
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
        if work.last.as_ref().is_some_and(|last| !last.leads_to(time)) {
            self.restart(work, "timestamps", time, turn)?;
            // What has been taken of the references is of the old clip.
            work.references = PerCamera::default();
        }
        Ok(())
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
        if !is_news(&mut work.told_restart, Some(time)) {
            return Ok(());
        }
        let told = gst::Structure::builder("refvsr-clip-restarts")
            .field("pad", Camera::UltraWide.name())
            .field("reason", reason)
            .field("running-time", time)
            .build();
        self.tell(told);
        Ok(())
    }

    /// Says, once a second at the most, that the recurrence ran away and was begun anew, at the frame of this
    /// running time or the one before it.
    pub fn tell_recurrence_restarted(
        &self,
        work: &mut Work,
        times: usize,
        time: Option<ClockTime>,
    ) {
        let count = {
            let stats = &mut self.state().stats;
            stats.recurrence_restarted += times as u64;
            stats.recurrence_restarted
        };
        if !is_news(&mut work.told_runaway, time) {
            return;
        }
        let told = gst::Structure::builder("refvsr-recurrence-restarted")
            .field("running-time", time)
            .field("count", count)
            .build();
        self.tell(told);
    }
}
