//! Convolutions of stride 1 on the CPU in their direct form, in fp32 or in bf16 with fp32 sums: with bias,
//! activation, a residual, a pixel shuffle and the joining of inputs in one pass. As exact as libtorch's, but
//! for the order in which sums are added up.

use super::{
    data,
    joined::{BLOCK, Channels, Source, int},
};
use crate::{Error, Result, layout::round_up};
use std::{
    ffi::{c_int, c_long, c_uchar, c_void},
    sync::atomic::AtomicBool,
};
use tch::{Device, Kind, Tensor};

/// Rows of inputs under a window, one of each input and row.
const MOST_RUNS: i64 = 64;

#[repr(C)]
struct Direct {
    sources: *const Source,
    n_sources: c_int,
    height: c_int,
    width: c_int,
    kernel: c_int,
    weights: *const c_void,
    bias: *const f32,
    depth: c_int,
    groups: c_int,
    channels: c_int,
    slope: f32,
    residual: *const c_void,
    out: *mut c_void,
    bf16: c_int,
}

unsafe extern "C" {
    fn refvsr_direct(
        job: *const Direct,
        rows: c_long,
        threads: c_int,
        stop: *const c_uchar,
    ) -> c_int;
    fn refvsr_bf16_units() -> c_int;
}

/// What the processor multiplies numbers in bf16 by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bf16 {
    /// Nothing of its own.
    Emulated,
    /// AVX512-BF16: twice as many at a time as in fp32.
    Registers,
    /// AMX, whose blocks libtorch multiplies.
    Blocks,
}

/// What this processor has.
pub fn bf16() -> Bf16 {
    // SAFETY: it takes nothing and looks at the processor only.
    match unsafe { refvsr_bf16_units() } {
        1 => Bf16::Registers,
        2 => Bf16::Blocks,
        _ => Bf16::Emulated,
    }
}

/// Whether inputs of these channels can be joined under a window of `kernel` x `kernel` in this kind.
fn takes(parts: &[&Tensor], kernel: i64, kind: Kind) -> bool {
    let even = || parts.iter().all(|x| x.size()[1] % 2 == 0);
    parts.len() as i64 * kernel <= MOST_RUNS
        && match kind {
            Kind::Float => true,
            // Two channels are multiplied at once.
            Kind::BFloat16 => even(),
            _ => false,
        }
}

/// Whether this kernel takes these inputs and is the fastest that there is for them.
pub fn suits(parts: &[&Tensor], kernel: i64, kind: Kind) -> bool {
    takes(parts, kernel, kind) && (kind == Kind::Float || bf16() != Bf16::Blocks)
}

/// Weights of a convolution, laid out for the kernel.
#[derive(Debug)]
pub struct Weights {
    /// For each group one block of output channels after the other: `[k k C, 16 or 8]` each, in the order of
    /// rows, inputs, columns, channels; in bf16 `[k k C / 2, 16 or 8, 2]`.
    packed: Tensor,
    /// `[groups, output channels]` in fp32, these rounded up to whole blocks.
    bias: Tensor,
    kernel: i64,
    channels: Channels,
}

