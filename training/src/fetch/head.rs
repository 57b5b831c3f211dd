//! BasicVSR's last layers in RefVSR's order.
//!
//! With b and f the features of the two branches, BasicVSR ends in `lrelu(shuffle(up1 lrelu(fusion [b, f])))`: it fuses, then enlarges. RefVSR
//! enlarges each branch by one and the same `upsample1`, passes it through `feat_fusion2_1`, and then fuses (`fusion_UP`). Without the inner lrelu BasicVSR's
//! way is linear: `up1 (Wb b + Wf f)`. So what is looked for is one enlargement V and two mixtures with `Mb V = up1 Wb` and `Mf V = up1 Wf` for all four
//! places of the shuffle at once. The singular value decomposition of the two right sides, stacked, gives the best of rank C; with BasicVSR's
//! weights it keeps 86 % of their energy. The rest, the inner lrelu among it, is left to training.

use crate::filters::diagonal;
use anyhow::Result;
use refvsr::checkpoint::Tensors;
use tch::{Device, Kind, Tensor};

/// Added to the level-2 features, which then stay positive, where the leaky ReLU behind `feat_fusion2_1` leaves them alone. Those from BasicVSR lie within -1
/// to 1, nearly all within a tenth of that. More would make the first steps of training wild.
const OFFSET: f64 = 0.5;

