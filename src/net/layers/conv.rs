//! Convolutions: one type, computed as the [context](super::context) says.

use super::{
    context::{self, Arithmetic},
    ops::{activated, added, cat},
    pieces::{Piece, Window, in_pieces},
    variables::Path,
};
use crate::{
    Result,
    layout::{channels_last, size},
    native::{
        direct,
        winograd::{self, Tile},
    },
    profile,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tch::{Device, Kind, Tensor, nn::Init};

/// A convolution with bias and padding k/2.
#[derive(Debug)]
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
    /// What it may be computed by, whatever the context asks for.
    limit: Limit,
    /// The weights as the last call needed them. Made anew when weights or context have changed.
    prepared: Mutex<Option<Arc<Prepared>>>,
    /// Whether the weights are all zero, as found at a version of them.
    idle: Mutex<Option<(i64, bool)>>,
}

/// Convolutions that decide where something is matched or sampled are computed in fp32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// None.
    Any,
    /// In fp32.
    Fp32,
    /// In fp32 and in its direct form: rounding could change which match is the best.
    Exact,
}

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By libtorch, in this kind.
    Torch(Kind),
    /// By our kernel for the direct form, in this kind.
    Direct(Kind),
    /// By our kernel with fewer multiplications, in fp32.
    Winograd(Tile),
}

#[derive(Debug)]
struct Prepared {
    way: Way,
    version: i64,
    form: Form,
}

// SAFETY: its tensors are never changed, and libtorch's tensors may be read from any number of threads.
unsafe impl Sync for Prepared {}

/// A lock's content. What it guards is replaced whole, so a panic elsewhere leaves it as it was.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `x` in this kind.
fn in_kind(x: &Tensor, kind: Kind) -> Result<Tensor> {
    if x.kind() == kind {
        Ok(x.shallow_clone())
    } else {
        Ok(x.f_to_kind(kind)?)
    }
}

#[derive(Debug)]
enum Form {
    /// Weight and bias for libtorch, channels last.
    Torch(Tensor, Tensor),
    Direct(direct::Weights),
    Winograd(winograd::Weights),
}

/// What follows a convolution.
#[derive(Debug, Clone, Copy)]
pub struct Then<'a> {
    /// Slope of a leaky ReLU: 1 is none, 0 is a ReLU.
    slope: f64,
    /// Pixel shuffle by 2, before the activation.
    shuffle: bool,
    /// Added at the end, of the output's shape.
    residual: Option<&'a Tensor>,
}

impl<'a> Then<'a> {
    /// Nothing.
    pub const NOTHING: Self = Self {
        slope: 1.0,
        shuffle: false,
        residual: None,
    };

    /// A leaky ReLU; of slope 0 a ReLU.
    pub fn lrelu(slope: f64) -> Self {
        Self {
            slope,
            ..Self::NOTHING
        }
    }

    /// `x` is added.
    pub fn add(x: &'a Tensor) -> Self {
        Self {
            residual: Some(x),
            ..Self::NOTHING
        }
    }

    /// A pixel shuffle by 2, then a leaky ReLU of this slope (1 is none).
    pub fn shuffle(slope: f64) -> Self {
        Self {
            slope,
            shuffle: true,
            residual: None,
        }
    }
}

impl Conv {
    /// `k` x `k`, `input` to `output` channels, stride 1. Starts as PyTorch's convolutions do: uniform
    /// within 1/sqrt(fan-in).
    pub fn new(vs: Path<'_>, input: i64, output: i64, k: i64) -> Result<Self> {
        Self::strided(vs, input, output, k, 1)
    }

