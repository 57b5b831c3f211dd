//! Figures of a clip's outputs, frame by frame.

use super::clip::{Clip, Way};
use crate::synthesize::reduce::reduce;
use anyhow::{Result, ensure};
use refvsr::metrics::psnr;
use tch::{Kind, Tensor};

/// PSNR of equal pictures, which has no number.
const EQUAL: f64 = 100.0;

/// One output.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// PSNR in dB over the whole frame, where there is a truth.
    pub psnr: Option<f64>,
    /// The same over the wide camera's field.
    pub field: Option<f64>,
    /// Root mean square of the difference to the output before, in codes. None of the first.
    pub step: Option<f64>,
    /// The same after that output was moved to where this one is.
    pub warping: Option<f64>,
    /// Root mean square of what the output, reduced as the input was, differs from the input, in codes.
    pub residual: f64,
}

/// Takes the outputs of a clip in their order.
pub struct Meter<'a> {
    clip: &'a Clip,
    scale: i64,
    before: Option<Tensor>,
    /// Of the outputs so far.
    pub figures: Vec<Figures>,
}

impl<'a> Meter<'a> {
    /// At a clip's start.
    pub fn new(clip: &'a Clip, scale: i64) -> Self {
        Self {
            clip,
            scale,
            before: None,
            figures: vec![],
        }
    }

    /// The next output, `[1, 3, H, W]` in \[0, 1\] on the CPU.
    ///
    /// # Errors
    /// Where it is one too many, or of a wrong size.
    pub fn take(&mut self, out: &Tensor) -> Result<()> {
        let n = self.figures.len();
        ensure!(
            n < self.clip.inputs.len(),
            "output {n} of a clip of {} frames",
            self.clip.inputs.len()
        );
        let truth = self.clip.truths.get(n);
        let truth = truth.map(values).transpose()?;
        let quality = |a: &Tensor, b: &Tensor| psnr(a, b).map(|psnr| psnr.min(EQUAL));
        let reduced = reduce(out, self.scale)?;
        let moved = match (&self.before, n.checked_sub(1).map(|n| &self.clip.ways[n])) {
            (Some(before), Some(way)) => Some((root(out, before)?, warping(out, before, way)?)),
            _ => None,
        };
        self.figures.push(Figures {
            psnr: truth
                .as_ref()
                .map(|truth| quality(out, truth))
                .transpose()?,
            field: truth
                .as_ref()
                .map(|truth| anyhow::Ok(quality(&inner(out)?, &inner(truth)?)?))
                .transpose()?,
            step: moved.map(|(step, _)| step),
            warping: moved.map(|(_, warping)| warping),
            residual: root(&reduced, &self.clip.inputs[n])?,
        });
        self.before = Some(out.shallow_clone());
        Ok(())
    }
}

/// Codes as values in \[0, 1\].
pub fn values(codes: &Tensor) -> Result<Tensor> {
    Ok(codes.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?)
}

/// The middle half of both sides: the wide camera's field.
fn inner(picture: &Tensor) -> Result<Tensor> {
    let (h, w) = (picture.size()[2], picture.size()[3]);
    Ok(picture
        .f_narrow(2, h / 4, h / 2)?
        .f_narrow(3, w / 4, w / 2)?)
}

/// Root mean square difference in codes.
fn root(a: &Tensor, b: &Tensor) -> Result<f64> {
    let squares = (a - b).f_square()?.f_mean(Kind::Double)?;
    Ok(255.0 * squares.f_double_value(&[])?.sqrt())
}

