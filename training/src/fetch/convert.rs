//! Other projects' weights under this project's names.

use crate::losses::vgg::CONVS;
use anyhow::{Context, Result, bail, ensure};
use refvsr::checkpoint::Tensors;
use tch::{Kind, Tensor};

/// ImageNet's mean and standard deviation, red, green, blue.
const MEAN: [f64; 3] = [0.485, 0.456, 0.406];
const STD: [f64; 3] = [0.229, 0.224, 0.225];

/// VGG19's convolutions in the numbering of `vgg_normalized.pth`, which counts a 1 x 1 convolution in front and the padding layers.
const NORMALISED: [usize; 16] = [2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51];

/// The convolutions the losses need, up to relu4_4; a file may end there.
const NEEDED: usize = 12;

fn take(tensors: &Tensors, name: &str, shape: &[i64]) -> Result<Tensor> {
    let tensor = tensors
        .get(name)
        .with_context(|| format!("tensor '{name}' is missing"))?;
    ensure!(
        tensor.size() == shape,
        "tensor '{name}' is {:?}; {shape:?} expected",
        tensor.size()
    );
    ensure!(
        tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 1,
        "tensor '{name}' holds values that are not finite"
    );
    Ok(tensor.f_to_kind(Kind::Float)?)
}

/// VGG19 under torchvision's names (`features.I.weight`), for input normalised as ImageNet's is, and in words what was done. Reads torchvision's own
/// file, and `vgg_normalized.pth`.
///
/// # Errors
/// Where it is neither, or incomplete.
pub fn vgg19(tensors: &Tensors) -> Result<(Tensors, &'static str)> {
    let torchvision = tensors.contains_key("features.0.weight");
    if !torchvision && !tensors.contains_key("2.weight") {
        let some: Vec<&str> = tensors.keys().take(3).map(String::as_str).collect();
        bail!(
            "expected is torchvision's vgg19 ('features.0.weight' and so on) or vgg_normalized ('0.weight', '2.weight', ...); found is {some:?}"
        );
    }
    let mut layers = Tensors::new();
    for (n, ((feature, from, to), normalised)) in CONVS.into_iter().zip(NORMALISED).enumerate() {
        let source = if torchvision {
            format!("features.{feature}")
        } else {
            normalised.to_string()
        };
        if n >= NEEDED && !tensors.contains_key(&format!("{source}.weight")) {
            break;
        }
        layers.insert(
            format!("features.{feature}.weight"),
            take(tensors, &format!("{source}.weight"), &[to, from, 3, 3])?,
        );
        layers.insert(
            format!("features.{feature}.bias"),
            take(tensors, &format!("{source}.bias"), &[to])?,
        );
    }
    if torchvision {
        return Ok((layers, "none, it is torchvision's"));
    }
    let colour = (
        take(tensors, "0.weight", &[3, 3, 1, 1])?,
        take(tensors, "0.bias", &[3])?,
    );
    let (weight, bias) = fold(
        &colour.0,
        &colour.1,
        &layers["features.0.weight"],
        &layers["features.0.bias"],
    )?;
    layers.insert("features.0.weight".into(), weight);
    layers.insert("features.0.bias".into(), bias);
    Ok((
        layers,
        "Caffe's colour order and range were folded into the first convolution",
    ))
}

/// Folds a 1 x 1 convolution (Caffe's: blue first, 0 to 255, less a mean) and the way from ImageNet-normalised values to those it takes (red first,
/// 0 to 1) into the 3 x 3 convolution after it.
///
/// With n the normalised picture, the 1 x 1 convolution sees x = std n + mean and makes y = A x + b, so the 3 x 3 one sees y = (A std) n + (A mean + b).
/// Its weights take up A std. The constant A mean + b adds, over all nine taps, to its bias.
///
/// This is exact wherever the 3 x 3 window lies inside the picture. At the border the window sees padding, and the two networks pad with different
/// things: after folding, n = 0 stands outside the picture, which is the colour `mean`; before, y = 0 stood there in Caffe, which is
/// Caffe's mean colour (and in the package's own network, a reflection of the picture). With the folded bias, the result at the border is exactly that of
/// the original network for a picture surrounded by the colour `mean`. Caffe's mean and ImageNet's differ by 0.005, 0.5 and 0.4 of 255 (red, green,
/// blue), so that is all the colour of the surroundings differs by.
fn fold(
    colour: &Tensor,
    shift: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let double = |t: &Tensor| t.f_to_kind(Kind::Double);
    let a = double(colour)?.f_view([3, 3])?;
    let (mean, std) = (Tensor::f_from_slice(&MEAN)?, Tensor::f_from_slice(&STD)?);
    let constant = a.f_mv(&mean)? + double(shift)?; // [3]
    let scaled = a * std.f_view([1, 3])?; // [3 (out), 3 (in)]
    let weight = double(weight)?; // [64, 3, 3, 3]
    let folded = Tensor::f_einsum("ocij,ck->okij", &[&weight, &scaled], None::<i64>)?;
    let added = weight
        .f_sum_dim_intlist([2i64, 3].as_slice(), false, Kind::Double)?
        .f_mv(&constant)?; // [64]
    Ok((
        folded.f_to_kind(Kind::Float)?,
        (double(bias)? + added).f_to_kind(Kind::Float)?,
    ))
}

/// The first layers of the matching (conv1_1, conv1_2, conv2_1) from VGG19's.
pub fn matching(vgg: &Tensors) -> Tensors {
    let layer = |(name, tensor): (&String, &Tensor)| {
        let rest = name.strip_prefix("features.")?;
        let number = rest.split('.').next()?;
        ["0", "2", "5"].contains(&number).then(|| {
            (
                format!("feature_match.feature_extract.{rest}"),
                tensor.shallow_clone(),
            )
        })
    };
    vgg.iter().filter_map(layer).collect()
}

