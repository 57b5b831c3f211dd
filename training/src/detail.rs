//! A start that sees detail, for runs of minutes.
//!
//! Convolutions as drawn give mostly local brightness, and through a chain as long as the one from a frame to the output hardly anything else is left: the last layers do not see the
//! fine detail that sharpening takes, and a short run ends at the bicubic enlargement it began with. Here every layer on the way passes on what it gets, so that the last
//! convolution sees, at the output's size and from the first step on, what the discrete cosine transform finds in every 3 x 3 neighbourhood of the frame.

use crate::filters::{COLOURS, bilinear_twice, cosines, diagonal, frequencies};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Writes the start into fresh weights; layers besides the way from a frame to the output stay as drawn. What they add to it is best zero at first (`start.zero`).
///
/// # Errors
/// Where a layer is missing or of another shape.
pub fn start(variables: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let shape = |name: &str| {
        variables
            .get(name)
            .map(Tensor::size)
            .with_context(|| format!("no weight '{name}'"))
    };
    let c = shape("conv_hr.weight")?
        .first()
        .copied()
        .unwrap_or_default();
    let (seen, pass) = (transform(c)?, diagonal(c, 1.0)?);
    let nothing = Tensor::f_zeros([c, c, 3, 3], (Kind::Double, Device::Cpu))?;
    // Both branches begin with the same: their mean.
    let half = Tensor::f_eye(c, (Kind::Double, Device::Cpu))?
        .f_mul_scalar(0.5)?
        .f_view([c, c, 1, 1])?;
    let mut layers = vec![
        ("upsample1.upsample_conv", bilinear_twice(c)?),
        ("feat_fusion2_1.0.0", Tensor::f_cat(&[&nothing, &pass], 1)?), // not the frame before's
        ("fusion_UP", Tensor::f_cat(&[&half, &half], 1)?),
        ("conv_hr", pass),
    ];
    if variables.contains_key("upsample2.upsample_conv.weight") {
        layers.push(("upsample2.upsample_conv", bilinear_twice(c)?));
    }
    for trunk in ["forward_resblocks.main.0", "backward_resblocks.main.0"] {
        let size = shape(&format!("{trunk}.weight"))?;
        // Of the trunk's input only the frame; the recurrent features come to it in training.
        let recurrent = Tensor::f_zeros(
            [seen.size()[0], size.get(1).map_or(0, |n| n - 3), 3, 3],
            (Kind::Double, Device::Cpu),
        )?;
        layers.push((trunk, Tensor::f_cat(&[&seen, &recurrent], 1)?));
    }
    for (layer, weight) in layers {
        write(variables, &format!("{layer}.weight"), &weight)?;
        let bias = Tensor::f_zeros([weight.size()[0]], (Kind::Double, Device::Cpu))?;
        write(variables, &format!("{layer}.bias"), &bias)?;
    }
    Ok(())
}

/// As much of the cosine transform as `channels` hold, `[n, 3, 3, 3]` with n up to `channels`. Brightness before colour, low frequencies before high ones; the local mean is
/// left out, as bicubic enlargement has it.
fn transform(channels: i64) -> Result<Tensor> {
    let mut frequencies: Vec<_> = frequencies().filter(|f| *f != (0, 0)).collect();
    frequencies.sort_by_key(|(v, u)| (v + u, *v.max(u)));
    let all = cosines(
        COLOURS
            .into_iter()
            .flat_map(|colour| frequencies.iter().map(move |f| (colour, *f))),
    )?;
    Ok(all.f_narrow(0, 0, channels.min(all.size()[0]))?)
}

/// Writes a weight's first channels; further ones stay as drawn.
fn write(variables: &mut BTreeMap<String, Tensor>, name: &str, values: &Tensor) -> Result<()> {
    let variable = variables
        .get_mut(name)
        .with_context(|| format!("no weight '{name}'"))?;
    let (size, ours) = (variable.size(), values.size());
    let fits = size.len() == ours.len() && size[1..] == ours[1..] && size[0] >= ours[0];
    ensure!(
        fits,
        "weight '{name}' is {size:?}, {ours:?} or more channels expected"
    );
    tch::no_grad(|| variable.f_narrow(0, 0, ours[0])?.f_copy_(values))?;
    Ok(())
}
