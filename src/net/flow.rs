//! Optical flow between two frames (SPyNet, Ranjan and Black, CVPR 2017) and warping by it.

use super::layers::{
    conv::{Conv, Then},
    local::{Damping, Displaced, gaussian, gradient, summed},
    ops::{GRID, bilinear, cat, imagenet_normalised, sample, zeros},
    variables::Path,
};
use crate::{
    Result,
    config::{FLOW_LEVELS, Recurrence},
    layout::{channels_last, round_up, size},
    native::sample::Outside,
    profile::{self, Stage},
};
use tch::Tensor;

/// The flow network takes sides of multiples of this as they are.
pub const MULTIPLE: i64 = 32;

/// Pyramid levels of SPyNet; the coarsest is 1/32 of the size.
const LEVELS: usize = FLOW_LEVELS;
/// Pixels a side of the picture that are one of the coarsest level.
const COARSEST: i64 = 1 << (LEVELS - 1);

/// SPyNet: flow from coarse to fine over an image pyramid. With fewer levels than the pyramid has it
/// stops at the half or quarter size; its flow is enlarged, and refined in closed form. Without levels
/// no network is asked at all.
#[derive(Debug)]
pub struct SpyNet {
    levels: Vec<Vec<Conv>>,
}

/// A frame's image pyramid, coarse to fine, with the frame's own size. A function of one frame.
#[derive(Debug)]
pub struct Pyramid {
    levels: Vec<Tensor>,
    size: (i64, i64),
}

impl Pyramid {
    pub(crate) fn tensors(&self) -> std::slice::Iter<'_, Tensor> {
        self.levels.iter()
    }
}

impl SpyNet {
    /// `vs` is `FlowNet`, or the root of a file that holds SPyNet alone.
    pub fn new(vs: Path<'_>) -> Result<Self> {
        Self::with_layers(&vs, LEVELS, |convs, j| convs / j / "conv")
    }

    /// Under BasicSR's names, which count the activations between the convolutions. `vs` is `spynet`.
    pub fn basicsr(vs: Path<'_>, levels: usize) -> Result<Self> {
        Self::with_layers(&vs, levels, |convs, j| convs / (2 * j))
    }

    fn with_layers(
        vs: &Path<'_>,
        count: usize,
        path: for<'a> fn(&Path<'a>, usize) -> Path<'a>,
    ) -> Result<Self> {
        const CHANNELS: [i64; 6] = [8, 32, 64, 32, 16, 2];
        let levels = vs / "basic_module";
        let level = |l: usize| -> Result<Vec<Conv>> {
            let convs = &levels / l / "basic_module";
            CHANNELS
                .windows(2)
                .enumerate()
                .map(|(j, c)| Ok(Conv::new(path(&convs, j), c[0], c[1], 7)?.exact()))
                .collect()
        };
        Ok(Self {
            levels: (0..count).map(level).collect::<Result<_>>()?,
        })
    }

    /// The pyramid of an RGB frame, `[1, 3, H, W]` in \[0, 1\].
    pub fn pyramid(frame: &Tensor) -> Result<Pyramid> {
        let _stage = profile::stage(Stage::Flow);
        let (h, w) = size(frame);
        let (height, width) = (round_up(h, COARSEST), round_up(w, COARSEST));
        let frame = if (height, width) == (h, w) {
            frame.shallow_clone()
        } else {
            bilinear(frame, height, width, false)?
        };
        let mut levels = vec![channels_last(&imagenet_normalised(&frame)?)?];
        for level in 1..LEVELS {
            let half =
                levels[level - 1].f_avg_pool2d([2, 2], [2, 2], [0, 0], false, false, None)?;
            levels.push(half);
        }
        levels.reverse();
        Ok(Pyramid {
            levels,
            size: (h, w),
        })
    }

    /// The motion that takes a pixel of `reference` to where it lies in `supporting`: `[1, 2, H, W]`, x
    /// then y, in pixels.
    pub fn flow(&self, reference: &Pyramid, supporting: &Pyramid) -> Result<Tensor> {
        let _stage = profile::stage(Stage::Flow);
        let (h, w) = size(&reference.levels[0]);
        let pictures = reference.levels[0].size()[0];
        let coarsest = &reference.levels[0];
        let mut flow = zeros([pictures, 2, h, w], coarsest.kind(), coarsest.device())?;
        if self.levels.is_empty() {
            flow = closed(reference, supporting, flow)?;
        }
        for (level, net) in self.levels.iter().enumerate() {
            let (reference, supporting) = (&reference.levels[level], &supporting.levels[level]);
            if level > 0 {
                flow = doubled(&flow)?;
            }
            let warped = warp_pixels(supporting, &flow)?;
            flow = flow.f_add(&estimate(net, &[reference, &warped, &flow])?)?;
        }
        if (1..LEVELS).contains(&self.levels.len()) {
            for _ in self.levels.len()..LEVELS {
                flow = doubled(&flow)?;
            }
            let finest = LEVELS - 1;
            let pair = (&reference.levels[finest], &supporting.levels[finest]);
            flow = refined(pair, flow, (STEPS, DAMPING))?;
        }
        let ((h, w), (padded_h, padded_w)) = (reference.size, size(&flow));
        if (h, w) == (padded_h, padded_w) {
            return Ok(flow);
        }
        let flow = bilinear(&flow, h, w, false)?;
        let x = flow.f_narrow(1, 0, 1)?;
        let y = flow.f_narrow(1, 1, 1)?;
        let x = x.f_mul_scalar(w as f64 / padded_w as f64)?;
        let y = y.f_mul_scalar(h as f64 / padded_h as f64)?;
        Ok(Tensor::f_cat(&[x, y], 1)?)
    }

    /// Both motions of a pair in one pass: from `a` to `b` and from `b` to `a`, as [`flow`](Self::flow)
    /// gives them.
    pub fn flows(&self, a: &Pyramid, b: &Pyramid) -> Result<[Tensor; 2]> {
        let joined = |a: &Pyramid, b: &Pyramid| -> Result<Pyramid> {
            let pairs = a.levels.iter().zip(&b.levels);
            let levels = pairs.map(|(a, b)| channels_last(&Tensor::f_cat(&[a, b], 0)?));
            Ok(Pyramid {
                levels: levels.collect::<Result<_>>()?,
                size: a.size,
            })
        };
        let both = self.flow(&joined(a, b)?, &joined(b, a)?)?;
        Ok([both.f_narrow(0, 0, 1)?, both.f_narrow(0, 1, 1)?])
    }
}

