//! How near each enlargement comes to the truth.

use super::triplet::{Lens, SCALE, TRUTH};
use crate::frames::{Reader, Rect, rounded};
use anyhow::Result;
use refvsr::metrics::{psnr, ssim};
use tch::Tensor;

/// The largest upright rectangle, in pixels of the truth, that the lens sees all of (for rolls well below 45 degrees).
pub fn inside(lens: &Lens) -> Rect {
    let [tl, tr, br, bl] = lens.field(TRUTH);
    let (left, right) = (
        tl.0.max(bl.0).ceil().max(0.0),
        tr.0.min(br.0).floor().min(TRUTH.width as f64),
    );
    let (top, bottom) = (
        tl.1.max(tr.1).ceil().max(0.0),
        bl.1.min(br.1).floor().min(TRUTH.height as f64),
    );
    Rect {
        x: left as i64,
        y: top as i64,
        width: (right - left) as i64,
        height: (bottom - top) as i64,
    }
}

/// Mean PSNR in dB and mean SSIM.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    pub psnr: f64,
    pub ssim: f64,
}

impl Score {
    fn add(&mut self, frame: &Tensor, truth: &Tensor, frames: usize) -> Result<()> {
        self.psnr += psnr(frame, truth)? / frames as f64;
        self.ssim += ssim(frame, truth)? / frames as f64;
        Ok(())
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:5.2} dB / {:.4}", self.psnr, self.ssim)
    }
}

/// Scores of a clip.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scores {
    /// Over whole frames.
    pub whole: Score,
    /// Over what the wide camera sees.
    pub inside: Score,
}

/// The network's own base: bicubic enlargement, as it comes out of an 8-bit file.
pub fn bicubic(frame: &Tensor) -> Result<Tensor> {
    let (height, width) = (frame.size()[2] * SCALE, frame.size()[3] * SCALE);
    rounded(&frame.f_upsample_bicubic2d([height, width], false, None::<f64>, None::<f64>)?)
}

/// Scores frames against the truth; `frame` gives them by number.
pub fn score(
    truth: &mut Reader,
    lens: &Lens,
    mut frame: impl FnMut(usize) -> Result<Tensor>,
) -> Result<Scores> {
    let frames = truth.len();
    let inside = inside(lens);
    let mut scores = Scores::default();
    for n in 0..frames {
        let (truth, ours) = (truth.frame(n)?, frame(n)?);
        scores.whole.add(&ours, &truth, frames)?;
        scores
            .inside
            .add(&inside.of(&ours)?, &inside.of(&truth)?, frames)?;
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::super::triplet::WIDE;
    use super::*;

    #[test]
    fn inside_is_inside_the_field() {
        let ideal = Lens {
            shift: (0.0, 0.0),
            roll: 0.0,
            ..WIDE
        };
        assert_eq!(
            inside(&ideal),
            Rect {
                x: 256,
                y: 144,
                width: 512,
                height: 288
            }
        );
        let r = inside(&WIDE);
        let field = WIDE.field(TRUTH);
        assert!(
            r.x as f64 >= field[3].0 && (r.x + r.width) as f64 <= field[1].0 && r.width > 500,
            "{r:?}"
        );
        assert!(
            r.y as f64 >= field[1].1 && (r.y + r.height) as f64 <= field[3].1 && r.height > 280,
            "{r:?}"
        );
    }
}
