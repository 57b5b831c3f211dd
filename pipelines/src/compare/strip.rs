//! The worst frames, side by side.

use super::Picture;
use crate::canvas::{Canvas, Colour};
use anyhow::{Result, ensure};

const BACKGROUND: Colour = [20, 22, 27];
const TEXT: Colour = [232, 234, 238];
const GAP: i64 = 8;
const CAPTION: i64 = 24;
/// How much stronger differences are drawn.
const STRONGER: f64 = 8.0;

/// One row a frame: A, B, and their difference about grey.
pub fn draw(worst: &[Picture]) -> Result<Canvas> {
    ensure!(!worst.is_empty(), "there are no frames to draw");
    let size = |picture: &Picture| (picture.a.size()[3], picture.a.size()[2]);
    let width = worst
        .iter()
        .map(|picture| size(picture).0)
        .max()
        .unwrap_or(1);
    let height: i64 = worst
        .iter()
        .map(|picture| size(picture).1 + CAPTION + GAP)
        .sum();
    let mut canvas = Canvas::new(3 * width + 4 * GAP, height + GAP, BACKGROUND)?;
    let mut y = GAP;
    for picture in worst {
        let score = &picture.score;
        let text = format!(
            "{} frame {}: {:.2} dB / {:.4}",
            score.clip, score.frame, score.psnr, score.ssim
        );
        canvas.text(GAP, y, 16.0, TEXT, &text);
        y += CAPTION;
        let difference = picture
            .a
            .f_sub(&picture.b)?
            .f_mul_scalar(STRONGER)?
            .f_add_scalar(0.5)?;
        for (n, frame) in [&picture.a, &picture.b, &difference]
            .into_iter()
            .enumerate()
        {
            canvas.picture(GAP + n as i64 * (width + GAP), y, frame)?;
        }
        y += size(picture).1 + GAP;
    }
    Ok(canvas)
}
