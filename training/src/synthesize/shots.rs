//! A video as shots: runs of frames without a cut.

use super::source::Video;
use crate::data::png::Picture;
use anyhow::Result;

/// What a video holds next.
pub enum Next {
    Frame(Picture),
    Cut,
    End,
}

/// A video as shots: runs of frames without a cut.
pub struct Shots {
    pub video: Video,
    pub pending: Option<Picture>,
    pub last: Option<Vec<f64>>,
    pub limit: f64,
    /// Frames given out.
    pub count: usize,
}

impl Shots {
    pub fn next(&mut self) -> Result<Next> {
        let frame = match self.pending.take() {
            Some(frame) => {
                self.last = None;
                Some(frame)
            }
            None => self.video.next_frame()?,
        };
        let Some(frame) = frame else {
            return Ok(Next::End);
        };
        let small = thumbnail(&frame);
        let difference = self.last.replace(small.clone()).map_or(0.0, |last| {
            last.iter()
                .zip(&small)
                .map(|(a, b)| (a - b).abs())
                .sum::<f64>()
                / small.len() as f64
        });
        if difference > self.limit {
            self.pending = Some(frame);
            return Ok(Next::Cut);
        }
        self.count += 1;
        Ok(Next::Frame(frame))
    }
}

/// Brightness on a grid of 16 x 9.
fn thumbnail(picture: &Picture) -> Vec<f64> {
    const GRID: (usize, usize) = (16, 9);
    let mut sums = vec![(0u64, 0u64); GRID.0 * GRID.1];
    for y in (0..picture.height).step_by(3) {
        let row = &picture.data[y * picture.width * 3..(y + 1) * picture.width * 3];
        for (x, pixel) in row.chunks_exact(3).enumerate().step_by(3) {
            let cell = &mut sums[y * GRID.1 / picture.height * GRID.0 + x * GRID.0 / picture.width];
            *cell = (
                cell.0 + pixel.iter().map(|&v| u64::from(v)).sum::<u64>(),
                cell.1 + 765,
            );
        }
    }
    sums.into_iter()
        .map(|(sum, most)| {
            if most == 0 {
                0.0
            } else {
                sum as f64 / most as f64
            }
        })
        .collect()
}
