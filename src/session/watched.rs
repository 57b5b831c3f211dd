//! A session's outputs, followed by its safety net.

use super::{
    Session,
    signs::{Signs, plain_residual},
    watch::{Comparison, Verdict},
};
use crate::{
    Precision, Result,
    net::state::{Joined, State},
};
use tch::{Device, Tensor};

/// An output, the run of the forward branch that made it, and what it shows of that.
pub struct Made<Run> {
    pub picture: Tensor,
    pub run: Run,
    /// See [`Signs::measure`]. `None` where nobody watches.
    pub signs: Option<Tensor>,
}

/// A run that began at an output beside the one that goes on, and what was found of it. On a GPU that is not
/// known until the next output, for nothing waits.
pub struct Trial {
    state: State,
    verdict: Option<Verdict>,
}

impl Session {
    /// How often this session began its recurrence anew because outputs showed that it ran away. Not counted
    /// are resets, new clips, and what [`reset_interval`](super::SessionOptions::reset_interval) asks for.
    pub fn restarts(&self) -> usize {
        self.restarts
    }

    /// What an output shows, where somebody watches.
    pub(super) fn signs(
        &self,
        picture: &Tensor,
        lr: &Tensor,
        forward: &Joined,
        backward: &Joined,
    ) -> Result<Option<Tensor>> {
        let watches = self.options.safety_net && self.options.precision != Precision::Fp32;
        watches
            .then(|| Signs::measure(picture, lr, forward, backward))
            .transpose()
    }

    /// Output `n`: as it was `made`, or, where that shows recurrence that ran away, as a fresh run makes it
    /// `again`.
    pub(super) fn watched<Run>(
        &mut self,
        n: usize,
        made: Made<Run>,
        again: impl FnOnce(&Self) -> Result<Made<Run>>,
        into_state: impl FnOnce(Run) -> State,
    ) -> Result<(Made<Run>, Option<Trial>)> {
        let Some(signs) = &made.signs else {
            return Ok((made, None));
        };
        if self.is_first(n) {
            self.clip.watch.begin();
        }
        self.clip.watch.saw(signs.shallow_clone(), None);
        let at_once = self.network.device() == Device::Cpu;
        if at_once {
            self.clip.watch.read()?;
        }
        if !self.clip.watch.is_suspicious() || self.clip.coming.is_some() {
            return Ok((made, None));
        }
        let fresh = again(self)?;
        let scale = self.network.config().scale;
        let plain = plain_residual(&self.clip.frame(n).lr, scale)?;
        let comparison = fresh.signs.as_ref().map(|signs| Comparison {
            fresh: signs.shallow_clone(),
            plain,
        });
        self.clip.watch.saw(signs.shallow_clone(), comparison);
        let verdict = match at_once {
            true => self.clip.watch.read()?,
            false => None,
        };
        let picture = match verdict {
            Some(Verdict::TakesOver) => fresh.picture,
            _ => made.picture,
        };
        let trial = Trial {
            state: into_state(fresh.run),
            verdict,
        };
        Ok((Made { picture, ..made }, Some(trial)))
    }

    /// Follows what is known of a trial, once the run that goes on has been kept.
    pub(super) fn try_out(&mut self, trial: Trial) {
        match trial.verdict {
            None => self.clip.trial = Some(trial.state),
            Some(verdict) => self.follow(verdict, trial.state),
        }
    }

    /// Brings from the device what the last output showed, and follows it.
    pub(super) fn read_watch(&mut self) -> Result<()> {
        let verdict = self.clip.watch.read()?;
        if let Some((verdict, state)) = verdict.zip(self.clip.trial.take()) {
            self.follow(verdict, state);
        }
        Ok(())
    }

    fn follow(&mut self, verdict: Verdict, state: State) {
        if verdict == Verdict::TakesOver {
            self.clip.forward = Some(state);
            self.restarts += 1;
        }
    }
}
