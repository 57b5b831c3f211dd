//! 3 x 3 convolutions on the CPU by Winograd's minimal filtering (Lavin and Gray, CVPR 2016): fewer
//! multiplications, with bias, activation, a residual, a pixel shuffle and the joining of inputs in the same
//! pass. Its results differ from the direct form by rounding alone, see [`Tile`].

use super::{
    data,
    joined::{Channels, Source, int},
};
use crate::{Error, Result, layout::round_up};
use std::{
    ffi::{c_int, c_uchar},
    sync::atomic::AtomicBool,
};
use tch::{Kind, Tensor};

/// The output pixels that are computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tile {
    /// 2 x 2, F(2 x 2, 3 x 3): four multiplications of nine. Sums and differences are all that its inputs and
    /// outputs go through, and its rounding is no larger than the direct form's.
    Two,
    /// 4 x 4, F(4 x 4, 3 x 3): a quarter of the multiplications. Its rounding is some six times larger, a few
    /// 1e-6 of the largest value.
    Four,
}

impl Tile {
    fn side(self) -> i64 {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// With fewer input or output channels the direct form is as fast.
    pub fn fewest_channels(self) -> i64 {
        // SAFETY: it takes nothing and looks at the processor only.
        let wide = unsafe { refvsr_has_wide_registers() } != 0;
        match self {
            Self::Two if wide => 32,
            Self::Two => 16,
            Self::Four => 8,
        }
    }

    /// G, which takes a column of a window to its points.
    fn of_window(self) -> Result<Tensor> {
        let (sixth, row, column) = (1.0 / 6.0, 1.0 / 24.0, 1.0 / 12.0);
        #[rustfmt::skip]
        let g = match self {
            Self::Two => Tensor::f_from_slice(&[
                1.0, 0.0, 0.0,
                0.5, 0.5, 0.5,
                0.5, -0.5, 0.5,
                0.0, 0.0, 1.0,
            ])?,
            Self::Four => Tensor::f_from_slice(&[
                0.25, 0.0, 0.0,
                -sixth, -sixth, -sixth,
                -sixth, sixth, -sixth,
                row, column, sixth,
                row, -column, sixth,
                0.0, 0.0, 1.0,
            ])?,
        };
        Ok(g.f_view([self.side() + 2, 3])?)
    }
}

/// Channels that the kernel transforms at once.
const LANES: i64 = 8;

#[repr(C)]
struct Job {
    sources: *const Source,
    n_sources: c_int,
    height: c_int,
    width: c_int,
    weights: *const f32,
    bias: *const f32,
    depth: c_int,
    groups: c_int,
    channels: c_int,
    slope: f32,
    residual: *const f32,
    out: *mut f32,
    tile: c_int,
}

unsafe extern "C" {
    fn refvsr_winograd(job: *const Job, threads: c_int, stop: *const c_uchar) -> c_int;
    fn refvsr_has_wide_registers() -> c_int;
}

/// Weights of a 3 x 3 convolution, transformed and laid out for the kernel.
#[derive(Debug)]
pub struct Weights {
    /// One block of output channels after the other: `[points, depth, 16 or 8]` each.
    packed: Tensor,
    bias: Tensor,
    channels: Channels,
    tile: Tile,
}

impl Weights {
    /// Transforms `weight` `[C', C, 3, 3]` and `bias` `[C']` for inputs whose channels `parts` add up to
    /// C. With `shuffle` a pixel shuffle by 2 follows the convolution.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn new(
        weight: &Tensor,
        bias: &Tensor,
        parts: &[i64],
        shuffle: bool,
        tile: Tile,
    ) -> Result<Self> {
        let channels = Channels::new(parts, weight.size()[0], shuffle);
        let (groups, output) = (channels.groups, channels.output);
        let g = tile.of_window()?;
        let points = g
            .f_matmul(&weight.f_to_kind(Kind::Double)?)?
            .f_matmul(&g.f_transpose(0, 1)?)?; // [C', C, side + 2, side + 2]
        // A shuffle's four output channels of one place go to four pixels: they come apart first.
        let points = points
            .f_reshape([output, groups, -1, (tile.side() + 2) * (tile.side() + 2)])?
            .f_permute([1, 3, 2, 0])?; // [groups, points, C, channels]
        let (mut at, mut padded) = (0, vec![]);
        for &part in parts {
            let points = points.f_narrow(2, at, part)?;
            padded.push(points.f_constant_pad_nd([0, 0, 0, round_up(part, LANES) - part])?);
            at += part;
        }
        let points = Tensor::f_cat(&padded, 2)?.f_to_kind(Kind::Float)?;
        let bias = bias.f_reshape([output, groups])?.f_transpose(0, 1)?;
        let (mut packed, mut biases) = (vec![], vec![]);
        for group in 0..groups {
            let (points, bias) = (points.f_select(0, group)?, bias.f_select(0, group)?);
            for (first, taken, n) in channels.blocks() {
                let missing = n - taken;
                let block = points.f_narrow(2, first, taken)?;
                packed.push(block.f_constant_pad_nd([0, missing])?.f_reshape([-1])?);
                let bias = bias.f_narrow(0, first, taken)?;
                biases.push(bias.f_constant_pad_nd([0, missing])?);
            }
        }
        Ok(Self {
            packed: Tensor::f_cat(&packed, 0)?,
            bias: Tensor::f_cat(&biases, 0)?
                .f_to_kind(Kind::Float)?
                .f_contiguous()?,
            channels,
            tile,
        })
    }

