//! Metrics against scikit-image's and the research code's figures.

mod common;

use common::{golden, scene, uniform};
use refvsr::metrics::{brightness, fields_of_view, psnr, ssim, ssim_gaussian};
use tch::{Device, Kind, Tensor};

#[test]
fn golden_figures() {
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden("metrics.json")).unwrap()).unwrap();
    let a = scene(1.0, 0, 64, 96).to_kind(Kind::Double) / 255.0;
    let noise = Tensor::from_slice(&uniform("metric.noise", 64 * 96 * 3))
        .view([1, 64, 96, 3])
        .permute([0, 3, 1, 2]);
    let b = (&a + noise * 0.08).clamp(0.0, 1.0);
    let expect = |what: &str, actual: f64, expected: &serde_json::Value| {
        let expected = expected.as_f64().unwrap();
        assert!(
            (actual - expected).abs() < 1e-9 * expected.abs(),
            "{what}: {actual}, {expected} expected"
        );
    };
    expect("psnr", psnr(&a, &b).unwrap(), &golden["psnr"]);
    expect("ssim", ssim(&a, &b).unwrap(), &golden["ssim"]);
    let fields = fields_of_view(&a, &b).unwrap();
    assert_eq!(fields.len(), 5);
    for row in &fields {
        let golden = &golden["fov"][format!("{:.1}", row.share)];
        expect("psnr in", row.inside.psnr, &golden["psnr_in"]);
        expect("ssim in", row.inside.ssim, &golden["ssim_in"]);
        expect("psnr out", row.outside.psnr, &golden["psnr_out"]);
        expect("ssim out", row.outside.ssim, &golden["ssim_out"]);
        assert_eq!(row.ring.is_none(), row.share == 0.5);
    }
}

