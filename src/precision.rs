//! Number formats: what is asked for, and what it means on a device.

mod measured;

pub use measured::{Measured, measured};

use crate::{
    Error, Result,
    net::layers::context::{self, Arithmetic},
    stop::Stopper,
};
use std::{fmt, str::FromStr};
use tch::{Device, Kind};

/// What the network computes in. Weights in files may have any precision.
///
/// Flow, matching, sampling positions, the bicubic base and the last addition are fp32 in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// The fastest that stays over 50 dB against fp32: [`Fp16`](Self::Fp16) on a CUDA device; on a CPU
    /// with AVX512-BF16 the faster one of [`Bf16`](Self::Bf16) and [`Fp32Fast`](Self::Fp32Fast), which is
    /// [`measured`] once a process; [`Fp32Fast`](Self::Fp32Fast) on other CPUs.
    #[default]
    Auto,
    /// 32-bit floats, as the paper's code computes. On a CPU, 3 x 3 convolutions of many channels take Winograd's
    /// minimal filtering, F(2 x 2, 3 x 3), whose rounding is no larger than that of plain sums.
    Fp32,
    /// 32-bit floats, with 3 x 3 convolutions by F(4 x 4, 3 x 3) on a CPU: a quarter of the
    /// multiplications, and more rounding. On a CUDA device the same as fp32.
    Fp32Fast,
    /// 16-bit floats. On a CPU this is slower than fp32.
    Fp16,
    /// 16-bit floats with the exponent range of 32-bit ones, added up in 32 bits. On a CPU it needs AVX512-BF16 to
    /// be fast.
    Bf16,
}

impl Precision {
    /// All, in the order of their names' list.
    pub const ALL: [Self; 5] = [
        Self::Auto,
        Self::Fp32,
        Self::Fp32Fast,
        Self::Fp16,
        Self::Bf16,
    ];

    /// How convolutions are computed on a device.
    pub(crate) fn arithmetic(self, device: Device) -> Arithmetic {
        match self.on(device) {
            Self::Fp32Fast if device == Device::Cpu => Arithmetic::Winograd,
            Self::Bf16 => Arithmetic::Half(Kind::BFloat16),
            Self::Fp16 => Arithmetic::Half(Kind::Half),
            Self::Auto | Self::Fp32 | Self::Fp32Fast => Arithmetic::Exact,
        }
    }

    /// The precision that this one means on a device: itself, or what [`Auto`](Self::Auto) chooses.
    pub fn on(self, device: Device) -> Self {
        match (self, device) {
            (Self::Auto, Device::Cpu) => measured().map_or(Self::Fp32Fast, |times| times.fastest()),
            (Self::Auto, _) => Self::Fp16,
            (other, _) => other,
        }
    }

    /// Computes something with parts of a network in this precision. No gradients are kept.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn compute<T>(self, device: Device, work: impl FnOnce() -> Result<T>) -> Result<T> {
        context::within(self.arithmetic(device), &Stopper::default(), work)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Fp32 => "fp32",
            Self::Fp32Fast => "fp32-fast",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
        }
    }
}

impl Measured {
    /// The faster one; [`Precision::Fp32Fast`], which is nearer to the exact picture, where bf16 saves less
    /// than a fifth. Zen 5 saves a half and Zen 4 loses a quarter, so that what else a machine does at the
    /// moment of measuring does not decide.
    pub fn fastest(&self) -> Precision {
        if self.bf16 * 5 < self.fp32_fast * 4 {
            Precision::Bf16
        } else {
            Precision::Fp32Fast
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(s: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|p| p.name() == s);
        found.ok_or_else(|| Error::Parse {
            what: "precision",
            value: s.to_owned(),
            allowed: "auto, fp32, fp32-fast, fp16, bf16",
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn names_round_trip_and_nonsense_is_refused() {
        for precision in Precision::ALL {
            assert_eq!(
                precision.to_string().parse::<Precision>().unwrap(),
                precision
            );
        }
        let message = "fp64".parse::<Precision>().unwrap_err().to_string();
        assert!(
            Precision::ALL.iter().all(|p| message.contains(p.name())),
            "{message}"
        );
    }

    #[test]
    fn auto_is_one_of_the_others_and_computes_alike() {
        for device in [Device::Cpu, Device::Cuda(0)] {
            let chosen = Precision::Auto.on(device);
            assert_ne!(chosen, Precision::Auto);
            assert_eq!(
                chosen.arithmetic(device),
                Precision::Auto.arithmetic(device)
            );
        }
        assert_eq!(Precision::Fp32.arithmetic(Device::Cpu), Arithmetic::Exact);
    }

    #[test]
    fn auto_is_what_was_measured_to_be_the_fastest() {
        let times = |fp32_fast, bf16| Measured {
            fp32_fast: Duration::from_micros(fp32_fast),
            bf16: Duration::from_micros(bf16),
        };
        assert_eq!(times(900, 1100).fastest(), Precision::Fp32Fast);
        assert_eq!(times(900, 500).fastest(), Precision::Bf16);
        // Whatever this processor is: once measured it stays so, and `auto` follows.
        let known = measured();
        assert_eq!(measured(), known);
        let expected = known.map_or(Precision::Fp32Fast, |times| times.fastest());
        assert_eq!(Precision::Auto.on(Device::Cpu), expected);
    }
}