/// One level's network: 7 x 7 convolutions with ReLU between them. `parts` are joined.
fn estimate(convs: &[Conv], parts: &[&Tensor]) -> Result<Tensor> {
    let mut x = cat(parts)?;
    for (j, conv) in convs.iter().enumerate() {
        let last = j + 1 == convs.len();
        x = conv.then(
            &[&x],
            if last {
                Then::NOTHING
            } else {
                Then::lrelu(0.0)
            },
        )?;
    }
    Ok(x)
}

/// Lucas-Kanade steps of a flow that was found at a smaller size.
const STEPS: usize = 3;
/// Sigma of their windows, in pixels.
const WINDOW: f64 = 3.0;
/// Strong: a step that is too short is made up for by the next one, one too long is not.
const DAMPING: Damping = Damping {
    share: 2.0,
    floor: 1e-4,
};
/// The longest step, in pixels.
const LONGEST: f64 = 1.0;
/// A step must leave less than this share of the difference: where things cover one another none does.
const BETTER: f64 = 0.97;

/// Where all of a flow is found so: steps at the coarse levels and at the finest one, and their damping.
const CLOSED: [(usize, Damping); 2] = {
    let damping = Damping {
        share: 0.5,
        floor: 1e-4,
    };
    [(4, damping), (2, damping)]
};

/// A flow of the finest level's size that is found in closed form alone, up to the half size.
fn closed(reference: &Pyramid, supporting: &Pyramid, mut flow: Tensor) -> Result<Tensor> {
    let levels = reference.levels.iter().zip(&supporting.levels);
    for (level, pair) in levels.take(LEVELS - 1).enumerate() {
        if level > 0 {
            flow = doubled(&flow)?;
        }
        let finest = usize::from(level + 2 == LEVELS);
        flow = refined(pair, flow, CLOSED[finest])?;
    }
    doubled(&flow)
}

/// A better flow from a reference picture to a supporting one, `[N, 3, H, W]` each, than one that was
/// enlarged, by so many steps.
fn refined(
    (reference, supporting): (&Tensor, &Tensor),
    mut flow: Tensor,
    (steps, damping): (usize, Damping),
) -> Result<Tensor> {
    let mut warped = warp_pixels(supporting, &flow)?;
    for _ in 0..steps {
        let difference = reference.f_sub(&warped)?;
        let (x, y) = gradient(&reference.f_add(&warped)?.f_mul_scalar(0.5)?)?;
        let found = Displaced::new((&x, &y), &difference, None, WINDOW, damping)?;
        let step = found.displacement()?.f_clamp(-LONGEST, LONGEST)?;
        let next = warp_pixels(supporting, &flow.f_add(&step)?)?;
        let left = summed(&reference.f_sub(&next)?.f_square()?)?;
        let bar = found.difference.f_mul_scalar(BETTER)?;
        let is_better = gaussian(&left, WINDOW)?.f_lt_tensor(&bar)?;
        flow = flow.f_add(&step.f_mul(&is_better.f_to_kind(step.kind())?)?)?;
        warped = next.f_where_self(&is_better, &warped)?;
    }
    Ok(flow)
}

