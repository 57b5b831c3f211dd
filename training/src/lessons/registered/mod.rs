//! Lessons for the registered variant.

pub mod camera;
pub mod carrying;
pub mod features;
pub mod fusion;
pub mod live;
pub mod own;
pub mod steady;
mod streams;
pub mod trunks;

use crate::{
    lessons::{StepLosses, windows::psnr},
    losses::{Losses, Report, Target},
    precision::Precision,
};
use anyhow::Result;
use tch::Tensor;

/// What an output `[1, 3, 4 h, 4 w]` and its truth alone have to say.
fn against_truth(losses: &Losses, output: Tensor, hr: &Tensor) -> Result<StepLosses> {
    let target = Target {
        hr,
        reference_features: None,
        reduce: None,
    };
    let Report { parts, total } = losses.of(&output, target, None, Precision::Fp32)?;
    Ok(StepLosses {
        parts,
        total,
        psnr: tch::no_grad(|| psnr(&output, hr, None))?,
        output,
    })
}