impl Weights {
    /// Lays out `weight` `[C', C, k, k]` and `bias` `[C']` for inputs whose channels `parts` add up to C, to be
    /// multiplied in `kind`, fp32 or bf16. With `shuffle` a pixel shuffle by 2 follows the convolution.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out, [`Error::Broken`] for anything but four dimensions.
    pub fn new(
        weight: &Tensor,
        bias: &Tensor,
        parts: &[i64],
        shuffle: bool,
        kind: Kind,
    ) -> Result<Self> {
        let &[all, _, kernel, _] = &weight.size()[..] else {
            return Err(Error::Broken("direct: not weights [C', C, k, k]".into()));
        };
        let channels = Channels::new(parts, all, shuffle);
        let (groups, output) = (channels.groups, channels.output);
        // A shuffle's four output channels of one place go to four pixels: they come apart first.
        let weight = weight
            .f_to_kind(kind)?
            .f_reshape([output, groups, -1, kernel, kernel])?
            .f_permute([1, 3, 4, 2, 0])?; // [groups, k, k, C, output]
        let (mut at, mut runs) = (0, vec![]);
        for &part in parts {
            let own = weight.f_narrow(3, at, part)?;
            runs.push(own.f_reshape([groups, kernel, kernel * part, output])?);
            at += part;
        }
        let places = Tensor::f_cat(&runs, 2)?.f_reshape([groups, -1, output])?;
        let mut packed = vec![];
        for group in 0..groups {
            for (first, taken, n) in channels.blocks() {
                let block = places.f_select(0, group)?.f_narrow(1, first, taken)?;
                let block = block.f_constant_pad_nd([0, n - taken])?;
                packed.push(match kind {
                    Kind::BFloat16 => {
                        let pairs = block.f_reshape([-1, 2, n])?.f_transpose(1, 2)?;
                        pairs.f_reshape([-1])?
                    }
                    _ => block.f_reshape([-1])?,
                });
            }
        }
        // The kernel may read half a block on.
        packed.push(Tensor::f_zeros([2 * BLOCK], (kind, Device::Cpu))?);
        let missing = round_up(output, BLOCK) - output;
        let bias = bias
            .f_to_kind(Kind::Float)?
            .f_reshape([output, groups])?
            .f_transpose(0, 1)?
            .f_constant_pad_nd([0, missing])?;
        Ok(Self {
            packed: Tensor::f_cat(&packed, 0)?,
            bias: bias.f_contiguous()?,
            kernel,
            channels,
        })
    }

    /// Whether they are for inputs of these channels, with a shuffle or without.
    pub fn fits(&self, parts: &[&Tensor], shuffle: bool) -> bool {
        self.channels.fits(parts, shuffle)
    }

    /// What it multiplies in.
    pub fn kind(&self) -> Kind {
        self.packed.kind()
    }

    /// The convolution with padding k/2 of `parts` `[N, C_i, H, W]` on the CPU, in the kind of the weights, joined:
    /// `[N, C', H, W]`, or `[N, C'/4, 2H, 2W]` with a shuffle, channels last in memory. Negative values of it are
    /// multiplied by `slope` (1 leaves them, 0 makes a ReLU), then `residual`, of the output's shape, is added. It
    /// gives up soon after `stop` is set.
    ///
    /// # Errors
    /// [`Error::Stopped`] where `stop` was set; [`Error::Broken`] for inputs of other channels, sizes or
    /// kinds than agreed.
    pub fn convolve(
        &self,
        parts: &[&Tensor],
        slope: f64,
        residual: Option<&Tensor>,
        stop: Option<&AtomicBool>,
    ) -> Result<Tensor> {
        let kind = self.kind();
        let taken = self.channels.take(parts, residual, kind)?;
        if !takes(parts, self.kernel, kind) {
            return Err(Error::Broken("direct: inputs that it cannot join".into()));
        }
        let (n, h, w) = taken.size;
        let job = Direct {
            sources: taken.sources.as_ptr(),
            n_sources: int(taken.sources.len() as i64)?,
            height: int(h)?,
            width: int(w)?,
            kernel: int(self.kernel)?,
            weights: self.packed.data_ptr().cast_const(),
            bias: data(&self.bias),
            depth: int(self.channels.parts.iter().sum())?,
            groups: int(self.channels.groups)?,
            channels: int(self.channels.output)?,
            slope: slope as f32,
            residual: taken.residual(),
            out: taken.out(),
            bf16: c_int::from(kind == Kind::BFloat16),
        };
        let stop = stop.map_or(std::ptr::null(), |stop| stop.as_ptr().cast::<c_uchar>());
        // SAFETY: all pointers are of live tensors of the weights' kind, channels last and of the sizes given,
        // which was checked when they were taken; the output is new, so nothing else sees it being written.
        // AtomicBool has the size of a byte, and `stop` outlives the call.
        let status = unsafe { refvsr_direct(&job, n * h, tch::get_num_threads().max(1), stop) };
        taken.finished(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::joined::tests::{plain, rand};
    use proptest::prelude::*;

    fn most(x: &Tensor) -> f64 {
        x.abs().max().double_value(&[])
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 80,
            rng_seed: proptest::test_runner::RngSeed::Fixed(47),
            ..ProptestConfig::default()
        })]

