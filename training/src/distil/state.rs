//! The saved state of a distillation: from it the same call goes on to the same weights.

use super::{DistilOptions, Phase};
use crate::{adam::Adam, ema::Ema, fetch::package::sha256, fitting::fitting, saved};
use anyhow::{Result, ensure};
use refvsr::checkpoint::Tensors;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// How far the work is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Progress {
    pub phase: Phase,
    /// Steps made in the phase.
    pub steps: u64,
    /// Patches taken from the data in all.
    pub patches: u64,
    work: Work,
}

/// What must stay the same for work to go on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Work {
    /// What stands for the data set.
    data: u64,
    /// The files' SHA-256.
    weights: Vec<String>,
    feature_steps: u64,
    picture_steps: u64,
    rate: f64,
    seed: u64,
}

impl Progress {
    /// Nothing done yet.
    pub fn new(options: &DistilOptions, data: u64) -> Result<Self> {
        let DistilOptions {
            ref weights,
            feature_steps,
            picture_steps,
            rate,
            seed,
            ..
        } = *options;
        let weights = weights
            .iter()
            .map(|path| sha256(path))
            .collect::<Result<_>>()?;
        let work = Work {
            data,
            weights,
            feature_steps,
            picture_steps,
            rate,
            seed,
        };
        Ok(Self {
            phase: Phase::Before,
            steps: 0,
            patches: 0,
            work,
        })
    }

    /// The state that lies there, if it is of the same work.
    pub fn load(&self, path: &Path) -> Result<(Tensors, Self)> {
        let (tensors, there) = saved::load::<Self>(path)?;
        ensure!(
            there.work == self.work,
            "{} is of other work (of {:?}; asked for {:?}); without that file this begins anew",
            path.display(),
            there.work,
            self.work
        );
        Ok((tensors, there))
    }

    /// Saves it with all that further steps depend on.
    pub fn save(&self, path: &Path, weights: &Tensors, adam: &Adam, average: &Ema) -> Result<()> {
        let weights = weights.iter().map(|(name, t)| (name.clone(), t.detach()));
        saved::save(
            path,
            &weights.chain(adam.state()).chain(average.state()).collect(),
            self,
        )
    }
}

/// Gives weights the values that others of the same names have.
pub fn set(weights: &Tensors, values: &Tensors) -> Result<()> {
    for (name, weight) in weights {
        let value = fitting(values, name, weight)?;
        tch::no_grad(|| weight.shallow_clone().f_copy_(value))?;
    }
    Ok(())
}
