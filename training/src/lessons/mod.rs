//! What is learnt from clip patches. The [`Trainer`](crate::optimise::Trainer) makes the optimiser's
//! steps; a lesson says what each of them lowers.

pub mod registered;
pub mod windows;

use crate::{data::batch::ClipPatch, losses::Loss};
use anyhow::Result;
use refvsr::{Network, checkpoint::Tensors};
use std::fmt::Debug;
use tch::Tensor;

/// One thing to learn, with the network that learns it.
pub trait Lesson: Debug {
    /// The network under training.
    fn network(&self) -> &Network;
    /// The same, to be prepared.
    fn network_mut(&mut self) -> &mut Network;
    /// Whether the weight of that name is trained.
    fn trains(&self, name: &str) -> bool;
    /// A batch of clip patches made ready for its steps: an exercise for each patch, or one for all
    /// of them where they are computed at once. `steps` were made before it; with the patches' names
    /// it is what chance is drawn from.
    ///
    /// # Errors
    /// Where a patch does not fit the network.
    fn prepare<'a>(
        &'a self,
        batch: &[ClipPatch],
        steps: u64,
    ) -> Result<Vec<Box<dyn Exercise + 'a>>>;
    /// Pictures side by side that show how far the lesson is: of the patch, and its latest output.
    ///
    /// # Errors
    /// Where memory runs out.
    fn strip(&self, patch: &ClipPatch, output: &Tensor) -> Result<Strip>;
    /// What is kept from exercise to exercise, by names of its own, to be saved with the weights.
    fn memory(&self) -> Tensors {
        Tensors::new()
    }
    /// Takes up what [`memory`](Self::memory) gave, among other tensors of a saved state.
    ///
    /// # Errors
    /// Where it is of another form.
    fn remember(&self, state: &Tensors) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// Pictures for a log, `[1, 3, H, W]` of any size each, and what they are.
pub struct Strip {
    /// From left to right.
    pub pictures: Vec<Tensor>,
    /// The same in words.
    pub caption: &'static str,
}

/// A clip patch, or several at once, being learnt from.
pub trait Exercise {
    /// Optimiser steps it is good for.
    fn steps(&self) -> usize;
    /// What step `k` is to lower. Steps come in order.
    ///
    /// # Errors
    /// Where libtorch refuses.
    fn losses(&mut self, k: usize) -> Result<StepLosses>;
    /// A step failed: what was kept for the next one may be bad.
    fn forget(&mut self);
}

/// The losses of one step on one exercise.
pub struct StepLosses {
    /// Weighted, by name.
    pub parts: Vec<(String, Tensor)>,
    /// Their sum.
    pub total: Loss,
    /// Of the output (before clamping) against the truth (trunks: the teacher's picture), in dB, a scalar on the device.
    pub psnr: Tensor,
    /// The output, `[1, 3, s p, s p]`; of several patches the last one's.
    pub output: Tensor,
}
