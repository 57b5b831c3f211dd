//! The layers the blocks are made of. Fields are named as the keys of upstream's state dict.

use crate::Result;
use tch::{
    Kind, Tensor,
    nn::{Init, Path},
};

/// A convolution with bias and padding k/2.
#[derive(Debug)]
pub struct Conv {
    weight: Tensor,
    bias: Tensor,
    stride: i64,
    padding: i64,
}

impl Conv {
    /// `k` x `k`, `input` to `output` channels, stride 1. Starts as PyTorch's convolutions do: uniform within 1/sqrt(fan-in).
    pub fn new(vs: Path<'_>, input: i64, output: i64, k: i64) -> Result<Self> {
        Self::strided(vs, input, output, k, 1)
    }

    /// The same, starting as all zeros.
    pub fn zero(vs: Path<'_>, input: i64, output: i64, k: i64) -> Result<Self> {
        let zeros = Init::Const(0.0);
        let (weight, bias) = (
            vs.f_var("weight", &[output, input, k, k], zeros)?,
            vs.f_var("bias", &[output], zeros)?,
        );
        Ok(Self {
            weight,
            bias,
            stride: 1,
            padding: k / 2,
        })
    }

    /// The same with a stride.
    pub fn strided(vs: Path<'_>, input: i64, output: i64, k: i64, stride: i64) -> Result<Self> {
        let bound = 1.0 / ((input * k * k) as f64).sqrt();
        let init = Init::Uniform {
            lo: -bound,
            up: bound,
        };
        Ok(Self {
            weight: vs.f_var("weight", &[output, input, k, k], init)?,
            bias: vs.f_var("bias", &[output], init)?,
            stride,
            padding: k / 2,
        })
    }

    /// Whether it gives zero for every input, and will: its weights are zero and are not being trained.
    pub fn is_idle(&self) -> Result<bool> {
        let idle = |t: &Tensor| -> Result<bool> {
            Ok(!t.requires_grad() && t.f_count_nonzero(None)?.f_int64_value(&[])? == 0)
        };
        Ok(idle(&self.bias)? && idle(&self.weight)?)
    }

    /// `[N, input, H, W]` to `[N, output, H/stride, W/stride]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (s, p) = (self.stride, self.padding);
        Ok(x.f_conv2d(&self.weight, Some(&self.bias), [s, s], [p, p], [1, 1], 1)?)
    }
}

/// Leaky ReLU: negative values are multiplied by `slope`.
pub fn lrelu(x: &Tensor, slope: f64) -> Result<Tensor> {
    // tch's leaky_relu has its slope fixed at 0.01. The backward kernel, fed x as the gradient, is the function itself, in one pass,
    // and its own derivative is leaky ReLU's.
    Ok(x.f_leaky_relu_backward(x, slope, false)?)
}

/// The slope in most of the network.
pub const SLOPE: f64 = 0.2;

/// Values limited to \[0, 1\].
pub fn clamp01(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_clamp(0.0, 1.0)?)
}

/// Bicubic interpolation (a = -0.75, no antialiasing, `align_corners = false`) to `height` x `width`.
pub fn bicubic(x: &Tensor, height: i64, width: i64) -> Result<Tensor> {
    Ok(x.f_upsample_bicubic2d([height, width], false, None, None)?)
}

/// [`bicubic`] to twice the size, limited to \[0, 1\].
pub fn bicubic_twice01(x: &Tensor) -> Result<Tensor> {
    let (h, w) = size(x);
    clamp01(&bicubic(x, 2 * h, 2 * w)?)
}

/// Bilinear interpolation to `height` x `width`.
pub fn bilinear(x: &Tensor, height: i64, width: i64, align_corners: bool) -> Result<Tensor> {
    Ok(x.f_upsample_bilinear2d([height, width], align_corners, None, None)?)
}

/// Height and width of an `[N, C, H, W]` tensor.
pub fn size(x: &Tensor) -> (i64, i64) {
    match x.size()[..] {
        [_, _, h, w] => (h, w),
        _ => (0, 0),
    }
}

/// The mean and standard deviation that ImageNet-trained networks (VGG, SPyNet) expect to be taken out of RGB in \[0, 1\].
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// `(x - mean) / std` with ImageNet's constants, for RGB `[N, 3, H, W]` in \[0, 1\].
pub fn imagenet_normalised(x: &Tensor) -> Result<Tensor> {
    let row = |v: &[f32; 3]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(v)?
            .f_to_device(x.device())?
            .f_view([1, 3, 1, 1])?
            .f_to_kind(x.kind())?)
    };
    Ok(x.f_sub(&row(&IMAGENET.0)?)?.f_div(&row(&IMAGENET.1)?)?)
}

/// `x + conv2(act(conv1 x))`, both 3 x 3.
#[derive(Debug)]
pub struct ResBlock {
    conv1: Conv,
    conv2: Conv,
    slope: f64,
}

impl ResBlock {
    /// `slope` is the activation's: 0 is ReLU.
    pub fn new(vs: Path<'_>, channels: i64, slope: f64) -> Result<Self> {
        Ok(Self {
            conv1: Conv::new(&vs / "conv1", channels, channels, 3)?,
            conv2: Conv::new(&vs / "conv2", channels, channels, 3)?,
            slope,
        })
    }