    /// Whether they are for inputs of these channels, with a shuffle or without.
    pub fn fits(&self, parts: &[&Tensor], shuffle: bool) -> bool {
        self.channels.fits(parts, shuffle)
    }

    /// The convolution with padding 1 of `parts` `[1, C_i, H, W]`, fp32 on the CPU, joined: `[1, C', H,
    /// W]`, or `[1, C'/4, 2H, 2W]` with a shuffle. Negative values of it are multiplied by `slope` (1
    /// leaves them, 0 makes a ReLU), then `residual`, of the output's shape, is added. It gives up soon
    /// after `stop` is set.
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
        let taken = self.channels.take(parts, residual, Kind::Float)?;
        let (n, h, w) = taken.size;
        if n != 1 {
            return Err(Error::Broken(format!("winograd: {n} pictures")));
        }
        let depth = self.channels.parts.iter().map(|&c| round_up(c, LANES));
        let job = Job {
            sources: taken.sources.as_ptr(),
            n_sources: int(taken.sources.len() as i64)?,
            height: int(h)?,
            width: int(w)?,
            weights: data(&self.packed),
            bias: data(&self.bias),
            depth: int(depth.sum())?,
            groups: int(self.channels.groups)?,
            channels: int(self.channels.output)?,
            slope: slope as f32,
            residual: taken.residual().cast(),
            out: taken.out().cast(),
            tile: int(self.tile.side())?,
        };
        let stop = stop.map_or(std::ptr::null(), |stop| stop.as_ptr().cast::<c_uchar>());
        // SAFETY: all pointers are of live fp32 tensors, channels last and of the sizes given, which was
        // checked when they were taken; the output is new, so nothing else sees it being written. AtomicBool
        // has the size of a byte, and `stop` outlives the call.
        let status = unsafe { refvsr_winograd(&job, tch::get_num_threads().max(1), stop) };
        taken.finished(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::{
        direct,
        joined::tests::{plain, rand},
    };
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 100,
            rng_seed: proptest::test_runner::RngSeed::Fixed(43),
            ..ProptestConfig::default()
        })]

        #[test]
        fn equals_the_direct_form(
            parts in prop::collection::vec(1..=40i64, 1..=3),
            channels in 1..=40i64,
            (h, w) in (1..=23i64, 1..=41i64),
            shuffle in any::<bool>(),
            slope in prop::sample::select(vec![0.0, 0.1, 0.2, 1.0]),
            add in any::<bool>(),
            tile in prop::sample::select(vec![Tile::Two, Tile::Four]),
            seed in 0..1000i64,
        ) {
            tch::manual_seed(seed);
            let inputs: Vec<Tensor> = parts.iter().map(|&c| rand(&[1, c, h, w])).collect();
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            let (out, factor) = if shuffle { (4 * channels, 2) } else { (channels, 1) };
            let depth: i64 = parts.iter().sum();
            let weight = rand(&[out, depth, 3, 3]) / (9 * depth) as f64;
            let bias = rand(&[out]);
            let residual = add.then(|| rand(&[1, channels, factor * h, factor * w]));
            let packed = Weights::new(&weight, &bias, &parts, shuffle, tile).unwrap();
            assert!(packed.fits(&inputs, shuffle) && !packed.fits(&inputs, !shuffle));
            let found = packed.convolve(&inputs, slope, residual.as_ref(), None).unwrap();
            let weights = (&weight, &bias);
            let expected = plain(&inputs, weights, shuffle, slope, residual.as_ref());
            assert_eq!(found.size(), expected.size());
            let off = (&found - &expected).abs().max().double_value(&[]);
            assert!(off < 1e-5, "off by {off:.1e}");
        }
    }

    #[test]
    fn a_picture_of_many_tiles_and_threads() {
        tch::manual_seed(7);
        let x = rand(&[1, 64, 70, 101]);
        let (weight, bias) = (rand(&[64, 64, 3, 3]) / 576.0, rand(&[64]));
        let expected = plain(&[&x], (&weight, &bias), false, 0.1, Some(&x));
        for tile in [Tile::Two, Tile::Four] {
            let packed = Weights::new(&weight, &bias, &[64], false, tile).unwrap();
            let found = packed.convolve(&[&x], 0.1, Some(&x), None).unwrap();
            assert!((found - &expected).abs().max().double_value(&[]) < 1e-5);
        }
    }

    #[test]
    fn tiles_of_two_round_no_more_than_the_direct_form() {
        tch::manual_seed(11);
        for (channels, positive) in [(64, false), (64, true), (24, true)] {
            // Features behind a ReLU are positive.
            let x = rand(&[1, channels, 64, 96]);
            let x = if positive { x.abs() } else { x };
            let weight = rand(&[channels, channels, 3, 3]) / (3.0 * (channels as f64).sqrt());
            let bias = rand(&[channels]);
            let truth = {
                let double = |x: &Tensor| x.to_kind(Kind::Double);
                let weights = (&double(&weight), &double(&bias));
                plain(&[&double(&x)], weights, false, 1.0, None)
            };
            let off = |found: Tensor| {
                let off = found.to_kind(Kind::Double) - &truth;
                off.square().mean(Kind::Double).sqrt().double_value(&[])
            };
            let winograd = |tile| {
                let packed = Weights::new(&weight, &bias, &[channels], false, tile).unwrap();
                off(packed.convolve(&[&x], 1.0, None, None).unwrap())
            };
            let kind = Kind::Float;
            let ours = direct::Weights::new(&weight, &bias, &[channels], false, kind).unwrap();
            let ours = off(ours.convolve(&[&x], 1.0, None, None).unwrap());
            let libtorch = off(plain(&[&x], (&weight, &bias), false, 1.0, None));
            let (two, four) = (winograd(Tile::Two), winograd(Tile::Four));
            assert!(
                two <= ours.max(libtorch),
                "{two:.2e} and {ours:.2e}, {libtorch:.2e}"
            );
            assert!(four <= 20.0 * ours, "{four:.2e} and {ours:.2e}");
        }
    }

    #[test]
    fn a_part_of_the_rows_from_a_whole_tile_on_is_the_same_bit_for_bit() {
        tch::manual_seed(3);
        let x = rand(&[1, 24, 20, 70]);
        let (weight, bias) = (rand(&[24, 24, 3, 3]) / 200.0, rand(&[24]));
        for tile in [Tile::Two, Tile::Four] {
            let packed = Weights::new(&weight, &bias, &[24], false, tile).unwrap();
            let whole = packed.convolve(&[&x], 0.1, Some(&x), None).unwrap();
            let part = x.narrow(2, 4, 12);
            let found = packed.convolve(&[&part], 0.1, Some(&part), None).unwrap();
            // Tiles that reach over its first and last row see zeros there, and round otherwise.
            let (first, rows) = (tile.side(), 12 - 2 * tile.side());
            let whole = whole.narrow(2, 4 + first, rows);
            assert!(found.narrow(2, first, rows).equal(&whole));
        }
    }

    #[test]
    fn it_stops_when_told_and_refuses_what_it_was_not_made_for() {
        let (x, weight, bias) = (rand(&[1, 8, 40, 40]), rand(&[8, 8, 3, 3]), rand(&[8]));
        let packed = Weights::new(&weight, &bias, &[8], false, Tile::Four).unwrap();
        let stop = AtomicBool::new(true);
        let stopped = packed.convolve(&[&x], 1.0, None, Some(&stop));
        assert!(matches!(stopped, Err(Error::Stopped)));
        let wrong = [
            rand(&[1, 9, 40, 40]),
            x.to_kind(Kind::Double),
            rand(&[2, 8, 4, 4]),
        ];
        for x in &wrong {
            assert!(matches!(
                packed.convolve(&[x], 1.0, None, None),
                Err(Error::Broken(_))
            ));
        }
        let residual = rand(&[1, 8, 39, 40]);
        let found = packed.convolve(&[&x], 1.0, Some(&residual), None);
        assert!(matches!(found, Err(Error::Broken(_))));
    }
}
