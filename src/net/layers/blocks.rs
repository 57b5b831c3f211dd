//! The blocks that networks are made of. Fields are named as the keys of upstream's state dict.

use super::{
    conv::{Conv, Then},
    ops::SLOPE,
    variables::Path,
};
use crate::Result;
use tch::Tensor;

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

    /// The same, always computed in fp32.
    pub fn fp32(self) -> Self {
        Self {
            conv1: self.conv1.fp32(),
            conv2: self.conv2.fp32(),
            slope: self.slope,
        }
    }

    /// Shape unchanged.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.conv1.then(&[x], Then::lrelu(self.slope))?;
        self.conv2.then(&[&y], Then::add(x))
    }
}

/// Residual blocks, a last convolution, and a skip over all: `x + conv_tail(RB_n(..RB_1 x))`.
#[derive(Debug)]
#[allow(non_snake_case)]
pub struct ResList {
    RBs: Vec<ResBlock>,
    conv_tail: Conv,
    /// Nothing is computed while nothing would be added to x.
    skips_idle: bool,
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
            skips_idle: false,
        })
    }

    /// See [`Network::skip_idle`](crate::Network::skip_idle).
    pub fn skip_idle(&mut self) {
        self.skips_idle = true;
    }

    /// Shape unchanged.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.skips_idle && self.conv_tail.is_idle()? {
            return Ok(x.shallow_clone());
        }
        let y = through(&self.RBs, x.shallow_clone())?;
        self.conv_tail.then(&[&y], Then::add(x))
    }
}

/// `x` through residual blocks, one after the other.
fn through(blocks: &[ResBlock], x: Tensor) -> Result<Tensor> {
    blocks.iter().try_fold(x, |x, block| block.forward(&x))
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

    /// Parts `[N, C_i, H, W]`, joined, to `[N, C, H, W]`.
    pub fn forward(&self, parts: &[&Tensor]) -> Result<Tensor> {
        through(&self.blocks, self.head.then(parts, Then::lrelu(0.1))?)
    }
}

/// One or two 3 x 3 convolutions, a leaky ReLU (0.2) after each.
#[derive(Debug)]
pub struct Head(Vec<Conv>);

impl Head {
    /// `channels` are those between the convolutions: `[a, b, c]` makes a -> b -> c. `stride` is the
    /// first one's.
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

    /// Parts `[N, a_i, H, W]`, joined, to `[N, c, H/stride, W/stride]`.
    pub fn forward(&self, parts: &[&Tensor]) -> Result<Tensor> {
        let mut x: Option<Tensor> = None;
        for conv in &self.0 {
            x = Some(match &x {
                None => conv.then(parts, Then::lrelu(SLOPE))?,
                Some(x) => conv.then(&[x], Then::lrelu(SLOPE))?,
            });
        }
        x.ok_or_else(|| crate::Error::Broken("a head without convolutions".into()))
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

    /// `[N, C, H, W]` to `[N, C, 2H, 2W]`, a leaky ReLU of this slope behind (1 is none).
    pub fn forward(&self, x: &Tensor, slope: f64) -> Result<Tensor> {
        self.0.then(&[x], Then::shuffle(slope))
    }
}