    /// A convolution with a stride.
    pub fn strided(vs: Path<'_>, input: i64, output: i64, k: i64, stride: i64) -> Result<Self> {
        let bound = 1.0 / ((input * k * k) as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Self::with(vs, [output, input, k, k], init, stride)
    }

    /// A convolution of stride 1 that starts as all zeros.
    pub fn zero(vs: Path<'_>, input: i64, output: i64, k: i64) -> Result<Self> {
        Self::with(vs, [output, input, k, k], Init::Const(0.0), 1)
    }

    fn with(vs: Path<'_>, shape: [i64; 4], init: Init, stride: i64) -> Result<Self> {
        Ok(Self {
            weight: vs.variable("weight", &shape, init)?,
            bias: vs.variable("bias", &shape[..1], init)?,
            stride,
            padding: shape[2] / 2,
            limit: Limit::Any,
            prepared: Mutex::new(None),
            idle: Mutex::new(None),
        })
    }

    /// The same, always computed in fp32 and in its direct form.
    pub fn exact(self) -> Self {
        let limit = Limit::Exact;
        Self { limit, ..self }
    }

    /// The same, always computed in fp32.
    pub fn fp32(self) -> Self {
        let limit = Limit::Fp32;
        Self { limit, ..self }
    }

    /// Whether it gives zero for every input, and will: its weights are zero and are not being trained.
    pub fn is_idle(&self) -> Result<bool> {
        if self.weight.requires_grad() || self.bias.requires_grad() {
            return Ok(false);
        }
        let version = self.version()?;
        let known = *locked(&self.idle);
        if let Some((_, idle)) = known.filter(|&(found, _)| found == version) {
            return Ok(idle);
        }
        let zero =
            |t: &Tensor| -> Result<bool> { Ok(t.f_count_nonzero(None)?.f_int64_value(&[])? == 0) };
        let idle = zero(&self.bias)? && zero(&self.weight)?;
        *locked(&self.idle) = Some((version, idle));
        Ok(idle)
    }

    /// Grows whenever a weight is changed.
    fn version(&self) -> Result<i64> {
        Ok(self.weight.f_internal_version()? + self.bias.f_internal_version()?)
    }

    /// `[N, input, H, W]` to `[N, output, H/stride, W/stride]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.then(&[x], Then::NOTHING)
    }

    /// The convolution of all `parts` `[N, C_i, H, W]` joined, whose channels add up to its input's, and
    /// what follows it.
    pub fn then(&self, parts: &[&Tensor], then: Then<'_>) -> Result<Tensor> {
        context::check()?;
        let tracked = parts
            .iter()
            .chain(&then.residual)
            .any(|x| x.requires_grad());
        if self.weight.requires_grad() || self.bias.requires_grad() {
            // Being trained: the weights as they are, which keeps their gradients.
            let own = (self.weight.shallow_clone(), self.bias.shallow_clone());
            return self.in_pieces((&own.0, &own.1), parts, then);
        }
        let way = self.way(parts, tracked);
        let version = self.version()?;
        // Not locked for longer: sessions of one network compute at the same time.
        let known = locked(&self.prepared).clone();
        let usable = |p: &Arc<Prepared>| {
            (p.way, p.version) == (way, version)
                && match &p.form {
                    Form::Winograd(weights) => weights.fits(parts, then.shuffle),
                    Form::Direct(weights) => weights.fits(parts, then.shuffle),
                    Form::Torch(..) => true,
                }
        };
        let prepared = match known.filter(usable) {
            Some(prepared) => prepared,
            None => {
                let prepared = Arc::new(Prepared {
                    way,
                    version,
                    form: self.prepare(way, parts, then.shuffle)?,
                });
                *locked(&self.prepared) = Some(prepared.clone());
                prepared
            }
        };
        match &prepared.form {
            Form::Winograd(weights) => context::with_stop(|stop| {
                let out = weights.convolve(parts, then.slope, then.residual, stop)?;
                self.count(&out);
                Ok(out)
            }),
            Form::Direct(weights) => {
                let kind = weights.kind();
                let parts = parts.iter().map(|x| in_kind(x, kind));
                let parts = parts.collect::<Result<Vec<_>>>()?;
                let residual = then.residual.map(|x| in_kind(x, kind)).transpose()?;
                let parts: Vec<&Tensor> = parts.iter().collect();
                context::with_stop(|stop| {
                    let out = weights.convolve(&parts, then.slope, residual.as_ref(), stop)?;
                    self.count(&out);
                    Ok(out)
                })
            }
            Form::Torch(weight, bias) => self.in_pieces((weight, bias), parts, then),
        }
    }

