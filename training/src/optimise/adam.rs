//! The optimiser: Adam (Kingma & Ba, ICLR 2015) whose whole state is a map of tensors, so that it can be saved and restored bit for bit.

use crate::fitting::fitting;
use anyhow::{Result, ensure};
use refvsr::checkpoint::Tensors;
use std::collections::BTreeMap;
use tch::{Kind, Tensor};

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Adam over named parameters.
#[derive(Debug)]
pub struct Adam {
    parameters: BTreeMap<String, Parameter>,
    steps: u64,
}

#[derive(Debug)]
struct Parameter {
    value: Tensor,
    mean: Tensor,
    square: Tensor,
}

impl Adam {
    /// An optimiser that has seen nothing of these parameters.
    ///
    /// # Errors
    /// Where memory runs out.
    pub fn new(parameters: impl IntoIterator<Item = (String, Tensor)>) -> Result<Self> {
        let parameters = parameters.into_iter().map(|(name, value)| {
            let zero = || value.detach().f_zeros_like();
            Ok((
                name,
                Parameter {
                    mean: zero()?,
                    square: zero()?,
                    value,
                },
            ))
        });
        Ok(Self {
            parameters: parameters.collect::<Result<_>>()?,
            steps: 0,
        })
    }

    /// Updates made so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Number of values that are trained.
    pub fn size(&self) -> usize {
        self.parameters.values().map(|p| p.value.numel()).sum()
    }

    /// Forgets the gradients.
    pub fn zero_grad(&mut self) {
        for p in self.parameters.values_mut() {
            p.value.zero_grad();
        }
    }

    /// The length of all gradients together; a tensor on the device.
    ///
    /// # Errors
    /// Where no parameter has a gradient.
    pub fn gradient_norm(&self) -> Result<Tensor> {
        let norms = self
            .gradients()
            .map(|g| Ok(g.f_norm()?))
            .collect::<Result<Vec<_>>>()?;
        ensure!(!norms.is_empty(), "no parameter has a gradient");
        Ok(Tensor::f_stack(&norms, 0)?.f_norm()?)
    }

    /// Multiplies all gradients.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn scale_gradients(&self, factor: f64) -> Result<()> {
        for mut g in self.gradients() {
            let _ = tch::no_grad(|| g.f_mul_scalar_(factor))?;
        }
        Ok(())
    }

    /// All gradients one after the other, `[n]`.
    ///
    /// # Errors
    /// Where no parameter has a gradient.
    pub fn flat_gradients(&self) -> Result<Tensor> {
        let gradients = self
            .gradients()
            .map(|g| Ok(g.f_reshape([-1])?))
            .collect::<Result<Vec<_>>>()?;
        ensure!(!gradients.is_empty(), "no parameter has a gradient");
        Ok(Tensor::f_cat(&gradients, 0)?)
    }

    /// Puts gradients in the form of [`flat_gradients`](Self::flat_gradients) in the place of those that are there.
    ///
    /// # Errors
    /// Where there are fewer values than gradients.
    pub fn set_gradients(&self, flat: &Tensor) -> Result<()> {
        let mut at = 0;
        for mut g in self.gradients() {
            let n = g.numel() as i64;
            tch::no_grad(|| g.f_copy_(&flat.f_narrow(0, at, n)?.f_view_as(&g)?))?;
            at += n;
        }
        Ok(())
    }

    fn gradients(&self) -> impl Iterator<Item = Tensor> {
        self.parameters
            .values()
            .map(|p| p.value.grad())
            .filter(Tensor::defined)
    }

    /// One update. Parameters without a gradient stay as they are.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn step(&mut self, rate: f64) -> Result<()> {
        self.steps += 1;
        let exponent = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let (correct1, correct2) = (1.0 - BETA1.powi(exponent), 1.0 - BETA2.powi(exponent));
        tch::no_grad(|| {
            for Parameter {
                value,
                mean,
                square,
            } in self.parameters.values_mut()
            {
                let gradient = value.grad();
                if !gradient.defined() {
                    continue;
                }
                *mean = mean
                    .f_mul_scalar(BETA1)?
                    .f_add(&gradient.f_mul_scalar(1.0 - BETA1)?)?;
                *square = square
                    .f_mul_scalar(BETA2)?
                    .f_add(&gradient.f_square()?.f_mul_scalar(1.0 - BETA2)?)?;
                let spread = square
                    .f_sqrt()?
                    .f_div_scalar(correct2.sqrt())?
                    .f_add_scalar(EPSILON)?;
                let _ = value.f_sub_(&mean.f_div(&spread)?.f_mul_scalar(rate / correct1)?)?;
            }
            Ok(())
        })
    }

    /// The moments, named `adam.mean.NAME` and `adam.square.NAME`.
    pub fn state(&self) -> Tensors {
        let both = |(name, p): (&String, &Parameter)| {
            [
                (format!("adam.mean.{name}"), p.mean.shallow_clone()),
                (format!("adam.square.{name}"), p.square.shallow_clone()),
            ]
        };
        self.parameters.iter().flat_map(both).collect()
    }

    /// Takes up what [`state`](Self::state) and [`steps`](Self::steps) gave.
    ///
    /// # Errors
    /// Where a moment is missing or of another shape.
    pub fn restore(&mut self, state: &Tensors, steps: u64) -> Result<()> {
        for (name, p) in &mut self.parameters {
            for (kind, moment) in [("mean", &mut p.mean), ("square", &mut p.square)] {
                let saved = fitting(state, &format!("adam.{kind}.{name}"), moment)?;
                *moment = saved
                    .f_to_kind(Kind::Float)?
                    .f_to_device(moment.device())?
                    .f_detach_copy()?;
            }
        }
        self.steps = steps;
        Ok(())
    }
}
