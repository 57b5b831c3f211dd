//! The plain form: one window in, one frame out, everything computed anew, as in the paper. The streaming
//! [`Session`](crate::Session) is made of the same steps and is tested against this.

use super::refill::{Refill, Schedule, neighbours};
use crate::{
    Error, Result,
    net::{
        branch::Branch,
        flow::{Pyramid, SpyNet},
        footage::Footage,
        found::Found,
        frame::Frame,
        network::Network,
        state::{Level2, State},
    },
};
use tch::Tensor;

/// How far the forward branch runs in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// One step at the centre frame, from what the previous window kept there. A first window (nothing kept) starts at frame 0. RefVSR-IR runs
    /// as in training.
    Streaming,
    /// From frame 0 to the centre in every window; what is kept is the state after frame 0.
    Training,
}

/// What the forward branch hands from one window to the next.
#[derive(Debug)]
pub struct Kept {
    state: State,
    /// The frame the state belongs to.
    lr: Tensor,
    /// The next window's key frames.
    schedule: Schedule,
}

impl Kept {
    /// The same values without their gradient history.
    pub fn detach(&self) -> Self {
        let level2 = self.state.level2.as_ref().map(|level2| Level2 {
            feature: level2.feature.detach(),
            confidence: level2.confidence.detach(),
        });
        let state = State {
            feature: self.state.feature.detach(),
            level2,
        };
        Self {
            state,
            lr: self.lr.shallow_clone(),
            schedule: self.schedule,
        }
    }
}

