//! A running average of the weights: smoother than the weights themselves, and often a little better.

use crate::fitting::fitting;
use anyhow::{Context, Result};
use refvsr::checkpoint::Tensors;
use std::collections::BTreeMap;
use tch::Tensor;

/// Running averages of named weights.
#[derive(Debug)]
pub struct Ema {
    averages: BTreeMap<String, Tensor>,
}

impl Ema {
    /// Starts at the weights.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn new(weights: impl IntoIterator<Item = (String, Tensor)>) -> Result<Self> {
        let averages = weights
            .into_iter()
            .map(|(name, w)| Ok((name, w.detach().f_detach_copy()?)));
        Ok(Self {
            averages: averages.collect::<Result<_>>()?,
        })
    }

    /// Moves the averages towards the weights: `decay` of the old ones remains.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn update(&mut self, weights: &BTreeMap<String, Tensor>, decay: f64) -> Result<()> {
        tch::no_grad(|| {
            for (name, average) in &mut self.averages {
                let weight = weights
                    .get(name)
                    .with_context(|| format!("no weight '{name}'"))?;
                *average = average
                    .f_mul_scalar(decay)?
                    .f_add(&weight.f_mul_scalar(1.0 - decay)?)?;
            }
            Ok(())
        })
    }

    /// The averages by the weights' names.
    pub fn averages(&self) -> &BTreeMap<String, Tensor> {
        &self.averages
    }

    /// The averages, named `ema.NAME`.
    pub fn state(&self) -> Tensors {
        self.averages
            .iter()
            .map(|(name, t)| (format!("ema.{name}"), t.shallow_clone()))
            .collect()
    }

    /// Takes up what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// Where an average is missing or of another shape.
    pub fn restore(&mut self, state: &Tensors) -> Result<()> {
        for (name, average) in &mut self.averages {
            let saved = fitting(state, &format!("ema.{name}"), average)?;
            *average = saved.f_to_device(average.device())?.f_detach_copy()?;
        }
        Ok(())
    }
}
