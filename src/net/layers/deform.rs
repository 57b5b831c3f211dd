//! Modulated deformable convolution (Zhu et al., "Deformable ConvNets v2", CVPR 2019): every tap of the kernel samples where it is told to.

use super::{
    conv::Conv,
    ops::{GRID, activated, centred, sample},
    variables::Path,
};
use crate::{
    Result,
    layout::{channels_last, size},
    native::sample::Outside,
};
use tch::{Tensor, nn::Init};

/// Groups of channels that share their offsets.
const GROUPS: i64 = 8;
/// Taps of the 3 x 3 kernel.
const TAPS: i64 = 9;

/// A 3 x 3 deformable convolution whose offsets and masks are predicted from a feature of its own (`dcn_pack`).
#[derive(Debug)]
pub struct DeformPack {
    weight: Tensor,
    bias: Tensor,
    conv_offset: Conv,
}

impl DeformPack {
    /// `channels` to `channels`, in 8 groups. Starts as the undeformed convolution with masks of one half.
    pub fn new(vs: Path<'_>, channels: i64) -> Result<Self> {
        let bound = 1.0 / ((channels * TAPS) as f64).sqrt();
        Ok(Self {
            weight: vs.variable(
                "weight",
                &[channels, channels, 3, 3],
                Init::Uniform {
                    lo: -bound,
                    up: bound,
                },
            )?,
            bias: vs.variable("bias", &[channels], Init::Const(0.0))?,
            conv_offset: Conv::zero(&vs / "conv_offset", channels, 3 * GROUPS * TAPS, 3)?.fp32(),
        })
    }

    /// `x` and `feature`, from which the offsets are predicted, are `[1, C, H, W]`; so is the result.
    pub fn forward(&self, x: &Tensor, feature: &Tensor) -> Result<Tensor> {
        let predicted = self.conv_offset.forward(feature)?;
        let offset = predicted.f_narrow(1, 0, 2 * GROUPS * TAPS)?;
        let mask = predicted
            .f_narrow(1, 2 * GROUPS * TAPS, GROUPS * TAPS)?
            .f_sigmoid()?;
        deform_conv(x, &offset, &mask, &self.weight, &self.bias)
    }

    /// [`forward`](Self::forward), then a leaky ReLU (0.1).
    pub fn forward_lrelu(&self, x: &Tensor, feature: &Tensor) -> Result<Tensor> {
        activated(self.forward(x, feature)?, 0.1)
    }
}