    /// Shape unchanged.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.conv1.forward(x)?;
        let y = if self.slope == 0.0 {
            y.f_relu()?
        } else {
            lrelu(&y, self.slope)?
        };
        Ok(x.f_add(&self.conv2.forward(&y)?)?)
    }
}

/// Residual blocks, a last convolution, and a skip over all: `x + conv_tail(RB_n(..RB_1 x))`.
#[derive(Debug)]
#[allow(non_snake_case)]
pub struct ResList {
    RBs: Vec<ResBlock>,
    conv_tail: Conv,
    /// Nothing is added to x, so nothing is computed.
    idle: bool,
}

impl ResList {
    /// `n` blocks.
    pub fn new(vs: Path<'_>, n: i64, channels: i64) -> Result<Self> {
        let blocks = &vs / "RBs";
        Ok(Self {
            RBs: (0..n)
                .map(|i| ResBlock::new(&blocks / i, channels, SLOPE))
                .collect::<Result<_>>()?,
            conv_tail: Conv::new(&vs / "conv_tail", channels, channels, 3)?,
            idle: false,
        })
    }

    /// See [`Network::skip_idle`](crate::Network::skip_idle).
    pub fn skip_idle(&mut self) -> Result<()> {
        self.idle = self.conv_tail.is_idle()?;
        Ok(())
    }

    /// Shape unchanged.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.idle {
            return Ok(x.shallow_clone());
        }
        let y = through(&self.RBs, x)?;
        Ok(x.f_add(&self.conv_tail.forward(&y)?)?)
    }
}

/// `x` through residual blocks, one after the other. Between them features lie channels last in memory, which convolutions are faster on (a third on a
/// CPU); outside they do not, as warping and pixel shuffles would be slower on it.
fn through(blocks: &[ResBlock], x: &Tensor) -> Result<Tensor> {
    let x = x
        .f_permute([0, 2, 3, 1])?
        .f_contiguous()?
        .f_permute([0, 3, 1, 2])?;
    Ok(blocks
        .iter()
        .try_fold(x, |x, block| block.forward(&x))?
        .f_contiguous()?)
}

/// A propagation trunk: 3 x 3 convolution to C channels, leaky ReLU (0.1), B residual blocks with ReLU.
#[derive(Debug)]
pub struct Trunk {
    head: Conv,
    blocks: Vec<ResBlock>,
}

impl Trunk {
    /// `vs` is `{forward,backward}_resblocks`.
    pub fn new(vs: Path<'_>, input: i64, channels: i64, blocks: i64) -> Result<Self> {
        let main = &vs / "main";
        let list = &main / 2;
        Ok(Self {
            head: Conv::new(&main / 0, input, channels, 3)?,
            blocks: (0..blocks)
                .map(|i| ResBlock::new(&list / i, channels, 0.0))
                .collect::<Result<_>>()?,
        })
    }

    /// `[N, input, H, W]` to `[N, C, H, W]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        through(&self.blocks, &lrelu(&self.head.forward(x)?, 0.1)?)
    }
}

/// One or two 3 x 3 convolutions, a leaky ReLU (0.2) after each.
#[derive(Debug)]
pub struct Head(Vec<Conv>);

impl Head {
    /// `channels` are those between the convolutions: `[a, b, c]` makes a -> b -> c. `stride` is the first one's.
    pub fn new(vs: Path<'_>, channels: &[i64], stride: i64) -> Result<Self> {
        let conv = |(i, pair): (usize, &[i64])| {
            let stride = if i == 0 { stride } else { 1 };
            Conv::strided(&vs / i / 0, pair[0], pair[1], 3, stride)
        };
        Ok(Self(
            channels
                .windows(2)
                .enumerate()
                .map(conv)
                .collect::<Result<_>>()?,
        ))
    }

    /// Whether it gives zero for every input, and will.
    pub fn is_idle(&self) -> Result<bool> {
        self.0.last().map_or(Ok(false), Conv::is_idle)
    }

    /// `[N, a, H, W]` to `[N, c, H/stride, W/stride]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.0.iter().try_fold(x.shallow_clone(), |x, conv| {
            lrelu(&conv.forward(&x)?, SLOPE)
        })
    }
}

/// Twice the size: 3 x 3 convolution C -> 4C, then pixel shuffle.
#[derive(Debug)]
pub struct PixelShuffleUp(Conv);

impl PixelShuffleUp {
    /// `vs` is `upsampleN`.
    pub fn new(vs: Path<'_>, channels: i64) -> Result<Self> {
        Ok(Self(Conv::new(
            &vs / "upsample_conv",
            channels,
            4 * channels,
            3,
        )?))
    }

    /// `[N, C, H, W]` to `[N, C, 2H, 2W]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.0.forward(x)?.f_pixel_shuffle(2)?)
    }
}

/// Channels of all joined.
pub fn cat(parts: &[&Tensor]) -> Result<Tensor> {
    Ok(Tensor::f_cat(parts, 1)?)
}

/// All zeros, of `like`'s type and device.
pub fn zeros(like: &Tensor, shape: [i64; 4]) -> Result<Tensor> {
    Ok(Tensor::f_zeros(shape, (like.kind(), like.device()))?)
}

/// Kind of sampling positions: fp16 coordinates would be off by a pixel at 3840 columns.
pub const GRID: Kind = Kind::Float;
