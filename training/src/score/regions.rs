//! Parts of a picture that are scored by themselves.

use anyhow::{Result, bail, ensure};
use refvsr::metrics;
use refvsr_tools::figures::{self, Figures, Pair};
use tch::{Device, Tensor};

/// Their names. Inner parts are shares of both sides, as in the paper.
pub const REGIONS: [&str; 8] = [
    "whole frame",
    "inner 0.9",
    "inner 0.8",
    "inner 0.7",
    "inner 0.6",
    "inner 0.5 (wide)",
    "outside the wide",
    "inner 0.2 (tele)",
];
/// The wide camera's field in [`REGIONS`].
pub const WIDE: usize = 5;
/// What lies outside it.
pub const OUTSIDE: usize = 6;
/// The tele camera's field.
pub const TELE: usize = 7;

/// PSNR (dB, RGB) and SSIM of each of [`REGIONS`].
pub type Measured = [(f64, f64); REGIONS.len()];

/// Of a picture and its truth, `[1, 3, H, W]`.
///
/// # Errors
/// Where they differ in size.
pub fn measure(out: &Tensor, truth: &Tensor) -> Result<Measured> {
    let out = out.f_to_device(Device::Cpu)?;
    let Figures { whole, fields, .. } = figures::measure(&out, truth)?;
    ensure!(fields.len() == 5, "{} fields of view", fields.len());
    let pair = |pair: Pair| (pair.psnr, pair.ssim);
    let mut measured = [pair(whole); REGIONS.len()];
    for (to, field) in measured[1..=WIDE].iter_mut().zip(&fields) {
        *to = pair(field.inside);
    }
    measured[OUTSIDE] = pair(fields[4].outside);
    let [_, _, h, w] = truth.size()[..] else {
        bail!("a truth of {:?}", truth.size())
    };
    let tele = |x: &Tensor| {
        x.f_narrow(2, h * 2 / 5, h / 5)
            .and_then(|x| x.f_narrow(3, w * 2 / 5, w / 5))
    };
    measured[TELE] = (
        metrics::psnr(&tele(&out)?, &tele(truth)?)?,
        metrics::ssim(&tele(&out)?, &tele(truth)?)?,
    );
    Ok(measured)
}