    /// How it is computed for these inputs.
    fn way(&self, parts: &[&Tensor], tracked: bool) -> Way {
        let asked = context::arithmetic();
        let kind = match self.limit {
            Limit::Any => asked.kind(),
            Limit::Exact | Limit::Fp32 => Kind::Float,
        };
        let ours = self.stride == 1 && !tracked && parts.iter().all(|x| x.device() == Device::Cpu);
        if !ours {
            return Way::Torch(kind);
        }
        let [output, input, kernel, _] = self.weight.size()[..] else {
            return Way::Torch(kind);
        };
        let fp32 = kind == Kind::Float && parts.iter().all(|x| x.kind() == Kind::Float);
        let tile = match asked {
            Arithmetic::Winograd => Tile::Four,
            _ => Tile::Two,
        };
        let winograd = self.limit != Limit::Exact
            && output.min(input) >= tile.fewest_channels()
            && parts.iter().all(|x| x.size()[0] == 1);
        match kernel {
            3 if fp32 && winograd => Way::Winograd(tile),
            3.. if direct::suits(parts, kernel, kind) => Way::Direct(kind),
            _ => Way::Torch(kind),
        }
    }

    fn prepare(&self, way: Way, parts: &[&Tensor], shuffle: bool) -> Result<Form> {
        let (weight, bias) = (self.weight.detach(), self.bias.detach());
        let channels: Vec<i64> = parts.iter().map(|x| x.size()[1]).collect();
        tch::no_grad(|| {
            Ok(match way {
                Way::Winograd(tile) => {
                    let weights = winograd::Weights::new(&weight, &bias, &channels, shuffle, tile)?;
                    Form::Winograd(weights)
                }
                Way::Direct(kind) => {
                    let weights = direct::Weights::new(&weight, &bias, &channels, shuffle, kind)?;
                    Form::Direct(weights)
                }
                Way::Torch(kind) => {
                    let weight = channels_last(&weight.f_to_kind(kind)?)?;
                    Form::Torch(weight, bias.f_to_kind(kind)?)
                }
            })
        })
    }

    /// On the CPU in pieces of rows where the picture is large; whole where gradients are wanted, and on devices
    /// that are given orders and not waited for.
    fn in_pieces(
        &self,
        weights: (&Tensor, &Tensor),
        parts: &[&Tensor],
        then: Then<'_>,
    ) -> Result<Tensor> {
        let (h, w) = parts.first().map_or((0, 0), |x| size(x));
        let window = Window {
            kernel: 2 * self.padding + 1,
            stride: self.stride,
        };
        let pictures = parts.first().map_or(1, |x| x.size()[0]);
        let row = 2 * pictures * self.weight.numel() as i64 * window.outputs(w);
        // A view of a weight tells whether gradients are kept here.
        let tracked = [weights.0, weights.1]
            .into_iter()
            .chain(parts.iter().copied())
            .chain(then.residual)
            .map(|x| Ok(x.requires_grad() && x.f_narrow(0, 0, 1)?.requires_grad()))
            .collect::<Result<Vec<bool>>>()?;
        if tracked.contains(&true) || self.weight.device() != Device::Cpu {
            return self.piece(weights, parts, then, window.whole(h));
        }
        let factor = if then.shuffle { 2 } else { 1 };
        in_pieces(h, window, row, factor, |piece| {
            context::check()?;
            self.piece(weights, parts, then, piece)
        })
    }

    /// Some rows of the output.
    fn piece(
        &self,
        (weight, bias): (&Tensor, &Tensor),
        parts: &[&Tensor],
        then: Then<'_>,
        piece: Piece,
    ) -> Result<Tensor> {
        let kind = weight.kind();
        let taken = parts.iter().map(|x| {
            let x = piece.of_input(x)?;
            in_kind(&x, kind)
        });
        let taken = taken.collect::<Result<Vec<_>>>()?;
        let (x, rows) = piece.padded(cat(&taken.iter().collect::<Vec<_>>())?, self.padding)?;
        let (s, p) = (self.stride, self.padding);
        let y = x.f_conv2d(weight, Some(bias), [s, s], [rows, p], [1, 1], 1)?;
        self.count(&y);
        let y = if then.shuffle {
            channels_last(&y.f_pixel_shuffle(2)?)?
        } else {
            y
        };
        let y = activated(y, then.slope)?;
        match then.residual {
            Some(x) => added(y, &piece.of_output(x, if then.shuffle { 2 } else { 1 })?),
            None => Ok(y),
        }
    }

    /// Tells the profile of the multiplications and additions that `out` took.
    fn count(&self, out: &Tensor) {
        profile::add_flops(|| match self.weight.size()[..] {
            [_, input, k, _] => 2 * out.numel() as u64 * (input * k * k) as u64,
            _ => 0,
        });
    }
}