impl Network {
    /// The centre frame of a window at `scale` times its size, `[1, 3, s H, s W]` (not limited to \[0, 1\]), and what the next window's call
    /// needs. `window` has an odd number of frames; with `kept` none it is the first of a run.
    ///
    /// This is the plain form: everything is computed anew for every window, as in the paper.
    ///
    /// # Errors
    /// [`Error::Shape`] for a window of an even length or frames of sizes that [`pad`](Self::pad) would change.
    pub fn forward(
        &self,
        window: &[Frame<'_>],
        kept: Option<&Kept>,
        run: Run,
    ) -> Result<(Tensor, Kept)> {
        if window.len().is_multiple_of(2) {
            return Err(Error::shape(
                "window",
                format!("{} frames", window.len()),
                "an odd number",
            ));
        }
        self.forward_about(window, window.len() / 2, kept, run)
    }

    /// The same for the frame at any position of a window: one that is cut short at a clip's end has its centre elsewhere
    /// (see [`ModelConfig::repeats_clip_ends`]).
    ///
    /// # Errors
    /// [`Error::Shape`] for a window without that position, for RefVSR-IR one whose middle it is not, and for frames of sizes that [`pad`](Self::pad) would change.
    pub fn forward_about(
        &self,
        window: &[Frame<'_>],
        centre: usize,
        kept: Option<&Kept>,
        run: Run,
    ) -> Result<(Tensor, Kept)> {
        let (frames, m) = (window.len(), centre);
        if m >= frames || (self.refill().is_some() && frames != 2 * m + 1) {
            return Err(Error::shape(
                "window",
                format!("position {m} of {frames}"),
                "a position in the window; for RefVSR-IR its middle",
            ));
        }
        self.check(window)?;
        match self.refill() {
            None => self.window(window, m, kept, run),
            Some(refill) => self.window_with_refill(refill, window, m, kept),
        }
    }

    /// RefVSR.
    fn window(
        &self,
        window: &[Frame<'_>],
        centre: usize,
        kept: Option<&Kept>,
        run: Run,
    ) -> Result<(Tensor, Kept)> {
        let recurrence = self.config().recurrence;
        let (start, keep_at) = match (run, kept) {
            (Run::Training, _) => (0, 0),
            (Run::Streaming, None) => (0, centre),
            (Run::Streaming, Some(_)) => (centre, centre),
        };
        let pyramids = pyramids(window)?;
        let references = self.references(&window[start..])?;
        let motion = |from: usize, to: usize| self.motion(&pyramids[from], &pyramids[to]);

        // From the last frame of the window to the centre.
        let mut backward = None;
        for i in (centre..window.len()).rev() {
            let state = match backward {
                None => self.fresh_state(window[i].lr)?,
                Some(state) => State::warp(&state, &motion(i, i + 1)?, recurrence)?,
            };
            let inputs = [window[i].lr, &state.feature];
            let reference = &references[i - start];
            backward = Some(self.step(Branch::Backward, &inputs, &state, reference, FOOTAGE)?);
        }

        // From the first frame of a run, or from what was kept, to the centre.
        let mut forward = self.entering(window[start].lr, &pyramids[start], kept)?;
        let mut state_to_keep = None;
        for i in start..=centre {
            if i > start {
                forward = forward.warp_in_run(&motion(i, i - 1)?, None, recurrence)?;
            }
            let inputs = [window[i].lr, &forward.feature];
            forward = self.step(
                Branch::Forward,
                &inputs,
                &forward,
                &references[i - start],
                FOOTAGE,
            )?;
            if i == keep_at {
                state_to_keep = Some(forward.shallow_clone());
            }
        }

        let backward = backward.ok_or_else(out_of_order)?;
        let lr = window[centre].lr;
        let found = &references[centre - start];
        let out = self
            .reconstruct(lr, found, (&backward.joined(), &forward.joined()), FOOTAGE)?
            .picture;
        let kept = Kept {
            state: state_to_keep.unwrap_or(forward),
            lr: window[keep_at].lr.shallow_clone(),
            schedule: Schedule::default(),
        };
        Ok((out, kept))
    }

    /// RefVSR-IR: both branches run over the whole window, features are refilled at key frames, and the
    /// forward branch sees the backward one's features.
    fn window_with_refill(
        &self,
        refill: &Refill,
        window: &[Frame<'_>],
        centre: usize,
        kept: Option<&Kept>,
    ) -> Result<(Tensor, Kept)> {
        let (frames, recurrence) = (window.len(), self.config().recurrence);
        let schedule = kept.map_or_else(Schedule::default, |kept| kept.schedule);
        let refills = key_features(refill, window, schedule)?;
        let pyramids = pyramids(window)?;
        let references = self.references(window)?;
        let motion = |from: usize, to: usize| self.motion(&pyramids[from], &pyramids[to]);

        let mut backward: Vec<State> = vec![];
        for i in (0..frames).rev() {
            let state = match backward.last() {
                None => self.fresh_state(window[i].lr)?,
                Some(state) => state.warp(&motion(i, i + 1)?, recurrence)?,
            };
            let state = refill.fuse(Branch::Backward, state, refills[i].as_ref())?;
            let inputs = [window[i].lr, &state.feature];
            backward.push(self.step(Branch::Backward, &inputs, &state, &references[i], FOOTAGE)?);
        }
        backward.reverse();

        let stale = if centre > 0 {
            Some(motion(0, 1)?)
        } else {
            None
        };
        let mut forward = self.entering(window[0].lr, &pyramids[0], kept)?;
        let mut state_to_keep = None;
        for i in 0..=centre {
            if i > 0 {
                forward = forward.warp_in_run(&motion(i, i - 1)?, stale.as_ref(), recurrence)?;
            }
            let state = refill.fuse(Branch::Forward, forward, refills[i].as_ref())?;
            let inputs = [window[i].lr, &backward[i].feature, &state.feature];
            forward = self.step(Branch::Forward, &inputs, &state, &references[i], FOOTAGE)?;
            if i == 0 {
                state_to_keep = Some(forward.shallow_clone());
            }
        }

        let lr = window[centre].lr;
        let joined = (backward[centre].joined(), forward.joined());
        let out = self
            .reconstruct(lr, &references[centre], (&joined.0, &joined.1), FOOTAGE)?
            .picture;
        let kept = Kept {
            state: state_to_keep.unwrap_or(forward),
            lr: window[0].lr.shallow_clone(),
            schedule: schedule.next(frames),
        };
        Ok((out, kept))
    }

    fn references(&self, frames: &[Frame<'_>]) -> Result<Vec<Found>> {
        let reference = |f: &Frame<'_>| self.matched(f.lr, f.references, 1);
        frames.iter().map(reference).collect()
    }

    /// The forward branch where a window's run of it starts: fresh, or moved on from what was kept.
    fn entering(&self, lr: &Tensor, pyramid: &Pyramid, kept: Option<&Kept>) -> Result<State> {
        let Some(kept) = kept else {
            return self.fresh_state(lr);
        };
        let motion = self.motion(pyramid, &SpyNet::pyramid(&kept.lr)?)?;
        kept.state.warp(&motion, self.config().recurrence)
    }
}

/// Matching networks know no other.
const FOOTAGE: Footage = Footage::Clean;

fn pyramids(window: &[Frame<'_>]) -> Result<Vec<Pyramid>> {
    window.iter().map(|f| SpyNet::pyramid(f.lr)).collect()
}

/// The features of the window's key frames, none at the other positions.
fn key_features(
    refill: &Refill,
    window: &[Frame<'_>],
    schedule: Schedule,
) -> Result<Vec<Option<Tensor>>> {
    let levels = window.iter().map(|f| refill.edvr.levels(f.lr));
    let levels = levels.collect::<Result<Vec<_>>>()?;
    let mut features: Vec<Option<Tensor>> = window.iter().map(|_| None).collect();
    for position in schedule.positions(window.len()) {
        let frames = neighbours(position, window.len()).map(|i| &levels[i]);
        features[position] = Some(refill.edvr.forward(frames)?);
    }
    Ok(features)
}

fn out_of_order() -> Error {
    Error::Broken("a window without a frame at its centre".into())
}