/// Root mean square difference in codes to the picture before, moved, where that shows what this does.
fn warping(now: &Tensor, before: &Tensor, way: &Way) -> Result<f64> {
    const BICUBIC: i64 = 2;
    const BORDER: i64 = 1;
    let grid = match way {
        Way::Still => return root(now, before),
        Way::Grid(grid) => grid,
    };
    let moved = before.f_grid_sampler(grid, BICUBIC, BORDER, false)?;
    // Positions within the picture: -1 to 1.
    let inside = grid
        .f_abs()?
        .f_amax([3], false)?
        .f_le(1.0)?
        .f_to_kind(Kind::Float)?
        .f_unsqueeze(1)?;
    let squares = (now - moved).f_square()?.f_mul(&inside)?;
    let sum = squares.f_sum(Kind::Double)?.f_double_value(&[])?;
    let count = 3.0 * inside.f_sum(Kind::Double)?.f_double_value(&[])?;
    Ok(255.0 * (sum / count.max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::Random;

    const SIZE: [i64; 4] = [1, 3, 48, 64];

    fn noise(random: &mut Random, codes: f64) -> Tensor {
        let count: i64 = SIZE.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| (codes * random.normal_pair().0 / 255.0) as f32)
            .collect();
        Tensor::from_slice(&values).view(SIZE)
    }

    /// A tripod shot, and outputs that are its truth under noise of one code.
    fn shot(count: usize) -> (Clip, Vec<Tensor>) {
        let mut random = Random::new(1, 0, 0);
        let truth = noise(&mut random, 20.0) + 0.5;
        let codes = (&truth * 255.0).round().to_kind(Kind::Uint8);
        let truth = values(&codes).unwrap();
        let input = reduce(&truth, 4).unwrap();
        let clip = Clip {
            truths: (0..count).map(|_| codes.shallow_clone()).collect(),
            inputs: (0..count).map(|_| input.shallow_clone()).collect(),
            wide: vec![],
            ways: (1..count).map(|_| Way::Still).collect(),
            footage: Default::default(),
        };
        let outs = (0..count).map(|_| &truth + noise(&mut random, 1.0));
        (clip, outs.collect())
    }

    fn measured(clip: &Clip, outs: &[Tensor]) -> Vec<Figures> {
        let mut meter = Meter::new(clip, 4);
        outs.iter().for_each(|out| meter.take(out).unwrap());
        assert!(meter.take(&outs[0]).is_err(), "one too many");
        meter.figures
    }

    #[test]
    fn a_planted_seam_stands_out_of_the_steps() {
        let (clip, mut outs) = shot(16);
        let plain = measured(&clip, &outs);
        assert_eq!(plain[0].step, None);
        // Noise of one code in both, and PSNR is that of the noise.
        for figures in &plain[1..] {
            assert!(
                (figures.step.unwrap() - 2f64.sqrt()).abs() < 0.1,
                "{figures:?}"
            );
            assert_eq!(figures.step, figures.warping);
            assert!((figures.psnr.unwrap() - 48.13).abs() < 0.3, "{figures:?}");
            // Reducing averages the noise away.
            assert!(figures.residual < 0.5, "{figures:?}");
        }
        let seam = noise(&mut Random::new(2, 0, 0), 4.0);
        for out in &mut outs[9..] {
            *out = &*out + &seam;
        }
        let steps = measured(&clip, &outs)
            .iter()
            .map(|f| f.step.unwrap_or(0.0))
            .collect::<Vec<_>>();
        let largest = (0..16)
            .max_by(|&a, &b| steps[a].total_cmp(&steps[b]))
            .unwrap();
        assert_eq!(largest, 9);
        assert!(
            steps[9] > 2.5 * steps[8] && steps[10] < 1.2 * steps[8],
            "{steps:?}"
        );
    }

    #[test]
    fn the_wide_field_is_the_middle() {
        let (clip, outs) = shot(2);
        let plain = measured(&clip, &outs);
        let mut middle = outs[1].narrow(2, 12, 24).narrow(3, 16, 32);
        let _ = middle.f_add_scalar_(0.02).unwrap();
        let spoilt = measured(&clip, &outs);
        assert!(spoilt[1].field.unwrap() < plain[1].field.unwrap() - 10.0);
        let mut edge = outs[0].narrow(2, 0, 12);
        let _ = edge.f_add_scalar_(0.02).unwrap();
        let spoilt = measured(&clip, &outs);
        assert_eq!(spoilt[0].field, plain[0].field);
        assert!(spoilt[0].psnr.unwrap() < plain[0].psnr.unwrap() - 5.0);
        assert!(spoilt[0].residual > plain[0].residual + 1.0);
    }

    #[test]
    fn what_moves_as_the_camera_did_has_no_warping_error() {
        let (mut clip, _) = shot(2);
        let still =
            Tensor::from_slice(&[1f32, 0.0, 2.0 * 3.0 / 64.0, 0.0, 1.0, 0.0]).view([1, 2, 3]);
        clip.ways = vec![Way::Grid(Tensor::affine_grid_generator(
            &still, SIZE, false,
        ))];
        let texture = noise(&mut Random::new(4, 0, 0), 30.0) + 0.5;
        // The second frame shows what lay three pixels to the right.
        let outs = [texture.shallow_clone(), texture.roll([-3i64], [3i64])];
        let figures = measured(&clip, &outs)[1];
        assert!(figures.step.unwrap() > 30.0, "{figures:?}");
        assert!(figures.warping.unwrap() < 0.5, "{figures:?}");
    }
}
