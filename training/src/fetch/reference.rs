//! A start for the reference encoder that sees detail.
//!
//! Convolutions as drawn give mostly local brightness: what a reference knows and the ultra-wide frame does not, its fine detail, comes out a hundred times weaker, and for thousands
//! of steps training does not find it.

use crate::filters::{COLOURS, cosines, diagonal, frequencies};
use anyhow::{Result, ensure};
use refvsr::checkpoint::Tensors;
use tch::{Device, Kind, Tensor};

/// Channels that are used: colours, frequencies, and both signs of each, as the leaky ReLU behind would lose one.
const USED: i64 = 3 * 9 * 2;

/// `ref_encoder1`: the discrete cosine transform of every 3 x 3 neighbourhood, then a convolution that passes everything on.
///
/// # Errors
/// For fewer channels than that has.
pub fn encoder(channels: i64) -> Result<Tensors> {
    ensure!(
        channels >= USED,
        "{channels} channels; at least {USED} expected"
    );
    let options = (Kind::Float, Device::Cpu);
    let transform = cosines(
        COLOURS
            .into_iter()
            .flat_map(|colour| frequencies().map(move |f| (colour, f))),
    )?
    .f_to_kind(Kind::Float)?;
    let transform = Tensor::f_cat(
        &[
            transform,
            Tensor::f_zeros([channels - USED, 3, 3, 3], options)?,
        ],
        0,
    )?;
    let onwards = diagonal(channels, 1.0)?.f_to_kind(Kind::Float)?;
    let mut tensors = Tensors::new();
    for (layer, weight) in [
        ("ref_encoder1.0.0", transform),
        ("ref_encoder1.1.0", onwards),
    ] {
        tensors.insert(format!("{layer}.weight"), weight);
        tensors.insert(
            format!("{layer}.bias"),
            Tensor::f_zeros([channels], options)?,
        );
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transform_loses_nothing() {
        let encoder = encoder(64).unwrap();
        let weight = encoder["ref_encoder1.0.0.weight"].reshape([64, 27]);
        let positive = weight.slice(0, 0, USED, 2);
        assert!(
            (&positive + weight.slice(0, 1, USED, 2))
                .abs()
                .max()
                .double_value(&[])
                == 0.0,
            "both signs"
        );
        // Orthogonal, but for the gains: the Gram matrix is diagonal.
        let gram = positive.matmul(&positive.transpose(0, 1));
        let diagonal = gram.diagonal(0, 0, 1);
        assert!((&gram - diagonal.diag(0)).abs().max().double_value(&[]) < 1e-4);
        assert!(
            diagonal.min().double_value(&[]) > 0.08 && diagonal.max().double_value(&[]) < 197.0
        );

        let grey = Tensor::full([1, 3, 5, 5], 0.5, (Kind::Float, Device::Cpu));
        let out = grey.conv2d(
            &encoder["ref_encoder1.0.0.weight"],
            Some(&encoder["ref_encoder1.0.0.bias"]),
            1,
            0,
            1,
            1,
        );
        let seen = out
            .abs()
            .amax([0i64, 2, 3].as_slice(), false)
            .gt(1e-4)
            .sum(Kind::Int64)
            .int64_value(&[]);
        assert_eq!(seen, 2, "a plain grey is seen by one pair of channels only");
        assert!(super::encoder(53).is_err());
    }
}