/// `fusion` `[C, 2C, 1, 1]` and `up1` `[4C, C, 3, 3]`, weight and bias, as `upsample1`, `feat_fusion2_1`, `fusion_UP` and `feat_decoder_BWFW`.
///
/// The level-2 feature of the frame before is not looked at. `feat_decoder_BWFW` is the lrelu (0.1) that follows the shuffle; its blocks but
/// the first, and what is fused by confidence (`feat_fusion2`, `feat_fusion_BWFW`), are expected to start as nothing. The gates of those start wide open, at 1
/// whatever the confidence: as drawn they let a hundredth through, and what is behind them would learn as slowly.
///
/// # Errors
/// Where shapes do not fit.
pub fn reordered(fusion: (&Tensor, &Tensor), up1: (&Tensor, &Tensor)) -> Result<Tensors> {
    let double = |t: &Tensor| t.f_to_kind(Kind::Double);
    let (fusion, fusion_bias) = (double(fusion.0)?.f_flatten(1, -1)?, double(fusion.1)?); // [C, 2C]
    let (up, up_bias) = (double(up1.0)?, double(up1.1)?);
    let c = fusion.size()[0];

    // Rows are channels after the shuffle; columns its four places, the channels before, and the taps.
    let of_branch = |first: i64| -> Result<Tensor> {
        let both = Tensor::f_einsum(
            "okyx,ki->oiyx",
            &[&up, &fusion.f_narrow(1, first, c)?],
            None::<i64>,
        )?;
        Ok(both.f_reshape([c, 4 * c * 9])?)
    };
    let wanted = Tensor::f_cat(&[of_branch(0)?, of_branch(c)?], 0)?; // [2C, 36C]
    let (left, values, right) = wanted.f_svd(true, true)?; // right is transposed: [36C, 2C]
    let half = values.f_narrow(0, 0, c)?.f_sqrt()?;
    let mixtures = left.f_narrow(1, 0, c)?.f_mul(&half)?; // [2C, C]: Mb over Mf
    let enlarge = right
        .f_transpose(0, 1)?
        .f_narrow(0, 0, c)?
        .f_mul(&half.f_unsqueeze(1)?)?
        .f_reshape([4 * c, c, 3, 3])?;
    let mix = Tensor::f_cat(
        &[mixtures.f_narrow(0, 0, c)?, mixtures.f_narrow(0, c, c)?],
        1,
    )?; // [C, 2C]

    // The biases: what fusion's makes of up1, a mean over the four places, less what OFFSET adds.
    let constant = up
        .f_sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Double)?
        .f_mv(&fusion_bias)?
        .f_add(&up_bias)?;
    let constant =
        constant
            .f_reshape([c, 4])?
            .f_mean_dim([1i64].as_slice(), false, Kind::Double)?;
    let offset = mix
        .f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?
        .f_mul_scalar(OFFSET)?;

    let zeros = |shape: &[i64]| Tensor::f_zeros(shape, (Kind::Double, Device::Cpu));
    let nothing = |n: i64| zeros(&[n]);
    // x - lrelu(x, 0.2) is 0.8 x below zero and 0 above; 1.125 times that, taken from x, leaves 0.1 x below and x above.
    let block = "feat_decoder_BWFW.RBs.0";
    let layers = [
        (
            "upsample1.upsample_conv".to_owned(),
            enlarge,
            nothing(4 * c)?,
        ),
        (
            "feat_fusion2_1.0.0".into(),
            Tensor::f_cat(&[zeros(&[c, c, 3, 3])?, diagonal(c, 1.0)?], 1)?,
            nothing(c)?.f_add_scalar(OFFSET)?,
        ),
        (
            "fusion_UP".into(),
            mix.f_reshape([c, 2 * c, 1, 1])?,
            constant.f_sub(&offset)?,
        ),
        (format!("{block}.conv1"), diagonal(c, 1.0)?, nothing(c)?),
        (format!("{block}.conv2"), diagonal(c, -1.0)?, nothing(c)?),
        (
            "feat_decoder_BWFW.conv_tail".into(),
            diagonal(c, -1.125)?,
            nothing(c)?,
        ),
    ];
    let gate = |name: &str| -> Result<_> {
        Ok((
            format!("{name}.1.0"),
            zeros(&[c, 16, 3, 3])?,
            nothing(c)?.f_add_scalar(1.0)?,
        ))
    };
    let layers = layers
        .into_iter()
        .chain([gate("conf_fusion2")?, gate("conf_fusion_BWFW")?]);
    let mut tensors = Tensors::new();
    for (name, weight, bias) in layers {
        tensors.insert(
            format!("{name}.weight"),
            weight.f_to_kind(Kind::Float)?.f_contiguous()?,
        );
        tensors.insert(
            format!("{name}.bias"),
            bias.f_to_kind(Kind::Float)?.f_contiguous()?,
        );
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: i64 = 4;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.1
    }

    fn conv(tensors: &Tensors, name: &str, x: &Tensor) -> Tensor {
        let weight = &tensors[&format!("{name}.weight")];
        let pad = weight.size()[2] / 2;
        x.conv2d(
            weight,
            Some(&tensors[&format!("{name}.bias")]),
            [1, 1],
            [pad, pad],
            [1, 1],
            1,
        )
    }

    fn lrelu(x: &Tensor, slope: f64) -> Tensor {
        x.maximum(&(x * slope))
    }

    /// Where one enlargement serves both branches (they are fused by the same weights), the order makes no difference, but for the inner lrelu; and that does
    /// nothing where all is positive.
    #[test]
    fn one_enlargement_for_both_branches_is_found() {
        tch::manual_seed(3);
        let one = random(&[C, C, 1, 1]);
        let fusion = (Tensor::cat(&[&one, &one], 1), random(&[C]) + 5.0);
        let up1 = (
            random(&[4 * C, C, 3, 3]),
            Tensor::zeros([4 * C], (Kind::Float, Device::Cpu)),
        );
        // Biases differ by place in the shuffle; here they must not.
        let up1 = (
            up1.0
                .view([C, 4, C, 3, 3])
                .narrow(1, 0, 1)
                .expand([C, 4, C, 3, 3], false)
                .reshape([4 * C, C, 3, 3]),
            up1.1,
        );
        let (b, f) = (random(&[1, C, 6, 7]), random(&[1, C, 6, 7]));

        let fused = Tensor::cat(&[&b, &f], 1).conv2d(&fusion.0, Some(&fusion.1), 1, 0, 1, 1);
        let theirs = lrelu(
            &lrelu(&fused, 0.1)
                .conv2d(&up1.0, Some(&up1.1), 1, 1, 1, 1)
                .pixel_shuffle(2),
            0.1,
        );

        let ours = reordered((&fusion.0, &fusion.1), (&up1.0, &up1.1)).unwrap();
        let branch = |x: &Tensor| {
            let up = conv(&ours, "upsample1.upsample_conv", x).pixel_shuffle(2);
            lrelu(
                &conv(
                    &ours,
                    "feat_fusion2_1.0.0",
                    &Tensor::cat(&[&up.ones_like(), &up], 1),
                ),
                0.2,
            )
        };
        let x = conv(
            &ours,
            "fusion_UP",
            &Tensor::cat(&[branch(&b), branch(&f)], 1),
        );
        let hidden = lrelu(&conv(&ours, "feat_decoder_BWFW.RBs.0.conv1", &x), 0.2);
        let y = &x + conv(&ours, "feat_decoder_BWFW.RBs.0.conv2", &hidden);
        let out = &x + conv(&ours, "feat_decoder_BWFW.conv_tail", &y);
        // At the border fusion's bias meets the padding.
        let inner = |t: &Tensor| t.slice(2, 2, 10, 1).slice(3, 2, 12, 1);
        let off = (inner(&out) - inner(&theirs)).abs().max().double_value(&[]);
        assert!(
            off < 1e-4 && theirs.std(false).double_value(&[]) > 0.01,
            "{off}"
        );
    }
}
