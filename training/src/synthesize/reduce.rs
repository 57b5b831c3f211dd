//! Reducing frames the way RealMCVSR's low-resolution frames were: MATLAB's `imresize`.

use anyhow::{Result, ensure};
use refvsr::image::resize::bicubic_antialiased;
use tch::{Kind, Tensor};

/// Reduces `[1, 3, h, w]` by a whole factor that divides both sides: bicubic (a = -0.5), the kernel widened by the factor, and the picture mirrored at its
/// edges (`imresize(x, 1/factor)`). libtorch's own resizing drops what lies outside instead, which differs in the outermost two rows and columns;
/// so the mirrored edges are put on first.
///
/// # Errors
/// For sides that the factor does not divide.
pub fn reduce(picture: &Tensor, factor: i64) -> Result<Tensor> {
    let (h, w) = (picture.size()[2], picture.size()[3]);
    ensure!(
        factor >= 1 && h % factor == 0 && w % factor == 0,
        "{w} x {h} pixels cannot be divided by {factor}"
    );
    let edge = 2 * factor; // the kernel reaches 2 output pixels
    let mirrored = |n: i64| {
        let index: Vec<i64> = (-edge..n + edge)
            .map(|i| i.rem_euclid(2 * n))
            .map(|i| i.min(2 * n - 1 - i))
            .collect();
        Tensor::from_slice(&index)
    };
    let padded = picture
        .f_index_select(2, &mirrored(h))?
        .f_index_select(3, &mirrored(w))?;
    let small = bicubic_antialiased(
        &padded.f_to_kind(Kind::Float)?,
        h / factor + 4,
        w / factor + 4,
    )?;
    Ok(small
        .f_narrow(2, 2, h / factor)?
        .f_narrow(3, 2, w / factor)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `imresize` along one axis, word for word as MATLAB documents it (1-based indices and all).
    fn imresize(line: &[f64], factor: usize) -> Vec<f64> {
        let cubic = |x: f64| {
            let x = x.abs();
            if x <= 1.0 {
                1.5 * x.powi(3) - 2.5 * x.powi(2) + 1.0
            } else if x <= 2.0 {
                -0.5 * x.powi(3) + 2.5 * x.powi(2) - 4.0 * x + 2.0
            } else {
                0.0
            }
        };
        let (n, scale) = (line.len(), 1.0 / factor as f64);
        let width = 4.0 / scale;
        let mut aux: Vec<usize> = (1..=n).collect();
        aux.extend((1..=n).rev());
        (1..=n / factor)
            .map(|x| {
                let u = x as f64 / scale + 0.5 * (1.0 - 1.0 / scale);
                let left = (u - width / 2.0).floor();
                let taps: Vec<(usize, f64)> = (0..width.ceil() as i64 + 2)
                    .map(|p| left + p as f64)
                    .map(|i| {
                        (
                            aux[(i as i64 - 1).rem_euclid(2 * n as i64) as usize],
                            scale * cubic(scale * (u - i)),
                        )
                    })
                    .collect();
                let sum: f64 = taps.iter().map(|t| t.1).sum();
                taps.iter()
                    .map(|&(i, weight)| line[i - 1] * weight / sum)
                    .sum()
            })
            .collect()
    }

    #[test]
    fn equal_to_matlabs_definition() {
        for (factor, h, w) in [(2, 12, 20), (4, 16, 24), (4, 8, 4), (2, 2, 6)] {
            let value =
                |c: usize, y: usize, x: usize| ((c * 97 + y * 31 + x * 17) % 23) as f64 / 23.0;
            let input: Vec<f64> = (0..3 * h * w)
                .map(|i| value(i / (h * w), i / w % h, i % w))
                .collect();
            let out = reduce(
                &Tensor::from_slice(&input).view([1, 3, h as i64, w as i64]),
                factor as i64,
            )
            .unwrap();
            assert_eq!(out.size(), [1, 3, (h / factor) as i64, (w / factor) as i64]);
            for c in 0..3 {
                let rows: Vec<Vec<f64>> = (0..h)
                    .map(|y| imresize(&(0..w).map(|x| value(c, y, x)).collect::<Vec<_>>(), factor))
                    .collect();
                for x in 0..w / factor {
                    let column =
                        imresize(&rows.iter().map(|row| row[x]).collect::<Vec<_>>(), factor);
                    for (y, expected) in column.iter().enumerate() {
                        let found = out.double_value(&[0, c as i64, y as i64, x as i64]);
                        assert!(
                            (found - expected).abs() < 2e-6,
                            "1/{factor} of {w} x {h} at {c},{y},{x}: {found}, {expected} expected"
                        );
                    }
                }
            }
        }
        assert!(
            reduce(
                &Tensor::zeros([1, 3, 6, 8], (Kind::Float, tch::Device::Cpu)),
                4
            )
            .is_err()
        );
    }

    #[test]
    fn known_values() {
        // The kernel by hand: output pixels 2 to 5 lie 1.25, 0.25, 0.75 and 1.75 of their own widths from the bright one; half of the cubic there.
        let line: Vec<f64> = (0..16).map(|i| f64::from(i == 7)).collect();
        let out = reduce(
            &Tensor::from_slice(&line)
                .view([1, 1, 1, 16])
                .expand([1, 3, 4, 16], false),
            2,
        )
        .unwrap();
        let expected = [
            0.0,
            0.0,
            -0.035_156_25,
            0.433_593_75,
            0.113_281_25,
            -0.011_718_75,
            0.0,
            0.0,
        ];
        for (x, e) in expected.iter().enumerate() {
            assert!(
                (out.double_value(&[0, 0, 1, x as i64]) - e).abs() < 1e-6,
                "{x}"
            );
        }
    }
}
