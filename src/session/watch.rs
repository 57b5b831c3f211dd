//! The safety net: recurrence that runs away is noticed by what its outputs show, and begins anew.
//!
//! Where an output's signs leave what the run's first output showed, the same output is made once more by
//! a run that begins there. Content that changed shows in both; runaway recurrence only in the old one.

use super::signs::Signs;
use crate::Result;
use tch::Tensor;

/// Recurrence that runs away has a residual and a feature that are both larger than a fresh run's, by these
/// factors. Each alone has good reasons: what noise adds up to is in features (steady models stay under 1.35
/// at noise of 8 codes), and where an encoder left out detail that recurrence knows, the output differs from
/// its input (up to 1.9 times at x264's quantizer 33; features up to 1.2).
const BOTH: (f64, f64) = (1.15, 1.25);
/// This many times are too much whatever the other says.
const EITHER: (f64, f64) = (4.0, 8.0);
/// A network that was trained leaves far less of a residual than bicubic enlargement, a quarter of it or so.
/// One that leaves more than this share of it gives something else than its input, and its residual proves
/// nothing.
const TRAINED: f64 = 0.9;
/// Residuals under half a code are as good as none.
const FLOOR: f64 = 0.5 / 255.0;

/// What follows from a comparison with a fresh run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The old run is as good.
    GoesOn,
    /// The fresh run takes over.
    TakesOver,
}

/// What an output is compared with, on the device.
#[derive(Debug)]
pub struct Comparison {
    /// The same output as a fresh run makes it: see [`Signs::measure`].
    pub fresh: Tensor,
    /// The residual of bicubic enlargement.
    pub plain: Tensor,
}

/// What is known of the run that outputs come from.
#[derive(Debug, Default)]
pub struct Watch {
    /// What a fresh run shows.
    fresh: Option<Signs>,
    /// Of the last output, still on the device; and what it is to be compared with.
    measured: Option<(Tensor, Option<Comparison>)>,
    /// Residuals prove nothing in this clip.
    blind: bool,
    /// The last output that was read left what a fresh run shows.
    suspicious: bool,
}

impl Watch {
    /// A run begins: what comes next is what a fresh run shows.
    pub fn begin(&mut self) {
        self.fresh = None;
        self.suspicious = false;
    }

    /// An output was measured, see [`Signs::measure`], and maybe what it is to be compared with.
    pub fn saw(&mut self, measured: Tensor, comparison: Option<Comparison>) {
        self.measured = Some((measured, comparison));
    }

    /// Whether a fresh run should be compared.
    pub fn is_suspicious(&self) -> bool {
        self.suspicious
    }

    /// Reads what was measured, which waits for the device. A verdict follows a comparison.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn read(&mut self) -> Result<Option<Verdict>> {
        let Some((measured, comparison)) = self.measured.take() else {
            return Ok(None);
        };
        let signs = Signs::read(&measured)?;
        let Some(Comparison { fresh, plain }) = comparison else {
            self.look_at(signs);
            return Ok(None);
        };
        let plain = f64::try_from(&plain)?;
        Ok(Some(self.compare(signs, Signs::read(&fresh)?, plain)))
    }

    fn compare(&mut self, signs: Signs, fresh: Signs, plain: f64) -> Verdict {
        self.fresh = Some(fresh);
        self.suspicious = false;
        if fresh.residual > TRAINED * plain {
            self.blind = true;
            return Verdict::GoesOn;
        }
        verdict(signs, fresh)
    }

    fn look_at(&mut self, signs: Signs) {
        let usual = *self.fresh.get_or_insert(signs);
        // Content that has more of everything is not suspicious.
        let more = |now: f64, then: f64| if now > then { now / then } else { 1.0 };
        let expected = Signs {
            residual: usual.residual.max(FLOOR) * more(signs.contrast, usual.contrast),
            forward: usual.forward * more(signs.backward, usual.backward),
            ..usual
        };
        self.suspicious = !self.blind && verdict(signs, expected) != Verdict::GoesOn;
    }
}

