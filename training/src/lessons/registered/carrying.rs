//! The forward branch where the wide camera's detail is carried on: its features depend on what is learnt,
//! and are computed step by step.

use super::{
    camera::nothing,
    features::{Motions, backward},
};
use anyhow::Result;
use refvsr::net::registered::{Details, RegisteredVsr, WIDE_DENSITY};
use tch::Tensor;

/// Both branches of a clip patch.
pub struct Carrying {
    backward: Vec<Tensor>,
    motions: Motions,
    /// The latest frame. No gradients reach beyond it.
    before: Option<Before>,
}

/// What a frame leaves to the next.
struct Before {
    forward: Tensor,
    joined: Tensor,
    details: Details,
}

impl Carrying {
    /// Of consecutive frames `[1, 3, h, w]`, with the backward branch through all of them.
    ///
    /// # Errors
    /// Where frames differ in size.
    pub fn new(
        network: &RegisteredVsr,
        frames: &[Tensor],
        motions: Motions,
    ) -> refvsr::Result<Self> {
        Ok(Self {
            backward: backward(network, frames, &motions)?,
            motions,
            before: None,
        })
    }

    /// Frame `i` is done: its features and details are what the next one starts from.
    pub fn leave(&mut self, forward: &Tensor, joined: &Tensor, details: Details) {
        self.before = Some(Before {
            forward: forward.detach(),
            joined: joined.detach(),
            details,
        });
    }

    /// Forward and joined features `[1, C, h, w]` at frame `i`, `lr` `[1, 3, h, w]`. Frames come in order.
    ///
    /// # Errors
    /// Where sizes do not fit.
    pub fn step(&self, network: &RegisteredVsr, lr: &Tensor, i: usize) -> Result<[Tensor; 2]> {
        let state = match &self.before {
            Some(Before {
                forward,
                joined,
                details,
            }) => {
                let feature = match &details.wide {
                    Some(detail) => network.with_carried(forward, joined, detail)?,
                    None => forward.shallow_clone(),
                };
                self.motions.to_next(&feature, i)?
            }
            // The branch starts with zeros. Nothing is carried to them, but gradients pass.
            None => {
                let zeros = self.backward[i].f_zeros_like()?;
                let nothing = nothing(WIDE_DENSITY, lr.device())?;
                let mut state = network.with_carried(&zeros, &zeros, &nothing)?;
                for _ in 1..network.first_looks {
                    state = network.forward_step(lr, Some(&state))?;
                }
                state
            }
        };
        let forward = network.forward_step(lr, Some(&state))?;
        let joined = network.joined(&self.backward[i], &forward)?;
        Ok([forward, joined])
    }
}