/// The name without what training frameworks put in front.
fn bare(name: &str) -> &str {
    let name = name.strip_prefix("module.").unwrap_or(name);
    name.strip_prefix("generator.").unwrap_or(name)
}

/// SPyNet as `FlowNet.basic_module.L.basic_module.J.conv`, from a file of its own or out of BasicVSR's. Reads BasicSR's numbering, which counts the ReLUs
/// (J = 0, 2, .. 8), and mmediting's (J = 0 .. 4, `.conv`).
///
/// # Errors
/// Where tensors are missing.
pub fn spynet(tensors: &Tensors) -> Result<Tensors> {
    const CHANNELS: [i64; 6] = [8, 32, 64, 32, 16, 2];
    let tensors: Tensors = tensors
        .iter()
        .map(|(name, tensor)| (bare(name), tensor))
        .map(|(name, tensor)| {
            (
                name.strip_prefix("spynet.").unwrap_or(name).to_owned(),
                tensor.shallow_clone(),
            )
        })
        .collect();
    let counts_relus = !tensors.contains_key("basic_module.0.basic_module.0.conv.weight");
    let mut flow = Tensors::new();
    for level in 0..6 {
        for (j, pair) in CHANNELS.windows(2).enumerate() {
            let source = format!("basic_module.{level}.basic_module.");
            let source = if counts_relus {
                format!("{source}{}", 2 * j)
            } else {
                format!("{source}{j}.conv")
            };
            let name = format!("FlowNet.basic_module.{level}.basic_module.{j}.conv");
            flow.insert(
                format!("{name}.weight"),
                take(
                    &tensors,
                    &format!("{source}.weight"),
                    &[pair[1], pair[0], 7, 7],
                )?,
            );
            flow.insert(
                format!("{name}.bias"),
                take(&tensors, &format!("{source}.bias"), &[pair[1]])?,
            );
        }
    }
    Ok(flow)
}

/// BasicVSR under the names of its published files, which are the registered variant's: without
/// buffers, and whatever a framework puts in front. Reads BasicSR's names and mmediting's.
///
/// # Errors
/// Where tensors are missing.
pub fn basicvsr(tensors: &Tensors) -> Result<Tensors> {
    const C: i64 = 64;
    let tensors: Tensors = tensors
        .iter()
        .map(|(name, tensor)| (bare(name).to_owned(), tensor.shallow_clone()))
        .collect();
    let mut network = Tensors::new();
    for (name, tensor) in spynet(&tensors)? {
        // FlowNet.basic_module.L.basic_module.J.conv.weight to spynet.basic_module.L.basic_module.2J.weight
        let parts: Vec<&str> = name.split('.').collect();
        let [_, _, level, _, number, _, rest] = parts[..] else {
            bail!("SPyNet's tensor '{name}' has another name than expected");
        };
        let number = 2 * number.parse::<usize>()?;
        network.insert(
            format!("spynet.basic_module.{level}.basic_module.{number}.{rest}"),
            tensor,
        );
    }
    let mut copy = |theirs: &str, other: &str, shape: [i64; 4]| -> Result<()> {
        let renamed = tensors.contains_key(&format!("{other}.weight"));
        let from = if renamed { other } else { theirs };
        for (part, shape) in [("weight", &shape[..]), ("bias", &shape[..1])] {
            let tensor = take(&tensors, &format!("{from}.{part}"), shape)?;
            network.insert(format!("{theirs}.{part}"), tensor);
        }
        Ok(())
    };
    for direction in ["backward", "forward"] {
        let (to, other) = (
            format!("{direction}_trunk.main"),
            format!("{direction}_resblocks.main"),
        );
        copy(&format!("{to}.0"), &format!("{other}.0"), [C, C + 3, 3, 3])?;
        let there =
            |trunk: &str, n: usize| tensors.contains_key(&format!("{trunk}.2.{n}.conv1.weight"));
        let blocks = (0..)
            .take_while(|&n| there(&to, n) || there(&other, n))
            .count();
        ensure!(blocks > 0, "tensor '{to}.2.0.conv1.weight' is missing");
        for n in 0..blocks {
            for conv in ["conv1", "conv2"] {
                copy(
                    &format!("{to}.2.{n}.{conv}"),
                    &format!("{other}.2.{n}.{conv}"),
                    [C, C, 3, 3],
                )?;
            }
        }
    }
    copy("fusion", "fusion", [C, 2 * C, 1, 1])?;
    copy("upconv1", "upsample1.upsample_conv", [4 * C, C, 3, 3])?;
    copy("upconv2", "upsample2.upsample_conv", [4 * C, C, 3, 3])?;
    copy("conv_hr", "conv_hr", [C, C, 3, 3])?;
    copy("conv_last", "conv_last", [3, C, 3, 3])?;
    Ok(network)
}

/// Of BasicVSR as [`basicvsr`] gives it, what RefVSR has as well, under its names: both trunks and the
/// layers from the second enlargement on.
pub fn shared(basicvsr: &Tensors) -> Tensors {
    let name = |name: &str| {
        let trunk = name.replacen("_trunk.", "_resblocks.", 1);
        if trunk != name {
            return Some(trunk);
        }
        if let Some(rest) = name.strip_prefix("upconv2.") {
            return Some(format!("upsample2.upsample_conv.{rest}"));
        }
        let same = name.starts_with("conv_hr.") || name.starts_with("conv_last.");
        same.then(|| name.to_owned())
    };
    basicvsr
        .iter()
        .filter_map(|(of, tensor)| Some((name(of)?, tensor.shallow_clone())))
        .collect()
}