/// The convolution itself, differentiable in all its inputs.
///
/// `x` is `[1, C, H, W]`, `weight` `[C', C, 3, 3]`, `bias` `[C']`. `offset` is `[1, 8 * 9 * 2, H, W]`, laid out as (group, tap, (dy, dx)) in
/// pixels, `mask` `[1, 8 * 9, H, W]` as (group, tap). Tap (i, j) of pixel (y, x) samples bilinearly at (y - 1 + i + dy, x - 1 + j + dx), zero outside.
pub fn deform_conv(
    x: &Tensor,
    offset: &Tensor,
    mask: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<Tensor> {
    let (h, w) = size(x);
    let channels = x.size()[1];
    let options = (GRID, x.device());
    // Where each tap samples, in units in which -1 and 1 are the centres of the first and last pixels.
    let offset = offset.f_to_kind(GRID)?.f_view([GROUPS, TAPS, 2, h, w])?;
    let tap = Tensor::f_arange(3, options)?.f_sub_scalar(1.0)?;
    let (rows, columns) = (
        Tensor::f_arange(h, options)?.f_view([h, 1])?,
        Tensor::f_arange(w, options)?.f_view([1, w])?,
    );
    let tap_rows = tap
        .f_view([3, 1])?
        .f_expand([3, 3], false)?
        .f_reshape([TAPS, 1, 1])?;
    let tap_columns = tap
        .f_view([1, 3])?
        .f_expand([3, 3], false)?
        .f_reshape([TAPS, 1, 1])?;
    let y = centred(&offset.f_select(2, 0)?.f_add(&tap_rows)?.f_add(&rows)?, h)?; // [8, 9, H, W]
    let column = centred(
        &offset
            .f_select(2, 1)?
            .f_add(&tap_columns)?
            .f_add(&columns)?,
        w,
    )?;
    let grid = Tensor::f_stack(&[column, y], 4)?.f_view([GROUPS, TAPS * h, w, 2])?;
    // Each group of channels is sampled by its own grid, all nine taps at once.
    let group = channels / GROUPS;
    let kind = x.kind();
    let x = channels_last(x)?
        .f_permute([0, 2, 3, 1])?
        .f_reshape([h, w, GROUPS, group])?
        .f_permute([2, 3, 0, 1])?;
    let sampled = sample(&x, &grid, Outside::Zeros, true)? // [8, C/8, 9 H, W]
        .f_permute([0, 2, 3, 1])?
        .f_reshape([GROUPS, TAPS, h * w, group])?
        .f_mul(&mask.f_to_kind(kind)?.f_reshape([GROUPS, TAPS, h * w, 1])?)?;
    let rows = sampled
        .f_permute([2, 0, 1, 3])?
        .f_reshape([h * w, TAPS * channels])?;
    let weight = weight
        .f_to_kind(kind)?
        .f_reshape([-1, GROUPS, group, TAPS])?
        .f_permute([1, 3, 2, 0])?
        .f_reshape([TAPS * channels, -1])?;
    let out = bias.f_to_kind(kind)?.f_addmm(&rows, &weight)?;
    Ok(out.f_view([1, h, w, -1])?.f_permute([0, 3, 1, 2])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    struct Case {
        x: Tensor,
        offset: Tensor,
        mask: Tensor,
        weight: Tensor,
        bias: Tensor,
    }

    fn case(seed: i64, reach: f64) -> Case {
        tch::manual_seed(seed);
        let rand = |shape: &[i64]| Tensor::rand(shape, (Kind::Double, Device::Cpu)) - 0.5;
        Case {
            x: rand(&[1, 16, 5, 7]),
            offset: rand(&[1, 144, 5, 7]) * reach,
            mask: rand(&[1, 72, 5, 7]) + 0.5,
            weight: rand(&[4, 16, 3, 3]),
            bias: rand(&[4]),
        }
    }

    impl Case {
        fn run(&self) -> Tensor {
            deform_conv(&self.x, &self.offset, &self.mask, &self.weight, &self.bias).unwrap()
        }
    }

    /// One pixel, channel and tap after the other.
    fn naive(c: &Case) -> Vec<f64> {
        let (h, w) = (5i64, 7i64);
        let pixel = |channel: i64, y: i64, x: i64| {
            if (0..h).contains(&y) && (0..w).contains(&x) {
                c.x.double_value(&[0, channel, y, x])
            } else {
                0.0
            }
        };
        let bilinear = |channel: i64, y: f64, x: f64| {
            let (top, left) = (y.floor(), x.floor());
            let (fy, fx) = (y - top, x - left);
            let at = |dy: i64, dx: i64| pixel(channel, top as i64 + dy, left as i64 + dx);
            (1.0 - fy) * ((1.0 - fx) * at(0, 0) + fx * at(0, 1))
                + fy * ((1.0 - fx) * at(1, 0) + fx * at(1, 1))
        };
        let mut out = vec![];
        for o in 0..4 {
            for (row, column) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                let mut sum = c.bias.double_value(&[o]);
                for channel in 0..16 {
                    for tap in 0..9 {
                        let place = channel / 2 * 9 + tap; // 16 channels in 8 groups
                        let dy = c.offset.double_value(&[0, 2 * place, row, column]);
                        let dx = c.offset.double_value(&[0, 2 * place + 1, row, column]);
                        let (y, x) = (
                            (row - 1 + tap / 3) as f64 + dy,
                            (column - 1 + tap % 3) as f64 + dx,
                        );
                        let mask = c.mask.double_value(&[0, place, row, column]);
                        sum += c.weight.double_value(&[o, channel, tap / 3, tap % 3])
                            * mask
                            * bilinear(channel, y, x);
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn equals_a_naive_loop() {
        for (seed, reach) in [(1, 0.0), (2, 1.5), (3, 12.0)] {
            let case = case(seed, reach);
            let out = Vec::<f64>::try_from(case.run().reshape([-1])).unwrap();
            let off = out
                .iter()
                .zip(naive(&case))
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            assert!(off < 1e-5, "reach {reach}: {off}"); // positions are fp32
        }
    }

    #[test]
    fn without_offsets_and_masks_it_is_a_convolution() {
        let mut case = case(4, 0.0);
        case.mask = case.mask.ones_like();
        let expected = case
            .x
            .conv2d(&case.weight, Some(&case.bias), [1, 1], [1, 1], [1, 1], 1);
        assert!((case.run() - expected).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn gradients_are_finite_differences() {
        let mut case = case(5, 1.5);
        for tensor in [
            &mut case.x,
            &mut case.offset,
            &mut case.mask,
            &mut case.weight,
            &mut case.bias,
        ] {
            *tensor = tensor.set_requires_grad(true);
        }
        let weights = Tensor::rand([1, 4, 5, 7], (Kind::Double, Device::Cpu));
        let loss = |case: &Case| (case.run() * &weights).sum(Kind::Double);
        loss(&case).backward();
        let inputs: [(&str, &Tensor); 5] = [
            ("x", &case.x),
            ("offset", &case.offset),
            ("mask", &case.mask),
            ("weight", &case.weight),
            ("bias", &case.bias),
        ];
        // Steps that fp32 positions resolve, small enough to stay between two pixels nearly always.
        let step = 1e-3;
        for (name, tensor) in inputs {
            let n = tensor.numel() as i64;
            let mut wrong = 0;
            for probe in 0..12 {
                let at = probe * 7919 % n;
                let value = tensor.detach().reshape([-1]).double_value(&[at]);
                let moved = |to: f64| {
                    let _ = tch::no_grad(|| tensor.detach().view([-1]).narrow(0, at, 1).fill_(to));
                    tch::no_grad(|| loss(&case)).double_value(&[])
                };
                let difference = (moved(value + step) - moved(value - step)) / (2.0 * step);
                moved(value);
                let gradient = tensor.grad().reshape([-1]).double_value(&[at]);
                if (difference - gradient).abs() > 1e-3 * (1.0 + gradient.abs()) {
                    wrong += 1; // a sample that crossed a pixel's centre between the two steps has no derivative there
                }
            }
            assert!(wrong <= 1, "{name}: {wrong} of 12 gradients differ");
        }
    }
}
