//! RefVSR's two branches, from what is remembered of the clip.

use super::{
    Session,
    clip::{ClipFrame, Window, found},
};
use crate::{
    Result,
    net::{
        network::Branch,
        propagation::{Joined, State},
        registered::Enlarged,
    },
};
use std::collections::VecDeque;
use tch::Tensor;

impl Session {
    /// Output `n`, which is the next.
    pub(super) fn output(&mut self, n: usize) -> Result<Tensor> {
        self.clip.shown = None;
        let outputs = match self.clip.backward.len() {
            0 => self.outputs_of_a_run(n),
            known => known,
        };
        self.find_motions(n, n + self.window_look_ahead() + outputs)?;
        self.register(n)?;
        if self.clip.backward.is_empty() {
            self.clip.backward = self.backward_run(n, outputs)?;
        }
        let forward = self.forward_run(n)?;
        let backward = self.clip.backward.front();
        let backward = backward.ok_or_else(|| crate::Error::Broken("an empty run".into()))?;
        let ClipFrame { lr, reference, .. } = self.clip.frame(n);
        let Enlarged { picture, carried } =
            self.network
                .reconstruct(lr, reference, backward, &forward.joined())?;
        let feature = carried.onto(&forward.feature)?;
        self.leave(n, forward.with_feature(feature))?;
        Ok(picture)
    }

    /// Passes output `n` by: the forward branch goes on, nothing else is computed.
    pub(super) fn pass(&mut self, n: usize) -> Result<()> {
        self.clip.shown = None;
        self.find_motions(n, n + 1)?;
        let forward = self.forward_run(n)?;
        self.leave(n, forward)
    }

    fn leave(&mut self, n: usize, forward: State) -> Result<()> {
        self.find_pyramid(n)?;
        self.clip.forward = Some(forward);
        self.clip.backward.pop_front();
        self.advance(n + 1);
        Ok(())
    }

    /// How many outputs, from `n` on, the next backward run serves.
    fn outputs_of_a_run(&self, n: usize) -> usize {
        let (m, group, left) = (self.window_look_ahead(), self.group(), self.clip.sent - n);
        let cut = !self.network.config().repeats_clip_ends();
        if self.clip.drained && cut && n + group + m > self.clip.sent {
            // All windows from here on end with the clip: one run is exact for them all.
            left
        } else {
            group.min(left)
        }
    }

    /// The backward branch at `outputs` frames from `n` on, from one run that starts `m` frames behind the
    /// last of them, or at the clip's end.
    fn backward_run(&self, n: usize, outputs: usize) -> Result<VecDeque<Joined>> {
        let m = self.window_look_ahead();
        let window = self.clip.window(n, m);
        let mut end = 2 * m + outputs;
        if !self.network.config().repeats_clip_ends() {
            end = end.min(window.end_within());
        }
        let mut joined = VecDeque::new();
        let mut state: Option<State> = None;
        for i in (m..end).rev() {
            let ClipFrame { lr, reference, .. } = window.frame(i);
            let before = match state {
                None => self.network.fresh_state(lr)?,
                Some(state) => state.warp(window.to_next(i)?, self.recurrence())?,
            };
            let inputs = [lr, &before.feature];
            let after = self
                .network
                .step(Branch::Backward, &inputs, &before, reference)?;
            if i < m + outputs {
                joined.push_front(after.joined());
            }
            state = Some(after);
        }
        Ok(joined)
    }

    /// The forward branch at output `n`: one step on from the last output, or all the way from the
    /// window's first frame where a run starts.
    fn forward_run(&self, n: usize) -> Result<State> {
        let m = self.window_look_ahead();
        let window = self.clip.window(n, m);
        let (start, mut state) = if self.is_first(n) {
            let start = self.first_position(window);
            (start, self.network.fresh_state(&window.frame(m).lr)?)
        } else {
            let motion = window.to_former(m)?;
            (
                m,
                found(&self.clip.forward)?.warp(motion, self.recurrence())?,
            )
        };
        for i in start..=m {
            if i > start {
                state = state.warp_in_run(window.to_previous(i)?, None, self.recurrence())?;
            }
            let ClipFrame { lr, reference, .. } = window.frame(i);
            let inputs = [lr, &state.feature];
            state = self
                .network
                .step(Branch::Forward, &inputs, &state, reference)?;
        }
        Ok(state)
    }

    /// The first position of a window that is looked at: windows repeat the clip's first frame, or start
    /// with it.
    fn first_position(&self, window: Window<'_>) -> usize {
        if self.network.config().repeats_clip_ends() {
            0
        } else {
            window.first_within()
        }
    }
}
