//! The learning rate.

use std::f64::consts::PI;

/// Half a cosine from `start` at step 0 to `end` at step `period`: a function of the step alone, so that resuming needs no state. (It would
/// rise again after the period; runs end there.)
pub fn cosine(step: u64, period: u64, start: f64, end: f64) -> f64 {
    end + (start - end) * 0.5 * (1.0 + (PI * step as f64 / period.max(1) as f64).cos())
}

/// The share of the rate that step `step` gets: rising evenly over the first `warmup` steps, 1 from then on. Adam's first steps move every weight by the
/// whole rate, whatever the gradient, which weights that are good already do not survive.
pub fn warming(step: u64, warmup: u64) -> f64 {
    ((step + 1) as f64 / warmup.max(1) as f64).min(1.0)
}
