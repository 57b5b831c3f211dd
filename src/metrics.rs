//! Picture quality: PSNR, SSIM, and both by field of view (paper, section 4 and tables 2 and 3).
//!
//! All take RGB `[1, 3, H, W]`, or one channel `[1, 1, H, W]`, with values in \[0, 1\], not rounded
//! to codes, without cropping a border; figures are computed in f64. docs/evaluate.md defines them.

use crate::{Error, Result};
use tch::{Kind, Tensor};

/// Peak signal-to-noise ratio in dB over all values, peak 1. Infinite for equal pictures.
///
/// # Errors
/// [`Error::Shape`] for pictures of unequal or wrong shapes.
pub fn psnr(a: &Tensor, b: &Tensor) -> Result<f64> {
    let everywhere = check(a, b)?.f_ones_like()?;
    psnr_where(&squared_error(a, b)?, &everywhere)
}

/// Structural similarity, as scikit-image computes it by default: 7 x 7 uniform window, sample
/// covariance, mean over the channels and over all positions whose window lies inside the picture.
///
/// # Errors
/// [`Error::Shape`] for pictures of unequal or wrong shapes or smaller than the window.
pub fn ssim(a: &Tensor, b: &Tensor) -> Result<f64> {
    let map = ssim_map(a, b)?;
    let (h, w) = (map.size()[0], map.size()[1]);
    let border = WINDOW / 2;
    Ok(map
        .f_narrow(0, border, h - 2 * border)?
        .f_narrow(1, border, w - 2 * border)?
        .f_mean(Kind::Double)?
        .f_double_value(&[])?)
}

/// Structural similarity as BasicSR computes it (and the authors of SSIM): 11 x 11 Gaussian window
/// of standard deviation 1.5, covariance of the population, mean over the channels and over all
/// positions whose window lies inside the picture.
///
/// # Errors
/// [`Error::Shape`] for pictures of unequal or wrong shapes or smaller than the window.
pub fn ssim_gaussian(a: &Tensor, b: &Tensor) -> Result<f64> {
    check_window(a, b, GAUSSIAN)?;
    let middle = (GAUSSIAN / 2) as f64;
    let weights: Vec<f64> = (0..GAUSSIAN)
        .map(|n| (-((n as f64 - middle) / SIGMA).powi(2) / 2.0).exp())
        .collect();
    let channels = a.size()[1];
    let row = Tensor::f_from_slice(&weights)?;
    let row = row.f_div(&row.f_sum(Kind::Double)?)?;
    let row = row.f_to_device(a.device())?.f_view([1, 1, 1, GAUSSIAN])?;
    let row = row.f_expand([channels, 1, 1, GAUSSIAN], false)?;
    let column = row.f_transpose(2, 3)?;
    let mean = |x: &Tensor| -> Result<Tensor> {
        let along = |x: &Tensor, kernel: &Tensor| {
            x.f_conv2d(kernel, None::<Tensor>, [1, 1], [0, 0], [1, 1], channels)
        };
        Ok(along(&along(x, &row)?, &column)?)
    };
    Ok(similarity(a, b, mean, 1.0)?
        .f_mean(Kind::Double)?
        .f_double_value(&[])?)
}

/// The brightness of RGB, `[1, 1, H, W]`: Y of BT.601 from 16/255 to 235/255, as MATLAB's `rgb2ycbcr`
/// and BasicSR have it.
///
/// # Errors
/// [`Error::Shape`] for anything but `[1, 3, H, W]`.
pub fn brightness(rgb: &Tensor) -> Result<Tensor> {
    if check(rgb, rgb)?.size()[1] != 3 {
        return Err(shape(rgb, rgb));
    }
    let weights = Tensor::f_from_slice(&[65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0])?;
    let weights = weights.f_view([1, 3, 1, 1])?.f_to_device(rgb.device())?;
    Ok(rgb
        .f_to_kind(Kind::Double)?
        .f_mul(&weights)?
        .f_sum_dim_intlist([1].as_slice(), true, Kind::Double)?
        .f_add_scalar(16.0 / 255.0)?)
}

