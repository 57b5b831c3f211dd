//! A run of the forward branch that takes over from the one before it.

use crate::net::state::State;

/// Outputs for which a new run of a registered network is computed beside the old one before its
/// feature is used: a fresh run has little to say.
const WARM: usize = 1;
/// Outputs in which the new run's feature fades in. Shorter fades are seen as a step in still shots.
const FADE: usize = 3;

/// A run of the forward branch that takes over from the one before it.
#[derive(Debug)]
pub struct Coming {
    pub state: State,
    /// Outputs for which it has been computed.
    pub outputs: usize,
    pub handover: Handover,
}

/// How long a new run is computed beside the old one.
#[derive(Debug, Clone, Copy)]
pub struct Handover {
    /// Outputs before it is used.
    pub warm: usize,
    /// Outputs in which it fades in.
    pub fade: usize,
}

impl Handover {
    /// For runs of so many outputs: shorter than a run.
    pub fn every(interval: usize) -> Self {
        let fade = FADE.min(interval / 2);
        Self {
            warm: WARM.min(interval.saturating_sub(fade + 1)),
            fade,
        }
    }

    /// Outputs from the new run's first one to the one that is its alone.
    pub fn outputs(self) -> usize {
        self.warm + self.fade
    }
}