/// A flow for pictures of twice the size.
pub fn doubled(flow: &Tensor) -> Result<Tensor> {
    let (h, w) = size(flow);
    Ok(bilinear(flow, 2 * h, 2 * w, true)?.f_mul_scalar(2.0)?)
}

/// SPyNet's own warp: samples at pixel + flow, the edge repeated outside.
fn warp_pixels(x: &Tensor, flow: &Tensor) -> Result<Tensor> {
    sample(x, &grid(flow, size(x))?, Outside::Edge, true)
}

/// Sampling positions, `[N, H, W, 2]` with H, W the flow's, in units in which -1 and 1 are the centres of
/// the first and last pixels of a picture of size `of`: the flow's own pixel grid spread over \[-1, 1\],
/// plus the flow.
pub fn grid(flow: &Tensor, of: (i64, i64)) -> Result<Tensor> {
    let flow = flow.f_to_kind(GRID)?;
    let (h, w) = size(&flow);
    let axis = |n: i64| -> Result<Tensor> {
        // A single row or column lies at -1, where a position of 0 pixels is.
        let last = if n > 1 { 1.0 } else { -1.0 };
        Ok(Tensor::f_linspace(-1.0, last, n, (GRID, flow.device()))?)
    };
    let half = |n: i64| ((n - 1).max(1)) as f64 / 2.0;
    let x = flow.f_select(1, 0)?.f_div_scalar(half(of.1))?;
    let y = flow.f_select(1, 1)?.f_div_scalar(half(of.0))?;
    let x = x.f_add(&axis(w)?.f_view([1, 1, w])?)?;
    let y = y.f_add(&axis(h)?.f_view([1, h, 1])?)?;
    Ok(Tensor::f_stack(&[x, y], 3)?)
}

/// The network's warp, at positions from [`grid`]; nothing (zero) outside the picture.
/// [`Recurrence::Upstream`] keeps the mismatch of the published weights: positions meant for pixel
/// centres at -1 and 1 are read as if the picture's borders lay there.
pub fn warp(x: &Tensor, grid: &Tensor, recurrence: Recurrence) -> Result<Tensor> {
    sample(x, grid, Outside::Zeros, recurrence == Recurrence::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, nn::VarStore};

    /// A texture, and the same moved by so many pixels.
    fn moved(by: (f64, f64)) -> (Tensor, Tensor) {
        tch::manual_seed(3);
        let noise = Tensor::rand([1, 3, 64, 96], (Kind::Float, Device::Cpu));
        let texture = gaussian(&noise, 1.2).unwrap() * 4.0;
        let flow = Tensor::from_slice(&[-by.0 as f32, -by.1 as f32]).view([1, 2, 1, 1]);
        let flow = flow.expand([1, 2, 64, 96], false);
        let other = warp_pixels(&texture, &flow).unwrap();
        (texture, other)
    }

    #[test]
    fn an_enlarged_flow_is_refined() {
        let (texture, other) = moved((0.6, -0.4));
        let start = texture.narrow(1, 0, 2).zeros_like();
        let flow = refined((&texture, &other), start, (STEPS, DAMPING)).unwrap();
        let inner = flow.narrow(2, 8, 48).narrow(3, 8, 80);
        for (channel, expected) in [(0, 0.6), (1, -0.4)] {
            let off = (inner.select(1, channel) - expected).abs();
            let (mean, most) = (off.mean(Kind::Float), off.max());
            assert!(mean.double_value(&[]) < 0.05, "{channel}: {mean:?}");
            assert!(most.double_value(&[]) < 0.2, "{channel}: {most:?}");
        }
    }

    #[test]
    fn a_flow_stays_where_no_step_leaves_less() {
        let (texture, _) = moved((0.0, 0.0));
        let start = texture.narrow(1, 0, 2) * 0.2;
        let plain = texture.ones_like() * 0.5;
        let flow = refined((&texture, &plain), start.shallow_clone(), (STEPS, DAMPING)).unwrap();
        assert!(flow.equal(&start));
    }

    #[test]
    fn both_flows_of_a_pair_are_those_found_one_by_one() {
        let store = VarStore::new(Device::Cpu);
        for levels in [LEVELS, LEVELS - 1] {
            let net = SpyNet::basicsr((store.root() / levels).into(), levels).unwrap();
            let (a, b) = moved((1.0, 0.5));
            let pyramid = |x: &Tensor| SpyNet::pyramid(&(x / 4.0)).unwrap();
            let (a, b) = (pyramid(&a), pyramid(&b));
            let [on, back] = tch::no_grad(|| net.flows(&a, &b)).unwrap();
            for (both, one) in [(on, net.flow(&a, &b)), (back, net.flow(&b, &a))] {
                let off = (both - one.unwrap()).abs().max().double_value(&[]);
                assert!(off < 1e-5, "{levels} levels: {off}");
            }
        }
    }
}