/// Quality inside and outside a share of the field of view about its centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldOfView {
    /// The share of each side that is inside: 0.9 to 0.5. The wide camera sees the inner half.
    pub share: f64,
    /// The inner part.
    pub inside: Quality,
    /// All the rest.
    pub outside: Quality,
    /// The inner part without its own inner half of the whole (without what the wide camera sees);
    /// none for a share of 0.5.
    pub ring: Option<Quality>,
}

/// Both measures over a region.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// In dB, over the region's values.
    pub psnr: f64,
    /// The mean over the region of the whole picture's SSIM map (its edge mirrored).
    pub ssim: f64,
}

/// The field-of-view table: shares .9, .8, .7, .6 and .5. The inner part leaves out H/r rows and
/// W/r columns (rounded down) on each side, with r 20, 10, 6, 5 and 4.
///
/// # Errors
/// As [`ssim`], and [`Error::Shape`] for pictures of less than 20 pixels a side, where some of
/// these regions have no pixels.
pub fn fields_of_view(a: &Tensor, b: &Tensor) -> Result<Vec<FieldOfView>> {
    const ROWS: [(f64, i64); 5] = [(0.9, 20), (0.8, 10), (0.7, 6), (0.6, 5), (0.5, HALF)];
    const HALF: i64 = 4;
    let map = ssim_map(a, b)?;
    let (h, w) = (map.size()[0], map.size()[1]);
    // From 20 on, each 1/r leaves out a row or column more than the one before.
    if h.max(w) < ROWS[0].1 {
        return Err(Error::Shape {
            what: "fields of view".into(),
            actual: format!("{w}x{h}"),
            expected: format!("a side of at least {}", ROWS[0].1),
        });
    }
    let error = squared_error(a, b)?;
    let half = inner(&map, HALF)?;
    let row = |(share, r): (f64, i64)| -> Result<FieldOfView> {
        let inside = inner(&map, r)?;
        let outside = inside.f_neg()?.f_add_scalar(1.0)?;
        let ring = inside.f_sub(&half)?;
        let quality = |mask: &Tensor| -> Result<Quality> {
            let mean = map
                .f_mul(mask)?
                .f_sum(Kind::Double)?
                .f_div(&mask.f_sum(Kind::Double)?)?;
            Ok(Quality {
                psnr: psnr_where(&error, mask)?,
                ssim: mean.f_double_value(&[])?,
            })
        };
        Ok(FieldOfView {
            share,
            inside: quality(&inside)?,
            outside: quality(&outside)?,
            ring: if r == HALF {
                None
            } else {
                Some(quality(&ring)?)
            },
        })
    };
    ROWS.into_iter().map(row).collect()
}

const WINDOW: i64 = 7;
const GAUSSIAN: i64 = 11;
const SIGMA: f64 = 1.5;

/// 1 inside the part that leaves out 1/r on each side, 0 outside, of the map's shape.
fn inner(map: &Tensor, r: i64) -> Result<Tensor> {
    let (h, w) = (map.size()[0], map.size()[1]);
    let (top, left) = (h / r, w / r);
    let mask = map.f_zeros_like()?;
    _ = mask
        .f_narrow(0, top, h - 2 * top)?
        .f_narrow(1, left, w - 2 * left)?
        .f_fill_(1.0)?;
    Ok(mask)
}

fn squared_error(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    Ok(a.f_to_kind(Kind::Double)?
        .f_sub(&b.f_to_kind(Kind::Double)?)?
        .f_square()?)
}

/// PSNR of squared errors `[1, 3, H, W]`, weighted by a mask that broadcasts to it.
fn psnr_where(error: &Tensor, mask: &Tensor) -> Result<f64> {
    let mask = mask.f_to_kind(Kind::Double)?.f_expand_as(error)?;
    let mean = error
        .f_mul(&mask)?
        .f_sum(Kind::Double)?
        .f_div(&mask.f_sum(Kind::Double)?)?;
    Ok(-10.0 * mean.f_double_value(&[])?.log10())
}

