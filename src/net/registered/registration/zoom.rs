//! The coarse search for zoom, rotation and shift, where nothing is known yet.

use super::{
    placement::{Placement, whole},
    sampling::{Interpolation, pixels, sample},
};
use crate::{
    Result,
    layout::size,
    net::{flow, layers::local::gaussian},
};
use tch::{Kind, Tensor};

/// A range of zooms that is looked through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Zooms {
    /// The smallest.
    pub from: f64,
    /// The largest.
    pub to: f64,
}

/// What phones' wide lenses have over their ultra-wide ones, and some more.
pub const WIDE_ZOOMS: Zooms = Zooms { from: 1.3, to: 3.4 };
/// What phones' tele lenses have over their ultra-wide ones.
pub const TELE_ZOOMS: Zooms = Zooms {
    from: 3.2,
    to: 11.0,
};

impl Zooms {
    /// About a zoom that is nearly known.
    pub fn about(zoom: f64) -> Self {
        Self {
            from: zoom / 1.12,
            to: zoom * 1.12,
        }
    }

    /// Whether a zoom is one of them.
    pub(super) fn contain(self, zoom: f64) -> bool {
        (self.from..=self.to).contains(&zoom)
    }

    /// Zooms at a constant ratio of at most [`STEP`], both ends included.
    fn steps(self) -> Vec<f64> {
        let range = (self.to / self.from).max(1.0);
        let n = (range.ln() / STEP.ln()).ceil().max(0.0);
        (0..=n as i64)
            .map(|k| self.from * range.powf(k as f64 / n.max(1.0)))
            .collect()
    }
}

/// From one zoom to the next: half a pixel at the edge of a reference of [`WIDTH`] pixels.
const STEP: f64 = 1.035;
/// Degrees of rotation that are looked at.
const ROTATIONS: [f64; 5] = [-4.0, -2.0, 0.0, 2.0, 4.0];
/// The width in pixels that references are compared at, where the ultra-wide frame has that many of
/// it.
const WIDTH: f64 = 64.0;
/// The inner part of the reference that is compared: rotated, it must not reach over the edge.
const INNER: f64 = 0.8;
/// The least side of that part.
const LEAST: i64 = 12;
/// Correlation from which on a place is worth a closer look. True places reach 0.9, the best of all
/// wrong ones 0.4; true ones in soft pictures of which the reference sees a part differently as
/// little as that.
const BELIEVED: f64 = 0.35;
/// The most places that are given out, but for those ahead.
const CANDIDATES: usize = 3;
/// So many places ahead are given out in any case. In soft pictures wrong places may score higher.
const AHEAD: usize = 3;
/// Places that differ by less in zoom and shift are one: registration leads from either to the same.
const SAME_PLACE: (f64, f64) = (0.15, 0.05);

/// A band of detail: the sigmas of the two blurs it lies between, in pixels.
#[derive(Debug, Clone, Copy)]
struct Band {
    fine: f64,
    coarse: f64,
}

/// Fine detail tells places apart, coarse detail is there in soft pictures too.
const BANDS: [Band; 2] = [
    Band {
        fine: 0.5,
        coarse: 3.0,
    },
    Band {
        fine: 1.5,
        coarse: 6.0,
    },
];
/// Contrast that counts as none: this share of the mean square of a picture's detail.
const PLAIN: f64 = 0.1;

