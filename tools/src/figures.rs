//! Figures of frames compared with the truth, and their means.

use anyhow::{Result, ensure};
use refvsr::metrics::{self, FieldOfView, Quality};
use serde::Serialize;
use tch::{Kind, Tensor};

/// PSNR in dB and SSIM; JSON has no infinity, so that equal pictures have a PSNR of `null`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pair {
    pub psnr: f64,
    pub ssim: f64,
}

/// Inside and outside a share of the field of view.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Field {
    pub share: f64,
    pub inside: Pair,
    pub outside: Pair,
    /// Inside, but outside what the wide camera sees.
    pub ring: Option<Pair>,
}

/// Everything about a frame, or the mean of many.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub whole: Pair,
    /// SSIM of the whole with windows of 11x11 pixels, as BasicSR has it, where it was asked for: it takes as long as the
    /// rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssim_gaussian: Option<f64>,
    pub fields: Vec<Field>,
}

/// What of a picture is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct View {
    /// Pixels at each edge that only the fields of view see.
    pub border: i64,
    /// The brightness alone.
    pub y_channel: bool,
}

impl View {
    /// The picture's channels that are compared.
    pub fn channels(self, picture: &Tensor) -> Result<Tensor> {
        Ok(match self.y_channel {
            true => metrics::brightness(picture)?,
            false => picture.shallow_clone(),
        })
    }

    /// A picture without its border.
    pub fn inner(self, picture: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = picture.size4()?;
        let (h, w) = (height - 2 * self.border, width - 2 * self.border);
        ensure!(
            h > 0 && w > 0,
            "a border of {} pixels leaves nothing of {width}x{height}",
            self.border
        );
        Ok(picture
            .f_narrow(2, self.border, h)?
            .f_narrow(3, self.border, w)?)
    }
}

/// Compares all of a frame with the truth.
pub fn measure(picture: &Tensor, truth: &Tensor) -> Result<Figures> {
    figures([picture, truth], [picture, truth])
}

/// Compares a frame with the truth, both as [`View::channels`] gives them, also by BasicSR's SSIM.
pub fn measure_in(view: View, picture: &Tensor, truth: &Tensor) -> Result<Figures> {
    let (inner, inner_truth) = (view.inner(picture)?, view.inner(truth)?);
    Ok(Figures {
        ssim_gaussian: Some(metrics::ssim_gaussian(&inner, &inner_truth)?),
        ..figures([&inner, &inner_truth], [picture, truth])?
    })
}

/// The figures of a picture and its truth without their borders, and those of the fields of view with them.
fn figures([inner, inner_truth]: [&Tensor; 2], [picture, truth]: [&Tensor; 2]) -> Result<Figures> {
    let fields = metrics::fields_of_view(picture, truth)?;
    Ok(Figures {
        whole: Pair {
            psnr: metrics::psnr(inner, inner_truth)?,
            ssim: metrics::ssim(inner, inner_truth)?,
        },
        ssim_gaussian: None,
        fields: fields.iter().map(field).collect(),
    })
}

/// How far a picture lies from the one before, in codes (root mean square).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Of the output.
    pub own: f64,
    /// Of the truth.
    pub truth: Option<f64>,
    /// Of the difference between both differences: what flickers, or does not move along.
    pub error: Option<f64>,
}

/// An output and its truth one after the other.
#[derive(Debug, Default)]
pub struct Steps(Option<(Tensor, Option<Tensor>)>);

impl Steps {
    /// The step to this picture; none to a clip's first.
    pub fn next(&mut self, picture: &Tensor, truth: Option<&Tensor>) -> Result<Option<Step>> {
        let now = (picture.shallow_clone(), truth.map(Tensor::shallow_clone));
        let Some((before, truth_before)) = self.0.replace(now) else {
            return Ok(None);
        };
        let change = picture.f_sub(&before)?;
        let truth_change = truth.zip(truth_before);
        let truth_change = truth_change.map(|(now, before)| now.f_sub(&before));
        let truth_change = truth_change.transpose()?;
        let root = |x: &Tensor| -> Result<f64> {
            let mean = x.f_square()?.f_mean(Kind::Double)?;
            Ok(255.0 * mean.f_double_value(&[])?.sqrt())
        };
        let error = |truth: &Tensor| root(&change.f_sub(truth)?);
        Ok(Some(Step {
            own: root(&change)?,
            truth: truth_change.as_ref().map(root).transpose()?,
            error: truth_change.as_ref().map(error).transpose()?,
        }))
    }
}

