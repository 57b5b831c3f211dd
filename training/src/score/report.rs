//! Tables of scores, as Markdown.

use super::regions::{Measured, REGIONS};
use crate::data::random::Random;
use refvsr_tools::figures::mean_psnr;
use std::fmt::Write;

/// A way to enlarge, and what came of it on every clip.
pub struct Column {
    /// What it is called.
    pub name: &'static str,
    /// A list a clip, of an entry a frame. Empty where a clip has no such column.
    pub clips: Vec<Vec<Measured>>,
}

impl Column {
    /// Of so many clips to come.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            clips: vec![],
        }
    }

    /// The means over the frames that `which` chooses of the chosen clips. Frames that equal the truth are in no mean of PSNR.
    fn mean(&self, clips: &[usize], which: Frames) -> Option<Measured> {
        let clips = clips.iter().filter_map(|&clip| self.clips.get(clip));
        let frames: Vec<&Measured> = clips.flat_map(|clip| which.of(clip)).collect();
        (!frames.is_empty()).then(|| {
            std::array::from_fn(|region| {
                let ssim: f64 = frames.iter().map(|frame| frame[region].1).sum();
                let psnr = mean_psnr(frames.iter().map(|frame| frame[region].0));
                (psnr, ssim / frames.len() as f64)
            })
        })
    }
}

/// Frames of clips.
#[derive(Debug, Clone, Copy)]
pub enum Frames {
    /// All of them.
    All,
    /// The first of each clip.
    First,
    /// The others, which have seen frames before.
    Later,
}

impl Frames {
    fn of(self, clip: &[Measured]) -> &[Measured] {
        let first = clip.len().min(1);
        match self {
            Self::All => clip,
            Self::First => &clip[..first],
            Self::Later => &clip[first..],
        }
    }
}

/// PSNR and SSIM of some clips' frames: regions down, columns across.
pub fn table(title: &str, columns: &[Column], clips: &[usize], which: Frames) -> String {
    let means: Vec<Option<Measured>> = columns.iter().map(|c| c.mean(clips, which)).collect();
    let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
    let frames: usize = columns.first().map_or(0, |c| {
        clips
            .iter()
            .map(|&clip| which.of(&c.clips[clip]).len())
            .sum()
    });
    let mut text = format!(
        "\n| {title}, {frames} frames | {} |\n|---{}|\n",
        names.join(" | "),
        "|---".repeat(names.len())
    );
    for (row, region) in REGIONS.iter().enumerate() {
        let figures: Vec<String> = means
            .iter()
            .map(|mean| {
                mean.map_or_else(
                    || "none".to_owned(),
                    |m| format!("{:.3} / {:.4}", m[row].0, m[row].1),
                )
            })
            .collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {region} | {} |", figures.join(" | "));
    }
    text
}

/// Resamplings of the bootstrap.
const RESAMPLINGS: usize = 10_000;

/// A mean difference and the interval that holds it with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The mean.
    pub mean: f64,
    /// The interval's ends.
    pub interval: (f64, f64),
}

/// Of differences, one a clip: the percentile bootstrap over clips. `None` without any.
pub fn bootstrap(differences: &[f64]) -> Option<Difference> {
    let n = differences.len();
    if n == 0 {
        return None;
    }
    let mut random = Random::new(0, 0, n as u64);
    let mut means: Vec<f64> = (0..RESAMPLINGS)
        .map(|_| {
            let sum: f64 = (0..n)
                .map(|_| differences[random.below(n as u64) as usize])
                .sum();
            sum / n as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((RESAMPLINGS - 1) as f64 * share).round() as usize];
    Some(Difference {
        mean: differences.iter().sum::<f64>() / n as f64,
        interval: (at(0.025), at(0.975)),
    })
}

/// How much each column stands above another in a region, in dB: paired by clip, with the bootstrap's
/// interval over clips.
pub fn differences(columns: &[Column], base: usize, regions: &[usize]) -> String {
    let names: Vec<&str> = regions.iter().map(|&region| REGIONS[region]).collect();
    let mut text = format!(
        "\n| dB over {}, 95 % interval over clips | {} |\n|---{}|\n",
        columns[base].name,
        names.join(" | "),
        "|---".repeat(names.len())
    );
    for (k, column) in columns.iter().enumerate().filter(|(k, _)| *k != base) {
        let of = |region: usize| {
            let pairs: Vec<f64> = (0..column.clips.len())
                .filter_map(|clip| {
                    let mean = |c: &Column| c.mean(&[clip], Frames::All).map(|m| m[region].0);
                    Some(mean(&columns[k])? - mean(&columns[base])?)
                })
                .collect();
            bootstrap(&pairs).map_or_else(
                || "none".to_owned(),
                |d| {
                    format!(
                        "{:+.3} ({:+.3} to {:+.3})",
                        d.mean, d.interval.0, d.interval.1
                    )
                },
            )
        };
        let figures: Vec<String> = regions.iter().map(|&region| of(region)).collect();
        let _ = writeln!(text, "| {} | {} |", column.name, figures.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_as_wide_as_the_clips_differ() {
        let same = bootstrap(&[0.3; 12]).unwrap();
        assert!(
            (same.mean - 0.3).abs() < 1e-12 && (same.interval.0 - same.interval.1).abs() < 1e-9
        );
        // 12 values of deviation 1: their mean deviates by 0.29, 95 % lie within 1.96 times that.
        let spread: Vec<f64> = (0..12)
            .map(|k| if k % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let found = bootstrap(&spread).unwrap();
        assert!(found.mean.abs() < 1e-12);
        assert!((found.interval.1 - 0.57).abs() < 0.12, "{found:?}");
        assert!((found.interval.0 + 0.57).abs() < 0.12, "{found:?}");
        assert_eq!(bootstrap(&[]), None);
    }

    #[test]
    fn frames_with_and_without_history_are_told_apart() {
        let frame = |psnr: f64| [(psnr, 0.9); REGIONS.len()];
        let mut column = Column::new("ours");
        column.clips = vec![
            vec![frame(30.0), frame(32.0), frame(34.0)],
            vec![frame(20.0)],
        ];
        let columns = [column];
        let row = |which| {
            let text = table("all", &columns, &[0, 1], which);
            text.lines().nth(3).map(str::to_owned).unwrap()
        };
        assert_eq!(row(Frames::All), "| whole frame | 29.000 / 0.9000 |");
        assert_eq!(row(Frames::First), "| whole frame | 25.000 / 0.9000 |");
        assert_eq!(row(Frames::Later), "| whole frame | 33.000 / 0.9000 |");
    }

    #[test]
    fn a_frame_that_equals_the_truth_is_in_no_mean() {
        let mut column = Column::new("ours");
        column.clips = vec![vec![
            [(30.0, 0.9); REGIONS.len()],
            [(f64::INFINITY, 1.0); REGIONS.len()],
        ]];
        let mean = column.mean(&[0], Frames::All).unwrap()[0];
        assert_eq!(mean, (30.0, 0.95));
    }
}