        #[test]
        fn equals_libtorchs_convolution(
            parts in prop::collection::vec(1..=40i64, 1..=3),
            channels in 1..=50i64,
            (n, h, w) in (1..=2i64, 1..=9i64, 1..=41i64),
            kernel in prop::sample::select(vec![1, 3, 5]),
            shuffle in any::<bool>(),
            slope in prop::sample::select(vec![0.0, 0.1, 0.2, 1.0]),
            add in any::<bool>(),
            half in any::<bool>(),
            seed in 0..1000i64,
        ) {
            tch::manual_seed(seed);
            // Numbers that bf16 holds too: what is left to tell apart is rounding the output.
            let kind = if half { Kind::BFloat16 } else { Kind::Float };
            let numbers = |shape: &[i64]| rand(shape).to_kind(kind).to_kind(Kind::Float);
            let parts: Vec<i64> = parts.iter().map(|&c| if half { 2 * ((c + 1) / 2) } else { c }).collect();
            let inputs: Vec<Tensor> = parts.iter().map(|&c| numbers(&[n, c, h, w])).collect();
            let (out, factor) = if shuffle { (4 * channels, 2) } else { (channels, 1) };
            let depth: i64 = parts.iter().sum();
            let weight = (numbers(&[out, depth, kernel, kernel]) / (kernel * kernel * depth) as f64)
                .to_kind(kind).to_kind(Kind::Float);
            let bias = rand(&[out]);
            let residual = add.then(|| numbers(&[n, channels, factor * h, factor * w]));
            let packed = Weights::new(&weight, &bias, &parts, shuffle, kind).unwrap();
            let taken: Vec<Tensor> = inputs.iter().map(|x| x.to_kind(kind)).collect();
            let taken: Vec<&Tensor> = taken.iter().collect();
            assert!(packed.fits(&taken, shuffle) && !packed.fits(&taken, !shuffle));
            let added = residual.as_ref().map(|r| r.to_kind(kind));
            let found = packed.convolve(&taken, slope, added.as_ref(), None).unwrap();
            let plainly: Vec<&Tensor> = inputs.iter().collect();
            let expected = plain(&plainly, (&weight, &bias), shuffle, slope, residual.as_ref());
            assert_eq!((found.size(), found.kind()), (expected.size(), kind));
            // A number in bf16 has eight bits.
            let bound = if half { expected.abs() / 256.0 + 1e-5 } else { expected.zeros_like() + 4e-6 };
            let over = ((found.to_kind(Kind::Float) - &expected).abs() - bound).max().double_value(&[]);
            assert!(over <= 0.0, "{over:.1e} over the bound, of {}", most(&expected));
        }
    }

    #[test]
    fn a_part_of_the_rows_is_the_same_bit_for_bit() {
        tch::manual_seed(3);
        for kind in [Kind::Float, Kind::BFloat16] {
            let x = rand(&[1, 24, 20, 70]).to_kind(kind);
            let (weight, bias) = (rand(&[24, 24, 3, 3]) / 200.0, rand(&[24]));
            let packed = Weights::new(&weight, &bias, &[24], false, kind).unwrap();
            let whole = packed.convolve(&[&x], 0.1, Some(&x), None).unwrap();
            let part = x.narrow(2, 4, 9);
            let found = packed
                .convolve(&[&part], 0.1, Some(&part), None)
                .unwrap()
                .narrow(2, 1, 7);
            assert!(found.equal(&whole.narrow(2, 5, 7)));
        }
    }

    #[test]
    fn it_stops_when_told_and_refuses_what_it_was_not_made_for() {
        let (x, weight, bias) = (rand(&[1, 8, 40, 40]), rand(&[8, 8, 3, 3]), rand(&[8]));
        let packed = Weights::new(&weight, &bias, &[8], false, Kind::Float).unwrap();
        let stop = AtomicBool::new(true);
        let stopped = packed.convolve(&[&x], 1.0, None, Some(&stop));
        assert!(matches!(stopped, Err(Error::Stopped)));
        for x in [rand(&[1, 9, 40, 40]), x.to_kind(Kind::BFloat16)] {
            let refused = packed.convolve(&[&x], 1.0, None, None);
            assert!(matches!(refused, Err(Error::Broken(_))));
        }
        let residual = rand(&[1, 8, 39, 40]);
        let refused = packed.convolve(&[&x], 1.0, Some(&residual), None);
        assert!(matches!(refused, Err(Error::Broken(_))));
    }
}
