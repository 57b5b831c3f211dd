//! Bicubic enlargement by a whole factor.

use crate::Result;
use std::sync::{Mutex, PoisonError};
use tch::{Device, Kind, Tensor};

/// Pixels a side that an enlarged pixel looks at: four, from half a pixel to either side.
const TAPS: usize = 5;

/// A picture `[1, C, h, w]` at `scale` times its size, by cubic convolution (Keys, 1981; a = -0.75) with the
/// borders repeated: what PyTorch's `bicubic` gives, in a small part of its time. Each of the `scale` x
/// `scale` places within a pixel has its own filter, and all of them are one convolution.
///
/// # Errors
/// [`Error::Torch`](crate::Error::Torch) where memory runs out.
pub fn bicubic(picture: &Tensor, scale: i64) -> Result<Tensor> {
    let planes = picture.f_transpose(0, 1)?.f_contiguous()?;
    let edge = (TAPS / 2) as i64;
    let padded = planes.f_replication_pad2d([edge, edge, edge, edge])?;
    let filters = kept_filters(scale, picture.device(), picture.kind())?;
    let places = padded.f_conv2d(&filters, None::<&Tensor>, 1, 0, 1, 1)?;
    Ok(places.f_pixel_shuffle(scale)?.f_transpose(0, 1)?)
}

/// The filters that were made so far: a device waits for the host where they come from there.
static KEPT: Mutex<Vec<(i64, Tensor)>> = Mutex::new(vec![]);

/// The filters of all places within a pixel as a convolution takes them, `[scale * scale, 1, TAPS, TAPS]`.
fn kept_filters(scale: i64, device: Device, kind: Kind) -> Result<Tensor> {
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    let fits = |(of, filters): &&(i64, Tensor)| {
        (*of, filters.device(), filters.kind()) == (scale, device, kind)
    };
    if let Some((_, filters)) = kept.iter().find(fits) {
        return Ok(filters.shallow_clone());
    }
    let taps = TAPS as i64;
    let filters = Tensor::f_from_slice(&filters(scale as usize))?
        .f_view([scale * scale, 1, taps, taps])?
        .f_to_device(device)?
        .f_to_kind(kind)?;
    kept.push((scale, filters.shallow_clone()));
    Ok(filters)
}

/// The filters of all places within a pixel, row by row.
fn filters(scale: usize) -> Vec<f32> {
    let places: Vec<[f64; TAPS]> = (0..scale).map(|place| weights(place, scale)).collect();
    let mut filters = Vec::with_capacity((scale * TAPS).pow(2));
    for down in &places {
        for across in &places {
            for y in down {
                filters.extend(across.map(|x| (x * y) as f32));
            }
        }
    }
    filters
}

/// What the pixels from two before to two behind weigh for one place of `scale` in a pixel.
fn weights(place: usize, scale: usize) -> [f64; TAPS] {
    const A: f64 = -0.75;
    let centre = (place as f64 + 0.5) / scale as f64 - 0.5;
    std::array::from_fn(|tap| {
        let x = (tap as f64 - (TAPS / 2) as f64 - centre).abs();
        if x <= 1.0 {
            ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
        } else if x < 2.0 {
            ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
        } else {
            0.0
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::operations;

    #[test]
    fn its_filters_reach_the_device_once() {
        // A factor that no other test has.
        let picture = Tensor::rand([1, 3, 6, 7], (Kind::Float, Device::Cpu));
        let run = || operations(|| bicubic(&picture, 5).unwrap()).unwrap();
        let brought = |names: &[String]| names.iter().any(|name| name == "aten::to");
        let ((first, before), (again, after)) = (run(), run());
        assert!(brought(&before) && !brought(&after), "{after:?}");
        assert!(first.equal(&again));
    }

    #[test]
    fn it_is_pytorchs() {
        for (scale, (h, w)) in [(2, (7, 9)), (3, (5, 4)), (4, (6, 11)), (4, (1, 2))] {
            let picture = Tensor::rand([1, 3, h, w], (Kind::Float, Device::Cpu));
            let found = bicubic(&picture, scale).unwrap();
            let expected =
                picture.upsample_bicubic2d([scale * h, scale * w], false, None::<f64>, None::<f64>);
            assert_eq!(found.size(), expected.size());
            let off = (found - expected).abs().max().double_value(&[]);
            // PyTorch's places are fp32: of up to 12 pixels the last bit is 1e-6, and a pixel further the
            // picture may be another by more than 1.
            assert!(off < 5e-6, "x{scale}: {off}");
        }
    }
}