/// SSIM by the formulas of scikit-image's `structural_similarity` and of BasicSR's `_ssim`, written out: a
/// weighted sum over the window about every pixel that has a whole one.
fn written_out(a: &Tensor, b: &Tensor, weights: &[f64], unbiased: f64) -> f64 {
    let side = (weights.len() as f64).sqrt() as i64;
    let (_, channels, h, w) = a.size4().unwrap();
    let all = |x: &Tensor| -> Vec<f64> {
        let x = x.to_kind(Kind::Double).contiguous().view(-1);
        Vec::try_from(x).unwrap()
    };
    let (a, b) = (all(a), all(b));
    let (mut sum, mut count) = (0.0, 0.0);
    for c in 0..channels {
        for (top, left) in (0..=h - side).flat_map(|y| (0..=w - side).map(move |x| (y, x))) {
            let (mut x, mut y, mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for (n, weight) in weights.iter().enumerate() {
                let (row, column) = (top + n as i64 / side, left + n as i64 % side);
                let at = ((c * h + row) * w + column) as usize;
                x += weight * a[at];
                y += weight * b[at];
                xx += weight * a[at] * a[at];
                yy += weight * b[at] * b[at];
                xy += weight * a[at] * b[at];
            }
            let (vx, vy) = (unbiased * (xx - x * x), unbiased * (yy - y * y));
            let vxy = unbiased * (xy - x * y);
            sum += (2.0 * x * y + 1e-4) * (2.0 * vxy + 9e-4)
                / ((x * x + y * y + 1e-4) * (vx + vy + 9e-4));
            count += 1.0;
        }
    }
    sum / count
}

#[test]
fn both_conventions_of_ssim_are_the_written_out_formulas() {
    let a = scene(1.0, 0, 24, 31).to_kind(Kind::Double) / 255.0;
    let noise = Tensor::from_slice(&uniform("ssim.noise", 24 * 31 * 3)).view([1, 3, 24, 31]);
    let b = (&a + noise * 0.1).clamp(0.0, 1.0);
    let gauss = |n: i64| (-((n - 5) as f64).powi(2) / (2.0 * 1.5 * 1.5)).exp();
    let gaussian: Vec<f64> = (0..121).map(|n| gauss(n / 11) * gauss(n % 11)).collect();
    let total: f64 = gaussian.iter().sum();
    let gaussian: Vec<f64> = gaussian.iter().map(|weight| weight / total).collect();
    for (a, b) in [
        (a.shallow_clone(), b.shallow_clone()),
        (brightness(&a).unwrap(), brightness(&b).unwrap()),
    ] {
        let found = ssim_gaussian(&a, &b).unwrap();
        let expected = written_out(&a, &b, &gaussian, 1.0);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        let found = ssim(&a, &b).unwrap();
        let expected = written_out(&a, &b, &[1.0 / 49.0; 49], 49.0 / 48.0);
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        assert!(found < 0.999, "the noise shows");
    }
    let small = a.narrow(2, 0, 10);
    let text = ssim_gaussian(&small, &small).unwrap_err().to_string();
    assert!(text.contains("31x10 found, at least 11x11"), "{text}");
}

#[test]
fn brightness_is_that_of_bt_601() {
    // Black, white, red, green and blue, in codes of 8 bits: 16, 235, 81.481, 144.553 and 40.966.
    let colours = [
        [0., 0., 0.],
        [1., 1., 1.],
        [1., 0., 0.],
        [0., 1., 0.],
        [0., 0., 1.],
    ];
    let picture = Tensor::from_slice2(&colours).tr().reshape([1, 3, 1, 5]);
    let y: Vec<f64> = Vec::try_from((brightness(&picture).unwrap() * 255.0).view(-1)).unwrap();
    for (found, expected) in y.iter().zip([16.0, 235.0, 81.481, 144.553, 40.966]) {
        assert!((found - expected).abs() < 1e-5, "{y:?}");
    }
    assert!(brightness(&picture.narrow(1, 0, 1)).is_err());
}

#[test]
fn the_ring_is_the_inside_without_the_inner_half() {
    let a = Tensor::zeros([1, 3, 40, 60], (Kind::Double, Device::Cpu));
    let b = Tensor::zeros([1, 3, 40, 60], (Kind::Double, Device::Cpu));
    let _ = b.narrow(2, 10, 20).narrow(3, 15, 30).fill_(0.5); // errors in the inner half alone
    for row in fields_of_view(&a, &b).unwrap() {
        assert_eq!(row.outside.psnr, f64::INFINITY);
        assert!(row.inside.psnr.is_finite());
        assert!(row.ring.is_none_or(|ring| ring.psnr == f64::INFINITY));
    }
}

#[test]
fn no_region_is_empty() {
    let noise = |h, w| Tensor::rand([1, 3, h, w], (Kind::Double, Device::Cpu));
    for h in 7..30 {
        for w in [7, 11, 15, 19, 20, 23] {
            let fields = fields_of_view(&noise(h, w), &noise(h, w));
            if h.max(w) < 20 {
                let text = fields.unwrap_err().to_string();
                assert!(
                    text.contains(&format!("{w}x{h} found, a side of at least 20")),
                    "{text}"
                );
                continue;
            }
            for row in fields.unwrap() {
                for quality in [Some(row.inside), Some(row.outside), row.ring]
                    .into_iter()
                    .flatten()
                {
                    assert!(
                        quality.psnr.is_finite() && quality.ssim.is_finite(),
                        "{w}x{h}, {}: {quality:?}",
                        row.share
                    );
                }
            }
        }
    }
}

#[test]
fn equal_pictures_and_unequal_shapes() {
    let a = Tensor::rand([1, 3, 8, 9], (Kind::Float, Device::Cpu));
    assert_eq!(psnr(&a, &a).unwrap(), f64::INFINITY);
    assert!((ssim(&a, &a).unwrap() - 1.0).abs() < 1e-12);
    let message = psnr(&a, &a.narrow(3, 0, 8)).unwrap_err().to_string();
    assert!(
        message.contains("[1, 3, 8, 9] and [1, 3, 8, 8]"),
        "{message}"
    );
    let small = a.narrow(3, 0, 6);
    assert!(
        ssim(&small, &small)
            .unwrap_err()
            .to_string()
            .contains("6x8 found, at least 7x7")
    );
    assert!(psnr(&small, &small).is_ok());
}