/// SSIM at every position, mean over the channels, `[H, W]` f64.
fn ssim_map(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check_window(a, b, WINDOW)?;
    let mean = |x: &Tensor| -> Result<Tensor> {
        Ok(mirrored(x)?.f_avg_pool2d([WINDOW, WINDOW], [1, 1], [0, 0], false, true, None)?)
    };
    let n = (WINDOW * WINDOW) as f64;
    Ok(similarity(a, b, mean, n / (n - 1.0))?
        .f_squeeze_dim(0)?
        .f_mean_dim([0].as_slice(), false, Kind::Double)?)
}

/// SSIM `[1, C, ..]` by windows of which `mean` gives the mean; what that gives for variances is
/// multiplied by `unbiased`.
fn similarity(
    a: &Tensor,
    b: &Tensor,
    mean: impl Fn(&Tensor) -> Result<Tensor>,
    unbiased: f64,
) -> Result<Tensor> {
    let (a, b) = (a.f_to_kind(Kind::Double)?, b.f_to_kind(Kind::Double)?);
    let (mu_a, mu_b) = (mean(&a)?, mean(&b)?);
    let covariance = |x: &Tensor, y: &Tensor, mu_x: &Tensor, mu_y: &Tensor| -> Result<Tensor> {
        Ok(mean(&x.f_mul(y)?)?
            .f_sub(&mu_x.f_mul(mu_y)?)?
            .f_mul_scalar(unbiased)?)
    };
    let (var_a, var_b) = (
        covariance(&a, &a, &mu_a, &mu_a)?,
        covariance(&b, &b, &mu_b, &mu_b)?,
    );
    let cov = covariance(&a, &b, &mu_a, &mu_b)?;
    let (c1, c2) = (0.01f64.powi(2), 0.03f64.powi(2));
    let above = mu_a
        .f_mul(&mu_b)?
        .f_mul_scalar(2.0)?
        .f_add_scalar(c1)?
        .f_mul(&cov.f_mul_scalar(2.0)?.f_add_scalar(c2)?)?;
    let below = mu_a
        .f_square()?
        .f_add(&mu_b.f_square()?)?
        .f_add_scalar(c1)?
        .f_mul(&var_a.f_add(&var_b)?.f_add_scalar(c2)?)?;
    Ok(above.f_div(&below)?)
}

/// Half a window more on each side, mirrored with the edge repeated.
fn mirrored(x: &Tensor) -> Result<Tensor> {
    let along = |x: &Tensor, dim: i64| -> Result<Tensor> {
        let n = x.size()[dim as usize];
        let pad = WINDOW / 2;
        let source = |i: i64| if i < 0 { -1 - i } else { i.min(2 * n - 1 - i) };
        let index: Vec<i64> = (-pad..n + pad).map(source).collect();
        Ok(x.f_index_select(dim, &Tensor::f_from_slice(&index)?.f_to_device(x.device())?)?)
    };
    along(&along(x, 2)?, 3)
}

/// That both are alike and no smaller than a window.
fn check_window(a: &Tensor, b: &Tensor, window: i64) -> Result<()> {
    let (h, w) = (check(a, b)?.size()[2], a.size()[3]);
    if h < window || w < window {
        return Err(Error::Shape {
            what: "SSIM".into(),
            actual: format!("{w}x{h}"),
            expected: format!("at least {window}x{window}"),
        });
    }
    Ok(())
}

fn check<'a>(a: &'a Tensor, b: &Tensor) -> Result<&'a Tensor> {
    match (&a.size()[..], &b.size()[..]) {
        (x @ &[1, 1 | 3, h, w], y) if x == y && h > 0 && w > 0 => Ok(a),
        _ => Err(shape(a, b)),
    }
}

fn shape(a: &Tensor, b: &Tensor) -> Error {
    Error::Shape {
        what: "metrics".into(),
        actual: format!("{:?} and {:?}", a.size(), b.size()),
        expected: "two RGB pictures [1, 3, H, W] of one size".into(),
    }
}