/// Where `reference` `[1, 3, H, W]` may lie in `frame` `[1, 3, h, w]`, to a pixel or two, with the
/// correlations found there, the highest first: the best of all zooms of the range, rotations of up
/// to 4 degrees and shifts, and up to two more that lie elsewhere; then the best ones near the frame's
/// centre, until there are three of those. None where nothing is alike enough. Which of them is right,
/// if any, only registration tells.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where memory runs out.
pub fn search(frame: &Tensor, reference: &Tensor, zooms: Zooms) -> Result<Vec<(Placement, f64)>> {
    let w = size(frame).1;
    let ((height, width), (rows, columns)) = compared(size(frame), size(reference), zooms);
    let small = reduced(frame, height, width)?;
    let reference = reduced(reference, rows, columns)?;
    let to_frame = w as f64 / width as f64;
    let mut found = vec![];
    for band in BANDS {
        let image = Image::new(&detail(&small, band)?, band)?;
        for zoom in zooms.steps() {
            for (placement, score) in image.find(&reference, zoom)? {
                let (x, y) = placement.shift;
                let shift = (x * to_frame, y * to_frame);
                found.push((Placement { shift, ..placement }, score));
            }
        }
    }
    Ok(chosen(found, w))
}

/// The sizes (height, width) at which a frame and a reference of these sizes are compared.
fn compared(
    (h, w): (i64, i64),
    (rows, columns): (i64, i64),
    zooms: Zooms,
) -> ((i64, i64), (i64, i64)) {
    let middle = (zooms.from * zooms.to).sqrt();
    let factor = (WIDTH * middle / w as f64).min(1.0);
    let scaled = |n: i64| ((n as f64 * factor).round() as i64).max(1);
    // What is finer than the largest template shows is taken off once, not at every zoom.
    let most = (2.0 * scaled(w) as f64 / zooms.from).ceil() as i64;
    let reference = match columns > most {
        true => ((rows * most / columns).max(1), most),
        false => (rows, columns),
    };
    ((scaled(h), scaled(w)), reference)
}

/// Whether a reference of this size (height, width) can be found in a frame of that size at any of the
/// zooms. It cannot where the frame is too small for the flow network, or the reference covers too few of
/// its pixels.
pub fn can_be_found(frame: (i64, i64), reference: (i64, i64), zooms: Zooms) -> bool {
    if frame.0.min(frame.1) <= flow::MULTIPLE {
        return false;
    }
    let (image, reference) = compared(frame, reference, zooms);
    let mut steps = zooms.steps().into_iter();
    steps.any(|zoom| Template::new(image, reference, zoom).is_some())
}

/// What of a reference is looked for in an image, in its pixels.
struct Template {
    /// Height and width of the whole reference.
    whole: (i64, i64),
    /// Of its inner part, which is compared.
    inner: (i64, i64),
}

impl Template {
    /// At this zoom, for sizes (height, width). `None` where it is too small to compare.
    fn new(image: (i64, i64), reference: (i64, i64), zoom: f64) -> Option<Self> {
        let columns = (image.1 as f64 / zoom).round() as i64;
        let rows = (reference.0 as f64 * columns as f64 / reference.1 as f64).round() as i64;
        let inner = |n: i64, most: i64| (n.min(most) as f64 * INNER) as i64;
        let inner = (inner(rows, image.0), inner(columns, image.1));
        (inner.0.min(inner.1) >= LEAST).then_some(Self {
            whole: (rows, columns),
            inner,
        })
    }
}

/// Of all places that were found in a frame of this width those that are worth a closer look, the best first.
fn chosen(mut found: Vec<(Placement, f64)>, width: i64) -> Vec<(Placement, f64)> {
    found.retain(|(_, score)| *score >= BELIEVED);
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut best: Vec<(Placement, f64)> = vec![];
    for candidate in found {
        let near = |(other, _): &(Placement, f64)| other.is_near(&candidate.0, width, SAME_PLACE);
        if !best.iter().any(near) {
            best.push(candidate);
        }
    }
    let ahead = |(place, _): &(Placement, f64)| place.is_ahead(width);
    let further = best.split_off(best.len().min(CANDIDATES));
    let there = best.iter().filter(|found| ahead(found)).count();
    let left = AHEAD.saturating_sub(there);
    best.extend(further.into_iter().filter(ahead).take(left));
    best
}

