//! Less than fp32: what is computed in TF32 or fp16, and the scale that keeps small gradients from vanishing
//! in fp16.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    str::FromStr,
};

/// What the network computes in while it is trained. Weights, optimiser and losses are fp32 in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Precision {
    /// fp32.
    #[default]
    Fp32,
    /// fp32, but convolutions and matrix products round to 10 bits of mantissa first
    /// ([`with_tf32`](refvsr::device::with_tf32)).
    Tf32,
    /// Convolutions and matrix products in fp16 (CUDA's autocast), with a [`LossScale`].
    Fp16,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fp32" => Ok(Self::Fp32),
            "tf32" => Ok(Self::Tf32),
            "fp16" => Ok(Self::Fp16),
            "bf16" => Err("optimiser.precision is 'bf16', which tch's autocast cannot do; fp32, tf32 or fp16 expected".into()),
            other => Err(format!("optimiser.precision is '{other}', fp32, tf32 or fp16 expected")),
        }
    }
}

impl TryFrom<String> for Precision {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Precision> for String {
    fn from(precision: Precision) -> Self {
        precision.to_string()
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fp32 => "fp32",
            Self::Tf32 => "tf32",
            Self::Fp16 => "fp16",
        })
    }
}

impl Precision {
    /// Runs `f` with autocast on or off. It touches CUDA tensors only.
    pub fn compute<T>(self, f: impl FnOnce() -> T) -> T {
        // tch does not put autocast back where `f` panics.
        tch::autocast(self == Self::Fp16, || catch_unwind(AssertUnwindSafe(f)))
            .unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// What losses are multiplied by, and gradients divided by again: fp16 ends at 6e-8, where many gradients lie. A power of two, so that only
/// what would have vanished differs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    factor: f64,
    /// Steps since it last changed, or since a step was skipped.
    good: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            factor: 65536.0,
            good: 0,
        }
    }
}

impl LossScale {
    const FLOOR: f64 = 1.0;
    const PATIENCE: u32 = 2000;

    /// The scale.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Gradients were finite: after enough of these steps the scale doubles.
    pub fn good(&mut self) {
        self.good += 1;
        if self.good >= Self::PATIENCE {
            (self.factor, self.good) = (self.factor * 2.0, 0);
        }
    }

    /// Something was not finite: halves the scale. False where it is as low as it goes and the fault must lie elsewhere.
    pub fn halve(&mut self) -> bool {
        let can = self.factor > Self::FLOOR;
        (self.factor, self.good) = ((self.factor / 2.0).max(Self::FLOOR), 0);
        can
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_halves_at_once_and_doubles_after_two_thousand_good_steps() {
        let mut scale = LossScale::default();
        assert!(scale.halve());
        (0..1999).for_each(|_| scale.good());
        assert_eq!(scale.factor(), 32768.0);
        scale.good();
        assert_eq!(scale.factor(), 65536.0);
        (0..1999).for_each(|_| scale.good());
        assert!(scale.halve());
        scale.good();
        assert_eq!(scale.factor(), 32768.0, "counting began anew");
        assert_eq!((0..20).filter(|_| scale.halve()).count(), 15);
        assert_eq!(scale.factor(), 1.0);
    }

    #[test]
    fn a_panic_passes_through() {
        let panicked = catch_unwind(|| Precision::Fp16.compute(|| panic!("inside")));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"inside"));
        assert_eq!(Precision::Fp16.compute(|| 7), 7);
    }
}
