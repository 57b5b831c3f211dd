//! The losses of the paper, by the names its configs give them.

pub mod contextual;
pub mod vgg;

use crate::{
    losses::contextual::{Form, contextual},
    losses::vgg::Vgg,
    precision::Precision,
};
use anyhow::{Context, Result, bail, ensure};
pub use contextual::Loss;
use std::{fmt, str::FromStr};
use tch::{Kind, Reduction, Tensor};

/// Where the Huber loss turns from the square to the absolute difference.
const HUBER: f64 = 0.02;

/// Mean squared error that a patch is taken to have besides its own, 50 dB: what is nearly right must
/// not rule.
const NEARLY_RIGHT: f64 = 1e-5;

/// One kind of loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// Mean absolute difference to the truth.
    L1,
    /// Half the squared difference up to 0.02, the absolute one (as steep as the square is there)
    /// from there on (`Huber`): what PSNR goes by, without letting rare large ones rule.
    Huber,
    /// The negative PSNR of a patch in dB, as in NAFNet (`PSNR`): every patch counts alike, as clips do
    /// in a mean of PSNRs, but less from 50 dB on.
    Psnr,
    /// The same of both pictures blurred: no demand on detail (`L1_lf`).
    L1LowFrequency,
    /// Contextual, both ways between output and truth (`FID_hr`).
    ToTruth(Form),
    /// Contextual, output against all reference frames seen so far (`MFID_ref`).
    ToReferences(Form),
}

/// A weighted sum of losses, written as `1*L1_lf+0.05*MFID_ref_X_mu+0.01*FID_hr`.
#[derive(Debug, Clone, PartialEq)]
pub struct Losses {
    terms: Vec<(f64, Term, String)>,
}

impl FromStr for Losses {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut terms = vec![];
        for term in text.split('+').map(str::trim).filter(|t| !t.is_empty()) {
            let (weight, name) = term.split_once('*').unwrap_or(("1", term));
            let (weight, name) = (weight.trim(), name.trim());
            let weight: f64 = weight
                .parse()
                .ok()
                .filter(|w: &f64| w.is_finite() && *w >= 0.0)
                .with_context(|| {
                    format!("loss '{term}': weight '{weight}' is not a number of at least 0")
                })?;
            let kind = kind_of(name).with_context(|| {
                format!("loss '{name}' is not one of L1, Huber, PSNR, L1_lf, FID_hr, MFID_ref; the last two may be followed by _CoBi, _X_mu, _L2")
            })?;
            if terms.iter().any(|(_, _, other)| other == name) {
                bail!("loss '{name}' is named twice in '{text}'");
            }
            terms.push((weight, kind, name.to_owned()));
        }
        ensure!(
            !terms.is_empty(),
            "'{text}' names no loss; an example is '1*L1_lf+0.05*MFID_ref_X_mu+0.01*FID_hr'"
        );
        Ok(Self { terms })
    }
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (weight, _, name)) in self.terms.iter().enumerate() {
            write!(f, "{}{weight}*{name}", if i == 0 { "" } else { "+" })?;
        }
        Ok(())
    }
}

fn kind_of(name: &str) -> Option<Term> {
    match name {
        "L1" => return Some(Term::L1),
        "Huber" => return Some(Term::Huber),
        "PSNR" => return Some(Term::Psnr),
        "L1_lf" => return Some(Term::L1LowFrequency),
        _ => (),
    }
    let (kind, rest): (fn(Form) -> Term, _) =
        match (name.strip_prefix("FID_hr"), name.strip_prefix("MFID_ref")) {
            (Some(rest), _) => (Term::ToTruth, rest),
            (_, Some(rest)) => (Term::ToReferences, rest),
            _ => return None,
        };
    let mut form = Form::default();
    let mut rest = rest;
    for (suffix, set) in [
        ("_CoBi", &mut form.spatial),
        ("_X_mu", &mut form.own_mean),
        ("_L2", &mut form.squared),
    ] {
        if let Some(shorter) = rest.strip_prefix(suffix) {
            (*set, rest) = (true, shorter);
        }
    }
    rest.is_empty().then(|| kind(form))
}

