//! The forward branch, and how one of its runs takes over from another.

use super::{
    Session,
    clip::{ClipFrame, Window, found},
    handover::{Coming, Handover},
};
use crate::{
    Result,
    net::{
        branch::Branch,
        registered::{carried::Carried, unless_outgrown},
        state::{Joined, State},
    },
};

/// The forward branch at an output.
pub struct Forward {
    state: State,
    coming: Option<Coming>,
}

impl Forward {
    /// A run that has just begun.
    pub fn fresh(state: State) -> Self {
        Self {
            state,
            coming: None,
        }
    }

    /// The run's state, without one that takes over.
    pub fn into_state(self) -> State {
        self.state
    }

    /// What it gives to the output: its feature, or that of both runs while one takes over.
    pub fn joined(&self) -> Result<Joined> {
        let old = self.state.joined();
        match &self.coming {
            Some(Coming {
                state,
                outputs,
                handover,
            }) if *outputs > handover.warm => {
                let share = (outputs - handover.warm) as f64 / (handover.fade + 1) as f64;
                old.faded(&state.joined(), share)
            }
            _ => Ok(old),
        }
    }

    /// With what the wide camera's detail adds for the next output.
    pub fn with(self, carried: &Carried) -> Result<Self> {
        let onto = |state: State| {
            let feature = carried.onto(&state.feature)?;
            Ok::<_, crate::Error>(state.with_feature(feature))
        };
        let coming = match self.coming {
            Some(coming) => Some(Coming {
                state: onto(coming.state)?,
                ..coming
            }),
            None => None,
        };
        Ok(Self {
            state: onto(self.state)?,
            coming,
        })
    }
}

impl Session {
    /// The forward branch at output `n`.
    pub(super) fn forward_at(&self, n: usize) -> Result<Forward> {
        let mut coming = match &self.clip.coming {
            Some(Coming {
                state,
                outputs,
                handover,
            }) => Some(Coming {
                state: self.forward_run(n, Some(state))?,
                outputs: outputs + 1,
                handover: *handover,
            }),
            None => self.begun_at(n)?,
        };
        if let Some(Coming { state, .. }) =
            coming.take_if(|coming| coming.outputs > coming.handover.outputs())
        {
            return Ok(Forward::fresh(state));
        }
        let before = match self.is_first(n) {
            true => None,
            false => Some(found(&self.clip.forward)?),
        };
        Ok(Forward {
            state: self.forward_run(n, before)?,
            coming,
        })
    }

    /// Keeps the branch for the next output.
    pub(super) fn keep(&mut self, forward: Forward) {
        self.clip.forward = Some(forward.state);
        self.clip.coming = forward.coming;
    }

    /// The run that begins at output `n`, beside the one that goes on for some outputs.
    fn begun_at(&self, n: usize) -> Result<Option<Coming>> {
        let Some(interval) = self.options.reset_interval.filter(|_| self.fades()) else {
            return Ok(None);
        };
        let handover = Handover::every(interval);
        let ends = n + handover.outputs();
        if n == 0 || !ends.is_multiple_of(interval) {
            return Ok(None);
        }
        Ok(Some(Coming {
            state: self.fresh_at(n)?,
            outputs: 1,
            handover,
        }))
    }

    /// The state of a run that begins at frame `n` and knows nothing of the frames before it.
    pub(super) fn fresh_at(&self, n: usize) -> Result<State> {
        let nothing = self.network.fresh_state(&self.clip.frame(n).lr)?;
        let mut state = self.stepped(n, &nothing)?;
        for _ in 1..self.network.config().first_looks {
            let next = self.stepped(n, &state)?;
            let feature = unless_outgrown(&state.feature, &next.feature)?;
            state = next.with_feature(feature);
        }
        Ok(state)
    }

    /// Whether a new run of the forward branch fades in, and runs of the backward branch into one another.
    /// Published networks start anew at once, as they were trained.
    pub(super) fn fades(&self) -> bool {
        self.network.config().variant.registers()
    }

    /// The forward branch at output `n`: one step on from the output before, or all the way from the
    /// window's first frame where a run starts.
    fn forward_run(&self, n: usize, before: Option<&State>) -> Result<State> {
        let m = self.window_look_ahead();
        let window = self.clip.window(n, m);
        if let Some(before) = before {
            let moved = before.warp(window.to_former(m)?, self.recurrence())?;
            return self.stepped(n, &moved);
        }
        let start = self.first_position(window);
        let mut state = self.fresh_at(window.number(start))?;
        for i in start + 1..=m {
            state = state.warp_in_run(window.to_previous(i)?, None, self.recurrence())?;
            state = self.stepped(window.number(i), &state)?;
        }
        Ok(state)
    }

    /// The state at a frame, from one that has been moved there.
    fn stepped(&self, number: usize, before: &State) -> Result<State> {
        let ClipFrame { lr, reference, .. } = self.clip.frame(number);
        let inputs = [lr, &before.feature];
        self.network
            .step(Branch::Forward, &inputs, before, reference, self.footage())
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

    /// Whether a run starts at output `n`, without one before it.
    pub(super) fn is_first(&self, n: usize) -> bool {
        let anew = |interval| n.is_multiple_of(interval) && !self.fades();
        n == 0 || self.options.reset_interval.is_some_and(anew)
    }
}
