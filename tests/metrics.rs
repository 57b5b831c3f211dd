//! Metrics against scikit-image's and the research code's figures.

mod common;

use common::{golden, scene, uniform};
use refvsr::metrics::{fields_of_view, psnr, ssim};
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