/// What an output is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The truth, `[1, 3, H, W]`; in adaptation the network's input.
    pub hr: &'a Tensor,
    /// [`Vgg::features_of_all`] of all reference frames of the clip up to the window's last, `[N, C, h, w]`.
    pub reference_features: Option<&'a Tensor>,
    /// The output is reduced (bicubic) by this factor, and limited to \[0, 1\], before L1, L1_lf and FID_hr compare it: the scale in
    /// adaptation, else none.
    pub reduce: Option<i64>,
}

/// All losses of one output.
#[derive(Debug)]
pub struct Report {
    /// Weighted, by name.
    pub parts: Vec<(String, Tensor)>,
    /// Their sum.
    pub total: Loss,
}

impl Losses {
    /// Whether VGG19 is needed.
    pub fn needs_vgg(&self) -> bool {
        self.terms
            .iter()
            .any(|(_, kind, _)| matches!(kind, Term::ToTruth(_) | Term::ToReferences(_)))
    }

    /// Whether features of reference frames are needed.
    pub fn needs_references(&self) -> bool {
        self.terms
            .iter()
            .any(|(_, kind, _)| matches!(kind, Term::ToReferences(_)))
    }

    /// The names of the losses, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.terms.iter().map(|(_, _, name)| name.as_str())
    }

    /// The losses of an output `[1, 3, s p, s p]`, not limited to \[0, 1\]. VGG19's features are computed in `precision`, what compares them in fp32.
    ///
    /// # Errors
    /// Where shapes do not fit or something needed is missing.
    pub fn of(
        &self,
        sr: &Tensor,
        target: Target<'_>,
        vgg: Option<&Vgg>,
        precision: Precision,
    ) -> Result<Report> {
        let reduced = seen_by_pixel_losses(sr, target.reduce)?;
        ensure!(
            reduced.size() == target.hr.size(),
            "the output is {:?}, the truth {:?}",
            reduced.size(),
            target.hr.size()
        );
        let features = |x: &Tensor| {
            vgg.context("these losses need VGG19 weights")
                .and_then(|vgg| precision.compute(|| vgg.features(x)))
        };
        let mut parts = vec![];
        let mut total: Option<Loss> = None;
        for (weight, kind, name) in &self.terms {
            let loss = match kind {
                Term::L1 => Loss::plain(l1(&reduced, target.hr)?),
                Term::Huber => {
                    Loss::plain(reduced.f_huber_loss(target.hr, Reduction::Mean, HUBER)?)
                }
                Term::Psnr => Loss::plain(
                    reduced
                        .f_mse_loss(target.hr, Reduction::Mean)?
                        .f_add_scalar(NEARLY_RIGHT)?
                        .f_log10()?
                        .f_mul_scalar(10.0)?,
                ),
                Term::L1LowFrequency =>
                // The blur is linear: blurring the difference is the same, with half the work and less rounding.
                {
                    Loss::plain(
                        blurred(&reduced.f_sub(target.hr)?)?
                            .f_abs()?
                            .f_mean(Kind::Float)?,
                    )
                }
                Term::ToTruth(form) => {
                    let (ours, truth) = (features(&reduced)?, features(target.hr)?);
                    contextual(&ours, &truth, *form)?.plus(&contextual(&truth, &ours, *form)?)?
                }
                Term::ToReferences(form) => {
                    let references = target
                        .reference_features
                        .context("this loss needs reference frames")?;
                    contextual(&features(sr)?, references, *form)?
                }
            };
            let loss = loss.times(*weight)?;
            parts.push((name.clone(), loss.value.shallow_clone()));
            total = Some(match total {
                None => loss,
                Some(sum) => sum.plus(&loss)?,
            });
        }
        Ok(Report {
            parts,
            total: total.context("no losses")?,
        })
    }
}

