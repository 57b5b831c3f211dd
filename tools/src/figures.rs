//! Figures of frames compared with the truth, and their means.

use anyhow::Result;
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
    pub fields: Vec<Field>,
}

/// Compares a frame with the truth.
pub fn measure(picture: &Tensor, truth: &Tensor) -> Result<Figures> {
    Ok(Figures {
        whole: Pair {
            psnr: metrics::psnr(picture, truth)?,
            ssim: metrics::ssim(picture, truth)?,
        },
        fields: metrics::fields_of_view(picture, truth)?
            .iter()
            .map(field)
            .collect(),
    })
}

/// Root mean square of the difference to the picture before, in codes; none of the first. This picture
/// becomes the one before.
pub fn step(picture: &Tensor, before: &mut Option<Tensor>) -> Result<Option<f64>> {
    let before = before.replace(picture.shallow_clone());
    let root = |before: Tensor| -> Result<f64> {
        let squares = picture.f_sub(&before)?.f_square()?;
        Ok(255.0 * squares.f_mean(Kind::Double)?.f_double_value(&[])?.sqrt())
    };
    before.map(root).transpose()
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
    Some(Figures {
        whole: over(&|f| Some(f.whole))?,
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
            fields: vec![],
        };
        let of = |all: &[f64]| {
            let all: Vec<_> = all.iter().copied().map(figures).collect();
            mean(all.iter()).unwrap().whole.psnr
        };
        assert_eq!(of(&[30.0, f64::INFINITY, 40.0]), 35.0);
        assert_eq!(of(&[f64::INFINITY; 2]), f64::INFINITY);
    }
}
