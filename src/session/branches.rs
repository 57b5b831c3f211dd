//! RefVSR's two branches at an output, from what is remembered of the clip.

use super::{Session, clip::ClipFrame, forward::Forward, watched::Made};
use crate::{Result, net::registered::Enlarged};
use tch::Tensor;

impl Session {
    /// Output `n`, which is the next.
    pub(super) fn joined_output(&mut self, n: usize) -> Result<Tensor> {
        let run = self.outputs_of_a_run(n);
        let outputs = run.unwrap_or(self.clip.backward.len());
        let end = n + self.window_look_ahead() + outputs;
        self.find_motions(n, end)?;
        self.find_references(n, end)?;
        if let Some(outputs) = run {
            self.clip.backward = self.next_backward_run(n, outputs)?;
        }
        let made = self.made_of(n, self.forward_at(n)?)?;
        let again = |session: &Self| session.made_of(n, Forward::fresh(session.fresh_at(n)?));
        let (made, trial) = self.watched(n, made, again, Forward::into_state)?;
        self.leave(n, made.run)?;
        trial.into_iter().for_each(|trial| self.try_out(trial));
        Ok(made.picture)
    }

    /// Output `n` as a run of the forward branch makes it.
    fn made_of(&self, n: usize, forward: Forward) -> Result<Made<Forward>> {
        let backward = self.clip.backward.front();
        let backward = backward.ok_or_else(|| crate::Error::Broken("an empty run".into()))?;
        let ClipFrame { lr, reference, .. } = self.clip.frame(n);
        let joined = forward.joined()?;
        let Enlarged { picture, carried } =
            self.network
                .reconstruct(lr, reference, (backward, &joined), self.footage())?;
        Ok(Made {
            signs: self.signs(&picture, lr, &joined, backward)?,
            picture,
            run: forward.with(&carried)?,
        })
    }

    /// Passes output `n` by: the forward branch goes on, nothing else is computed.
    pub(super) fn joined_pass(&mut self, n: usize) -> Result<()> {
        self.find_motions(n, n + 1)?;
        if self.network.registered().is_none() {
            self.match_references(n)?;
        }
        let forward = self.forward_at(n)?;
        self.leave(n, forward)
    }

    fn leave(&mut self, n: usize, forward: Forward) -> Result<()> {
        self.find_pyramid(n)?;
        if let Some(followers) = self.clip.frame_mut(n).followers.take() {
            self.clip.followers = Some(followers);
        }
        self.keep(forward);
        self.clip.backward.pop_front();
        self.advance(n + 1);
        Ok(())
    }
}
