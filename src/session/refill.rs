//! RefVSR-IR's two branches: both run over the whole window, refilled at key frames, and the forward one
//! sees the backward one's features.

use super::{
    Session,
    clip::{self, ClipFrame, Window, found},
    watched::Made,
};
use crate::{
    Result,
    net::{
        branch::Branch,
        refvsr::refill::{Refill, Schedule, neighbours},
        state::{Joined, State},
    },
};
use tch::Tensor;

impl Session {
    /// Output `n` of a network with refill, which is the next; without its picture where it is not
    /// `wanted`.
    pub(super) fn refilled_output(&mut self, n: usize, wanted: bool) -> Result<Option<Tensor>> {
        let m = self.window_look_ahead();
        self.find_motions(n, n + m + 1)?;
        self.find_references(n, n + m + 1)?;
        let schedule = if self.is_first(n) {
            Schedule::default()
        } else {
            self.clip.schedule
        };
        self.clip.refills = self.refills(self.clip.window(n, m), schedule)?;
        let window = self.clip.window(n, m);
        let refill = *found(&self.network.refill())?;
        let (backward, features) = self.whole_backward_run(window, schedule, refill)?;
        let run = |session: &Self, fresh: bool| {
            let window = session.clip.window(n, m);
            let refill = *found(&session.network.refill())?;
            session.whole_forward_run(window, schedule, refill, &features, fresh)
        };
        let made = |session: &Self, fresh: bool| {
            let (forward, first) = run(session, fresh)?;
            let frame = session.clip.frame(n);
            let forward = forward.joined();
            let network = &session.network;
            let out = network.reconstruct(
                &frame.lr,
                &frame.reference,
                (&backward, &forward),
                session.footage(),
            )?;
            Ok::<_, crate::Error>(Made {
                signs: session.signs(&out.picture, &frame.lr, &forward, &backward)?,
                picture: out.picture,
                run: first,
            })
        };
        let fresh = self.is_first(n);
        let (out, first, trial) = if wanted {
            let usual = made(self, fresh)?;
            let again = |session: &Self| made(session, true);
            let (made, trial) = self.watched(n, usual, again, |first| first)?;
            (Some(made.picture), made.run, trial)
        } else {
            (None, run(self, fresh)?.1, None)
        };
        self.find_pyramid(n)?;
        self.clip.schedule = schedule.next(2 * m + 1);
        self.clip.forward = Some(first);
        trial.into_iter().for_each(|trial| self.try_out(trial));
        self.advance(n + 1);
        Ok(out)
    }

    /// The backward branch at the window's centre, and its level-1 features at the positions up to there.
    fn whole_backward_run(
        &self,
        window: Window<'_>,
        schedule: Schedule,
        refill: &Refill,
    ) -> Result<(Joined, Vec<Tensor>)> {
        let (m, end) = (window.centre(), window.frames());
        let mut state = self.network.fresh_state(&window.frame(m).lr)?;
        let mut centre = None;
        let mut features = vec![];
        for i in (0..end).rev() {
            if i + 1 < end {
                state = state.warp(window.to_next(i)?, self.recurrence())?;
            }
            let ClipFrame { lr, reference, .. } = window.frame(i);
            let key = self.key_features(window, schedule, i);
            state = refill.fuse(Branch::Backward, state, key)?;
            let inputs = [lr, &state.feature];
            state =
                self.network
                    .step(Branch::Backward, &inputs, &state, reference, self.footage())?;
            if i == m {
                centre = Some(state.joined());
            }
            if i <= m {
                features.push(state.feature.shallow_clone());
            }
        }
        features.reverse();
        Ok((centre.unwrap_or_else(|| state.joined()), features))
    }

    /// The forward branch at the window's centre, and at its first frame, which the next window goes on
    /// from. A `fresh` run knows nothing of the frames before the window.
    fn whole_forward_run(
        &self,
        window: Window<'_>,
        schedule: Schedule,
        refill: &Refill,
        backward: &[Tensor],
        fresh: bool,
    ) -> Result<(State, State)> {
        let m = window.centre();
        let mut state = if fresh {
            self.network.fresh_state(&window.frame(m).lr)?
        } else {
            found(&self.clip.forward)?.warp(window.to_former(0)?, self.recurrence())?
        };
        let stale = if m > 0 {
            Some(window.to_next(0)?)
        } else {
            None
        };
        let mut first = None;
        for (i, seen) in backward.iter().enumerate() {
            if i > 0 {
                state = state.warp_in_run(window.to_previous(i)?, stale, self.recurrence())?;
            }
            let ClipFrame { lr, reference, .. } = window.frame(i);
            let key = self.key_features(window, schedule, i);
            state = refill.fuse(Branch::Forward, state, key)?;
            let inputs = [lr, seen, &state.feature];
            state =
                self.network
                    .step(Branch::Forward, &inputs, &state, reference, self.footage())?;
            if i == 0 {
                first = Some(state.shallow_clone());
            }
        }
        let first = first.unwrap_or_else(|| state.shallow_clone());
        Ok((state, first))
    }

    /// The features of a window's key frames, by the five frames they are made of. Most are those of the
    /// window before.
    fn refills(&self, window: Window<'_>, schedule: Schedule) -> Result<Vec<clip::Refill>> {
        let edvr = &found(&self.network.refill())?.edvr;
        let mut refills = vec![];
        for position in schedule.positions(window.frames()) {
            let frames = neighbours(position, window.frames()).map(|i| window.number(i));
            let features = match self.clip.refill(frames) {
                Some(features) => features.shallow_clone(),
                None => {
                    let levels = frames.map(|number| found(&self.clip.frame(number).levels));
                    let [a, b, c, d, e] = levels;
                    edvr.forward([a?, b?, c?, d?, e?])?
                }
            };
            refills.push((frames, features));
        }
        Ok(refills)
    }

    /// The features to refill from at a position, where it is a key frame's.
    fn key_features(
        &self,
        window: Window<'_>,
        schedule: Schedule,
        position: usize,
    ) -> Option<&Tensor> {
        if !schedule.positions(window.frames()).any(|p| p == position) {
            return None;
        }
        let frames = neighbours(position, window.frames()).map(|i| window.number(i));
        self.clip.refill(frames)
    }
}
