//! Which number format is the fastest on this processor, where that depends on more than its
//! instructions: on Zen 5 bf16 beats fp32 by Winograd, on Zen 4, which computes it in halves, it does not.

use crate::{
    Result,
    native::direct,
    net::layers::{
        context::{self, Arithmetic},
        conv::{Conv, Then},
    },
    stop::Stopper,
};
use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};
use tch::{Device, Kind, Tensor, nn::VarStore};

/// The shortest times in which a 3 x 3 convolution of a trunk was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// In [`Precision::Fp32Fast`](crate::Precision::Fp32Fast).
    pub fp32_fast: Duration,
    /// In [`Precision::Bf16`](crate::Precision::Bf16).
    pub bf16: Duration,
}

/// Channels of the features that are measured: those of the bundled models.
const CHANNELS: i64 = 64;
/// Their height and width: some milliseconds of work.
const SIZE: [i64; 2] = [64, 128];
/// Turns of each format. The shortest time counts, so that other work on the machine does not.
const TURNS: usize = 4;

/// Measures both formats at the first call of a process; later calls know. `None` where there is nothing
/// to choose: on processors without AVX512-BF16, and on those with AMX, where bf16 is not this library's
/// own.
pub fn measured() -> Option<Measured> {
    static KNOWN: OnceLock<Option<Measured>> = OnceLock::new();
    *KNOWN.get_or_init(|| match direct::bf16() {
        direct::Bf16::Registers => measure().ok(),
        direct::Bf16::Emulated | direct::Bf16::Blocks => None,
    })
}

fn measure() -> Result<Measured> {
    let store = VarStore::new(Device::Cpu);
    let conv = |name: &str| Conv::new((store.root() / name).into(), CHANNELS, CHANNELS, 3);
    let (in_fp32, in_bf16) = (conv("fp32")?, conv("bf16")?);
    let [h, w] = SIZE;
    let picture = Tensor::f_full([1, h, w, CHANNELS], 0.5, (Kind::Float, Device::Cpu))?;
    let picture = picture.f_permute([0, 3, 1, 2])?;
    let time = |arithmetic: Arithmetic, conv: &Conv| -> Result<Duration> {
        context::within(arithmetic, &Stopper::default(), || {
            let x = picture.f_to_kind(arithmetic.kind())?;
            let start = Instant::now();
            let _computed = conv.then(&[&x], Then::lrelu(0.0))?;
            Ok(start.elapsed())
        })
    };
    let mut shortest = Measured {
        fp32_fast: Duration::MAX,
        bf16: Duration::MAX,
    };
    // The first turn prepares the weights.
    for turn in 0..=TURNS {
        let fp32_fast = time(Arithmetic::Winograd, &in_fp32)?;
        let bf16 = time(Arithmetic::Half(Kind::BFloat16), &in_bf16)?;
        if turn > 0 {
            shortest.fp32_fast = shortest.fp32_fast.min(fp32_fast);
            shortest.bf16 = shortest.bf16.min(bf16);
        }
    }
    Ok(shortest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;

    #[test]
    fn bf16_has_to_save_a_fifth() {
        let of = |bf16| Measured {
            fp32_fast: Duration::from_millis(40),
            bf16: Duration::from_millis(bf16),
        };
        assert_eq!(of(50).fastest(), Precision::Fp32Fast);
        assert_eq!(of(33).fastest(), Precision::Fp32Fast);
        assert_eq!(of(31).fastest(), Precision::Bf16);
    }
}