/// What L1, L1_lf, FID_hr and PSNR see of an output: with `reduce`, its bicubic reduction by that factor, limited to \[0, 1\]; else itself.
///
/// # Errors
/// Where libtorch refuses.
pub fn seen_by_pixel_losses(sr: &Tensor, reduce: Option<i64>) -> Result<Tensor> {
    match (reduce, &sr.size()[..]) {
        (Some(s), [_, _, h, w]) => Ok(sr
            .f_upsample_bicubic2d([h / s, w / s], false, None, None)?
            .f_clamp(0.0, 1.0)?),
        _ => Ok(sr.shallow_clone()),
    }
}

fn l1(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(a.f_sub(b)?.f_abs()?.f_mean(Kind::Float)?)
}

/// [`gaussian`] blur after reflecting two pixels outward: `[1, 3, H, W]` to `[1, 3, H + 2, W + 2]`.
///
/// # Errors
/// Where libtorch refuses.
pub fn blurred(x: &Tensor) -> Result<Tensor> {
    let kernel = gaussian()?.f_to_device(x.device())?;
    Ok(x.f_reflection_pad2d([2, 2, 2, 2])?.f_conv2d(
        &kernel,
        None::<&Tensor>,
        [1, 1],
        [0, 0],
        [1, 1],
        3,
    )?)
}

/// The kernel of [`blurred`], `[3, 1, 3, 3]`. The published one is a unit impulse in a 3 x 3 picture after a Gaussian filter of sigma 1 that
/// reaches 4 pixels far and mirrors the picture at its edge, so the bell's tails are folded back into the nine values.
///
/// # Errors
/// Where libtorch refuses.
pub fn gaussian() -> Result<Tensor> {
    let bell: Vec<f64> = (0..=4).map(|x| (-0.5 * f64::from(x * x)).exp()).collect();
    let (side, middle) = (bell[1] + bell[2] + bell[4], bell[0] + 2.0 * bell[3]);
    let sum = middle + 2.0 * side;
    let row = [side / sum, middle / sum, side / sum];
    let values: Vec<f32> = row
        .iter()
        .flat_map(|a| row.map(|b| (a * b) as f32))
        .collect();
    Ok(Tensor::f_from_slice(&values)?
        .f_view([1, 1, 3, 3])?
        .f_repeat([3, 1, 1, 1])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huber_and_psnr_go_by_squared_errors() {
        let truth = Tensor::zeros([1, 3, 8, 8], (Kind::Float, tch::Device::Cpu));
        let value = |name: &str, off: f64| {
            let losses: Losses = name.parse().unwrap();
            let target = Target {
                hr: &truth,
                reference_features: None,
                reduce: None,
            };
            let report = losses
                .of(&(&truth + off), target, None, Precision::Fp32)
                .unwrap();
            report.total.value.double_value(&[])
        };
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-4, "{found}");
        near(value("PSNR", 0.1), -20.0 + 10.0 * 1.001f64.log10());
        near(value("0.5*PSNR", 0.1), value("PSNR", 0.1) / 2.0);
        near(value("PSNR", 0.0), -50.0);
        near(value("1000*Huber", 0.01), 1000.0 * 0.01 * 0.01 / 2.0);
        near(value("1000*Huber", 0.1), 1000.0 * 0.02 * (0.1 - 0.01));
    }

    #[test]
    fn specs_round_trip_and_nonsense_is_refused() {
        let losses: Losses = "1*L1_lf + 0.05*MFID_ref_CoBi_X_mu+0.01*FID_hr+"
            .parse()
            .unwrap();
        assert_eq!(
            losses.to_string(),
            "1*L1_lf+0.05*MFID_ref_CoBi_X_mu+0.01*FID_hr"
        );
        assert!(losses.needs_vgg() && losses.needs_references());
        assert!(!"L1".parse::<Losses>().unwrap().needs_vgg());
        for bad in [
            "",
            "+",
            "x*L1",
            "-1*L1",
            "NaN*L1",
            "L2",
            "MFID_ref_X",
            "L1+L1",
            "1*",
        ] {
            assert!(bad.parse::<Losses>().is_err(), "{bad}");
        }
    }
}
