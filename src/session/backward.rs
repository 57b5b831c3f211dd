//! Runs of the backward branch, which outputs share.

use super::{Session, clip::ClipFrame};
use crate::{
    Result,
    net::{
        branch::Branch,
        state::{Joined, State},
    },
};
use std::collections::VecDeque;

/// Outputs in which a run fades into the next one. Without them the last output of a run, which sees few
/// frames ahead, and the first of the next, which sees many, differ by a step that is seen in still shots.
const OVERLAP: usize = 2;

impl Session {
    /// Outputs at the end of a run that the next one serves too.
    pub(super) fn overlap(&self) -> usize {
        let shared = self.group() - 1;
        if self.fades() { OVERLAP.min(shared) } else { 0 }
    }

    /// How many outputs, from `n` on, the next backward run serves, if one is due there.
    pub(super) fn outputs_of_a_run(&self, n: usize) -> Option<usize> {
        let (known, left) = (self.clip.backward.len(), self.clip.sent - n);
        if known > self.overlap() || known == left {
            return None;
        }
        let (m, group) = (self.window_look_ahead(), self.group() + self.overlap());
        let cut = !self.network.config().repeats_clip_ends();
        let outputs = if self.clip.drained && cut && n + group + m > self.clip.sent {
            // All windows from here on end with the clip: one run is exact for them all.
            left
        } else {
            group.min(left)
        };
        Some(outputs)
    }

    /// The backward branch at `outputs` frames from `n` on. Where an earlier run serves the first of them
    /// too, it fades into the new one.
    pub(super) fn next_backward_run(&self, n: usize, outputs: usize) -> Result<VecDeque<Joined>> {
        let mut run = self.backward_run(n, outputs)?;
        let shares = self.clip.backward.len() + 1;
        for (i, (former, next)) in self.clip.backward.iter().zip(&mut run).enumerate() {
            *next = former.faded(next, (i + 1) as f64 / shares as f64)?;
        }
        Ok(run)
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
            let after = self.network.step(
                Branch::Backward,
                &inputs,
                &before,
                reference,
                self.footage(),
            )?;
            if i < m + outputs {
                joined.push_front(after.joined());
            }
            state = Some(after);
        }
        Ok(joined)
    }
}