impl Placement {
    /// Whether two placements in a frame of this width differ by at most so much in zoom (as a
    /// share) and shift (as a share of the width).
    pub(super) fn is_near(&self, other: &Self, width: i64, (zoom, shift): (f64, f64)) -> bool {
        let (x, y) = (self.shift.0 - other.shift.0, self.shift.1 - other.shift.1);
        (self.zoom / other.zoom).ln().abs() <= zoom && x.hypot(y) <= shift * width as f64
    }
}

/// The ultra-wide frame's detail, as correlation needs it.
struct Image {
    /// The band it shows.
    band: Band,
    height: i64,
    width: i64,
    /// Its Fourier transform, and that of its square.
    spectrum: Tensor,
    spectrum_of_square: Tensor,
}

impl Image {
    fn new(detail: &Tensor, band: Band) -> Result<Self> {
        let (height, width) = size(detail);
        let plane = detail.f_reshape([height, width])?;
        Ok(Self {
            band,
            height,
            width,
            spectrum: transform(&plane)?,
            spectrum_of_square: transform(&plane.f_square()?)?,
        })
    }

    /// The best place of the reference at this zoom and each rotation, in this image's pixels; none
    /// where it does not fit in.
    fn find(&self, reference: &Tensor, zoom: f64) -> Result<Vec<(Placement, f64)>> {
        let image = (self.height, self.width);
        let Some(Template { whole, inner }) = Template::new(image, size(reference), zoom) else {
            return Ok(vec![]);
        };
        let detail = detail(&reduced(reference, whole.0, whole.1)?, self.band)?;
        let (height, width) = inner;
        let ones = Tensor::f_ones([height, width], (Kind::Float, detail.device()))?;
        // Not less than a twentieth of the detail that is everywhere else: else plain places win.
        let energy = self
            .correlate(&self.spectrum_of_square, &ones)?
            .f_clamp_min((height * width) as f64 * 0.05)?
            .f_sqrt()?;
        let mut best = vec![];
        for degrees in ROTATIONS {
            let rotation = degrees.to_radians();
            let template = turned(&detail, rotation, height, width)?;
            let scores = self.correlate(&self.spectrum, &template)?.f_div(&energy)?;
            // Places at which the template reaches over the edge wrap around in the transform.
            let (down, across) = (self.height - height + 1, self.width - width + 1);
            let scores = scores.f_narrow(0, 0, down)?.f_narrow(1, 0, across)?;
            let (score, at) = scores.f_reshape([-1])?.f_max_dim(0, false)?;
            let (score, at) = (score.f_double_value(&[])?, at.f_int64_value(&[])?);
            let offset = |first: i64, n: i64, of: i64| first as f64 + (n - of) as f64 / 2.0;
            let placement = Placement {
                zoom,
                rotation,
                shift: (
                    offset(at % across, width, self.width),
                    offset(at / across, height, self.height),
                ),
            };
            best.push((placement, score));
        }
        Ok(best)
    }

    /// Correlation with a template at every place of its first pixel.
    fn correlate(&self, spectrum: &Tensor, template: &Tensor) -> Result<Tensor> {
        let (h, w) = (template.size()[0], template.size()[1]);
        let padded = template.f_constant_pad_nd([0, self.width - w, 0, self.height - h])?;
        let product = spectrum.f_mul(&transform(&padded)?.f_conj()?)?;
        Ok(product.f_fft_irfft2([self.height, self.width].as_slice(), [0i64, 1], "backward")?)
    }
}

fn transform(plane: &Tensor) -> Result<Tensor> {
    Ok(plane.f_fft_rfft2(None::<i64>, [0i64, 1], "backward")?)
}