fn field(field: &FieldOfView) -> Field {
    let pair = |quality: Quality| Pair {
        psnr: quality.psnr,
        ssim: quality.ssim,
    };
    Field {
        share: field.share,
        inside: pair(field.inside),
        outside: pair(field.outside),
        ring: field.ring.map(pair),
    }
}

/// The mean of several; none of none. Pictures that equal the truth have no finite PSNR and are in no mean of it, unless all do.
pub fn mean<'a>(all: impl Iterator<Item = &'a Figures> + Clone) -> Option<Figures> {
    let first = all.clone().next()?;
    let over = |pick: &dyn Fn(&Figures) -> Option<Pair>| -> Option<Pair> {
        let pairs: Vec<Pair> = all.clone().filter_map(pick).collect();
        (!pairs.is_empty()).then(|| Pair {
            psnr: mean_psnr(pairs.iter().map(|pair| pair.psnr)),
            ssim: pairs.iter().map(|pair| pair.ssim).sum::<f64>() / pairs.len() as f64,
        })
    };
    let mut fields = Vec::new();
    for (n, field) in first.fields.iter().enumerate() {
        fields.push(Field {
            share: field.share,
            inside: over(&|f| Some(f.fields.get(n)?.inside))?,
            outside: over(&|f| Some(f.fields.get(n)?.outside))?,
            ring: over(&|f| f.fields.get(n)?.ring),
        });
    }
    let count = all.clone().count() as f64;
    let gaussian: Option<f64> = all.clone().map(|f| f.ssim_gaussian).sum();
    Some(Figures {
        whole: over(&|f| Some(f.whole))?,
        ssim_gaussian: gaussian.map(|sum| sum / count),
        fields,
    })
}

/// The mean of those that are finite; infinite where none is.
pub fn mean_psnr(all: impl Iterator<Item = f64>) -> f64 {
    let finite: Vec<f64> = all.filter(|psnr| psnr.is_finite()).collect();
    match finite.len() {
        0 => f64::INFINITY,
        n => finite.iter().sum::<f64>() / n as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_exact_frame_does_not_make_a_mean_infinite() {
        let figures = |psnr| Figures {
            whole: Pair { psnr, ssim: 0.5 },
            ssim_gaussian: None,
            fields: vec![],
        };
        let of = |all: &[f64]| {
            let all: Vec<_> = all.iter().copied().map(figures).collect();
            mean(all.iter()).unwrap().whole.psnr
        };
        assert_eq!(of(&[30.0, f64::INFINITY, 40.0]), 35.0);
        assert_eq!(of(&[f64::INFINITY; 2]), f64::INFINITY);
    }

    #[test]
    fn a_step_that_the_truth_does_not_make_is_an_error() {
        let of = |values: [f32; 3]| Tensor::from_slice(&values).view([1, 3, 1, 1]) / 255.0;
        let mut steps = Steps::default();
        let (a, b) = (of([10.0, 20.0, 30.0]), of([10.0, 20.0, 30.0]));
        assert_eq!(steps.next(&a, Some(&b)).unwrap(), None);
        // The output changes by 3, 0, 4 codes, the truth by 3, 5, 4.
        let (a, b) = (of([13.0, 20.0, 34.0]), of([13.0, 25.0, 34.0]));
        let step = steps.next(&a, Some(&b)).unwrap().unwrap();
        let close = |found: f64, expected: f64| (found - expected.sqrt()).abs() < 1e-4;
        assert!(close(step.own, 25.0 / 3.0), "{step:?}");
        assert!(close(step.truth.unwrap(), 50.0 / 3.0), "{step:?}");
        assert!(close(step.error.unwrap(), 25.0 / 3.0), "{step:?}");
        let without = steps.next(&a, None).unwrap().unwrap();
        assert_eq!((without.own, without.error), (0.0, None));
    }
}
