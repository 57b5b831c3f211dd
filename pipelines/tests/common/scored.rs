//! A tree of RealMCVSR's layout with truths, made of a formula.

use serde_json::Value;
use std::path::Path;
use tch::{Kind, Tensor};

/// Size of the truth.
pub const SIZE: (i64, i64) = (48, 32);
pub const CLIPS: [(&str, &str, i64); 4] = [
    ("test", "a", 2),
    ("test", "b", 3),
    ("test", "c", 2),
    ("valid", "d", 2),
];

/// A value of the truth's frame `n`. The script that made the stored figures of scikit-image has the same formula.
fn value(x: i64, y: i64, c: i64, n: i64) -> i64 {
    (128 + ((x - 24) * (y - 16) * (c + 1)).div_euclid(8) + (x * 7 + y * 13 + n * 29) % 23)
        .clamp(0, 255)
}

fn write(path: &Path, (width, height): (i64, i64), value: impl Fn(i64, i64, i64) -> i64) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let picture = image::RgbImage::from_fn(width as u32, height as u32, |x, y| {
        image::Rgb([0, 1, 2].map(|c| value(x.into(), y.into(), c) as u8))
    });
    picture.save(path).unwrap();
}

pub fn tree(place: &super::Place) -> String {
    for (split, clip, frames) in CLIPS {
        for n in 0..frames {
            let file = |density: &str, lens: &str| {
                place.path(&format!("tree/{split}/{density}/{lens}/{clip}/{n:04}.png"))
            };
            let small = (SIZE.0 / 4, SIZE.1 / 4);
            write(&file("HR", "UW"), SIZE, |x, y, c| value(x, y, c, n));
            write(&file("LRx4", "UW"), small, |x, y, c| {
                let block = (0..16).map(|k| value(4 * x + k % 4, 4 * y + k / 4, c, n));
                block.sum::<i64>() / 16
            });
            let half = (SIZE.0 / 2, SIZE.1 / 2);
            write(&file("LRx2", "UW"), half, |x, y, c| {
                let block = (0..4).map(|k| value(2 * x + k % 2, 2 * y + k / 2, c, n));
                block.sum::<i64>() / 4
            });
            write(&file("LRx2", "W"), half, |x, y, c| {
                value(x + 12, y + 8, c, n)
            });
            write(&file("LRx4", "W"), small, |x, y, c| {
                value(2 * x + 12, 2 * y + 8, c, n)
            });
            write(&file("HR", "W"), SIZE, |x, y, c| {
                value(x / 2 + 12, y / 2 + 8, c, n)
            });
        }
    }
    place.text("tree")
}

/// A picture as RGB `[1, 3, H, W]` in 0 to 1.
pub fn read(path: &str) -> Tensor {
    let picture = image::open(path).unwrap().to_rgb8();
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    Tensor::from_slice(&picture.into_raw())
        .view([1, height, width, 3])
        .permute([0, 3, 1, 2])
        .to_kind(Kind::Float)
        / 255.0
}

/// Whether a figure is what was expected.
pub fn close(actual: &Value, expected: f64, within: f64) -> bool {
    (actual.as_f64().unwrap() - expected).abs() < within
}