/// The inner `height` x `width` of a reference's detail, turned; its mean is 0, its norm 1.
fn turned(detail: &Tensor, rotation: f64, height: i64, width: i64) -> Result<Tensor> {
    let inner = pixels(0, 0, height, width, detail.device())?;
    // At equal densities a placement is a rotation about the centres.
    let turn = Placement {
        zoom: width as f64 / size(detail).1 as f64,
        rotation,
        shift: (0.0, 0.0),
    }
    .similarity((height, width), whole(size(detail)), detail.device())?;
    let template = sample(detail, &turn.apply(&inner)?, Interpolation::Bilinear)?
        .f_reshape([height, width])?;
    let template = template.f_sub(&template.f_mean(Kind::Float)?)?;
    let norm = template.f_square()?.f_sum(Kind::Float)?.f_sqrt()?;
    Ok(template.f_div(&norm.f_add_scalar(1e-6)?)?)
}

/// `[1, C, H, W]` at another size, antialiased where that is smaller.
fn reduced(picture: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    if size(picture) == (height, width) {
        return Ok(picture.shallow_clone());
    }
    Ok(picture.f_internal_upsample_bilinear2d_aa([height, width], false, None, None)?)
}

/// Brightness in a band of detail, at equal contrast everywhere: `[1, 1, H, W]`. Tone, shading and
/// colour of different cameras are not in it.
fn detail(picture: &Tensor, band: Band) -> Result<Tensor> {
    let grey = picture.f_mean_dim([1i64].as_slice(), true, None::<Kind>)?;
    let part = gaussian(&grey, band.fine)?.f_sub(&gaussian(&grey, band.coarse)?)?;
    let square = part.f_square()?;
    // Noise in plain places is not to look like detail.
    let floor = square
        .f_mean(Kind::Float)?
        .f_mul_scalar(PLAIN)?
        .f_add_scalar(1e-6)?;
    let contrast = gaussian(&square, 2.0 * band.coarse)?
        .f_add(&floor)?
        .f_sqrt()?;
    Ok(part.f_div(&contrast)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_ahead_are_looked_at_though_others_score_higher() {
        let at_zoom = |x: f64, zoom: f64, score: f64| {
            let shift = (x, 0.0);
            let centred = Placement::centred(zoom);
            (Placement { shift, ..centred }, score)
        };
        let at = |x: f64, score: f64| at_zoom(x, 2.0, score);
        let shifts = |found: Vec<(Placement, f64)>| -> Vec<f64> {
            let chosen = chosen(found, 160);
            chosen.iter().map(|(place, _)| place.shift.0).collect()
        };
        let aside = [at(60.0, 0.9), at(-60.0, 0.8), at(40.0, 0.7), at(-40.0, 0.6)];
        assert_eq!(shifts(aside.to_vec()), [60.0, -60.0, 40.0]);
        let with = |ahead| [&aside[..], &[ahead]].concat();
        assert_eq!(shifts(with(at(2.0, 0.4))), [60.0, -60.0, 40.0, 2.0]);
        assert_eq!(shifts(with(at(2.0, 0.75))), [60.0, -60.0, 2.0]);
        // Ahead one sees the same places at several zooms, and any of them may be the right one.
        let zooms = [1.4, 1.7, 2.1, 2.5].map(|zoom| at_zoom(zoom, zoom, 0.5 - zoom / 100.0));
        let all = [&aside[..], &zooms].concat();
        assert_eq!(shifts(all), [60.0, -60.0, 40.0, 1.4, 1.7, 2.1]);
        assert_eq!(shifts(with(at(2.0, 0.3))), [60.0, -60.0, 40.0]);
    }

    #[test]
    fn zooms_are_dense_and_reach_both_ends() {
        let steps = WIDE_ZOOMS.steps();
        assert_eq!(steps.first(), Some(&1.3));
        assert!((steps.last().unwrap() - 3.4).abs() < 1e-9);
        assert!(
            steps
                .windows(2)
                .all(|pair| pair[1] / pair[0] <= STEP + 1e-9)
        );
        let one = Zooms { from: 2.0, to: 2.0 };
        assert_eq!(one.steps(), [2.0]);
    }
}
