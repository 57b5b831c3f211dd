//! Figures over a clip's time: what a network that carries its state along does to long clips.

use serde::{Deserialize, Serialize};

/// Segments of time that are told apart.
pub const SEGMENTS: usize = 10;

/// A figure over time, the mean of clips.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Means over equal segments of time: ten, or as many as the shortest clip has frames. JSON has
    /// no infinity, so that a segment of equal pictures is `null`.
    pub segments: Vec<f64>,
    /// How much the straight line that fits a clip's frames best (least squares) rises in 100 frames.
    pub slope: f64,
}

impl Curve {
    /// Of clips' frames; none without any.
    pub fn of(clips: &[Vec<f64>]) -> Option<Self> {
        let parts = clips.iter().map(Vec::len).min()?.min(SEGMENTS);
        let part = |clip: &Vec<f64>, k: usize| {
            mean(&clip[k * clip.len() / parts..(k + 1) * clip.len() / parts])
        };
        let over_clips =
            |of: &dyn Fn(&Vec<f64>) -> f64| mean(&clips.iter().map(of).collect::<Vec<_>>());
        (parts > 0).then(|| Self {
            segments: (0..parts)
                .map(|k| over_clips(&|clip| part(clip, k)))
                .collect(),
            slope: over_clips(&|clip| 100.0 * slope(clip)),
        })
    }

    /// The first segment.
    pub fn first(&self) -> f64 {
        self.segments.first().copied().unwrap_or_default()
    }

    /// The last segment.
    pub fn last(&self) -> f64 {
        self.segments.last().copied().unwrap_or_default()
    }

    /// By how much the lowest segment lies under the first one.
    pub fn fall(&self) -> f64 {
        self.segments
            .iter()
            .fold(0.0, |most: f64, value| most.max(self.first() - value))
    }

    /// The mean over all segments.
    pub fn mean(&self) -> f64 {
        self.segments.iter().sum::<f64>() / self.segments.len().max(1) as f64
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Least squares over the frames that have a finite figure.
fn slope(frames: &[f64]) -> f64 {
    let finite = frames
        .iter()
        .enumerate()
        .filter(|(_, psnr)| psnr.is_finite());
    let points: Vec<(f64, f64)> = finite.map(|(n, psnr)| (n as f64, *psnr)).collect();
    let middle = mean(&points.iter().map(|p| p.0).collect::<Vec<_>>());
    let level = mean(&points.iter().map(|p| p.1).collect::<Vec<_>>());
    let (mut up, mut across) = (0.0, 0.0);
    for (n, psnr) in points {
        up += (n - middle) * (psnr - level);
        across += (n - middle) * (n - middle);
    }
    if across > 0.0 { up / across } else { 0.0 }
}

/// The largest of a clip's steps over their median, in the clip where that is most. None without steps,
/// or where nothing moves.
pub fn step_ratio(clips: &[Vec<f64>]) -> Option<f64> {
    let ratios = clips.iter().filter_map(|steps| {
        let mut sorted = steps.clone();
        sorted.sort_by(f64::total_cmp);
        let (median, largest) = (*sorted.get(sorted.len() / 2)?, *sorted.last()?);
        (median > 0.0).then(|| largest / median)
    });
    ratios.max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_shows_in_segments_and_slope() {
        let falling: Vec<f64> = (0..100).map(|n| 30.0 - 0.05 * f64::from(n)).collect();
        let steady = vec![20.0; 40];
        let curve = Curve::of(std::slice::from_ref(&falling)).unwrap();
        assert_eq!(curve.segments.len(), 10);
        assert!((curve.segments[0] - 29.775).abs() < 1e-9, "{curve:?}");
        assert!((curve.segments[9] - 25.275).abs() < 1e-9, "{curve:?}");
        assert!((curve.slope + 5.0).abs() < 1e-9, "{curve:?}");
        let both = Curve::of(&[falling, steady]).unwrap();
        assert!((both.slope + 2.5).abs() < 1e-9, "{both:?}");
        assert!(
            (both.segments[9] - (25.275 + 20.0) / 2.0).abs() < 1e-9,
            "{both:?}"
        );
        let short = Curve::of(&[vec![30.0, 31.0], vec![f64::INFINITY; 5]]).unwrap();
        assert_eq!((short.segments.len(), short.slope), (2, 50.0));
        assert_eq!((Curve::of(&[]), Curve::of(&[vec![]])), (None, None));
    }

    #[test]
    fn a_seam_shows_in_the_ratio_of_steps() {
        let even = vec![2.0; 9];
        let mut seam = even.clone();
        seam[4] = 7.0;
        assert_eq!(step_ratio(&[even.clone(), seam]), Some(3.5));
        assert_eq!(step_ratio(&[even, vec![0.0; 3]]), Some(1.0));
        assert_eq!((step_ratio(&[]), step_ratio(&[vec![]])), (None, None));
    }
}