/// Values that are no numbers are as bad as it gets.
fn verdict(signs: Signs, fresh: Signs) -> Verdict {
    if fresh.forward <= 0.0 {
        return Verdict::GoesOn;
    }
    let residual = signs.residual / fresh.residual.max(FLOOR);
    let feature = signs.forward / fresh.forward;
    let is_good =
        residual <= EITHER.0 && feature <= EITHER.1 && (residual <= BOTH.0 || feature <= BOTH.1);
    match is_good {
        true => Verdict::GoesOn,
        false => Verdict::TakesOver,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signs(residual: f64, contrast: f64, forward: f64, backward: f64) -> Signs {
        Signs {
            residual: residual / 255.0,
            contrast: contrast / 255.0,
            forward,
            backward,
        }
    }

    fn suspicious(outputs: &[Signs]) -> Vec<bool> {
        let mut watch = Watch::default();
        let judged = outputs.iter().map(|&signs| {
            watch.look_at(signs);
            watch.is_suspicious()
        });
        judged.collect()
    }

    #[test]
    fn outputs_are_compared_with_the_first_one() {
        let first = signs(0.7, 14.0, 0.085, 0.083);
        // A steady model on a tripod shot, and ones whose recurrent weights are too large.
        let steady = signs(0.66, 13.7, 0.088, 0.077);
        let grown = signs(0.9, 13.7, 0.109, 0.080);
        let exploded = signs(2.1, 13.7, 0.77, 0.082);
        let odd = signs(f64::NAN, 13.7, 0.08, 0.08);
        assert_eq!(
            suspicious(&[first, steady, grown, exploded, odd, steady]),
            [false, false, true, true, true, false]
        );
        // Noise that adds up, and detail that an encoder left out.
        let noisy = signs(0.75, 14.5, 0.113, 0.083);
        let coded = signs(1.3, 14.0, 0.101, 0.083);
        assert_eq!(suspicious(&[first, noisy, coded]), [false; 3]);
    }

    #[test]
    fn more_of_everything_is_not_suspicious() {
        let sky = signs(0.6, 2.0, 0.05, 0.05);
        let leaves = signs(2.8, 10.0, 0.12, 0.11);
        assert_eq!(suspicious(&[sky, leaves, sky]), [false; 3]);
        // Less of it neither, nor what is under half a code.
        let wall = signs(0.1, 1.0, 0.05, 0.05);
        let nearly = signs(0.6, 1.0, 0.05, 0.05);
        assert_eq!(suspicious(&[leaves, wall]), [false; 2]);
        assert_eq!(suspicious(&[wall, nearly]), [false; 2]);
        // An untrained branch has no feature at all.
        let none = signs(0.6, 2.0, 0.0, 0.0);
        assert_eq!(suspicious(&[none, none]), [false; 2]);
    }

    #[test]
    fn untrained_networks_prove_nothing() {
        let first = signs(9.4, 35.0, 0.5, 0.5);
        let other = signs(12.0, 35.0, 1.5, 0.5);
        let mut watch = Watch::default();
        watch.look_at(first);
        watch.look_at(other);
        assert!(watch.is_suspicious());
        assert_eq!(watch.compare(other, first, 9.0 / 255.0), Verdict::GoesOn);
        watch.look_at(other);
        assert!(!watch.is_suspicious());
    }

    #[test]
    fn a_fresh_run_decides() {
        let first = signs(0.7, 14.0, 0.08, 0.08);
        for (old, fresh, verdict) in [
            (
                signs(1.4, 14.0, 0.12, 0.08),
                signs(1.3, 14.0, 0.08, 0.08),
                Verdict::GoesOn,
            ),
            (
                signs(1.4, 14.0, 0.12, 0.08),
                signs(1.1, 14.0, 0.08, 0.08),
                Verdict::TakesOver,
            ),
            (
                signs(1.4, 14.0, 0.12, 0.08),
                signs(1.1, 14.0, 0.11, 0.08),
                Verdict::GoesOn,
            ),
            (signs(0.7, 14.0, 0.7, 0.08), first, Verdict::TakesOver),
            (signs(3.0, 14.0, 0.08, 0.08), first, Verdict::TakesOver),
            (
                signs(f64::INFINITY, 14.0, 0.08, 0.08),
                first,
                Verdict::TakesOver,
            ),
        ] {
            let mut watch = Watch::default();
            watch.look_at(first);
            watch.look_at(old);
            assert_eq!(watch.compare(old, fresh, 4.0 / 255.0), verdict, "{old:?}");
            // What the fresh run shows is what is usual from now on.
            assert!(!watch.is_suspicious());
            watch.look_at(fresh);
            assert!(!watch.is_suspicious());
        }
    }
}
