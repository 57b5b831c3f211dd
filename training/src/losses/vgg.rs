//! VGG19's convolutional part, frozen, as the eye of the contextual losses.

use anyhow::{Context, Result, bail, ensure};
use refvsr::checkpoint::{Tensors, read_tensors};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// torchvision's numbering of the 3 x 3 convolutions of `vgg19().features`, with input and output channels. A ReLU follows each.
pub const CONVS: [(usize, i64, i64); 16] = [
    (0, 3, 64),
    (2, 64, 64),
    (5, 64, 128),
    (7, 128, 128),
    (10, 128, 256),
    (12, 256, 256),
    (14, 256, 256),
    (16, 256, 256),
    (19, 256, 512),
    (21, 512, 512),
    (23, 512, 512),
    (25, 512, 512),
    (28, 512, 512),
    (30, 512, 512),
    (32, 512, 512),
    (34, 512, 512),
];

/// Convolutions a 2 x 2 max pool comes before.
const AFTER_POOL: [usize; 3] = [5, 10, 19];

/// A layer to take features from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// 256 channels at a quarter of the picture's size: pre-training.
    Relu3_4,
    /// 512 channels at an eighth: adaptation.
    Relu4_4,
}

impl Layer {
    fn last_conv(self) -> usize {
        match self {
            Self::Relu3_4 => 16,
            Self::Relu4_4 => 25,
        }
    }
}

/// VGG19 up to a layer.
#[derive(Debug)]
pub struct Vgg {
    /// Weight and bias with whether a pool comes before.
    convs: Vec<(Tensor, Tensor, bool)>,
    mean: Tensor,
    std: Tensor,
}

impl Vgg {
    /// VGG19 from a file with torchvision's keys `features.I.weight` and `features.I.bias` (more may be in it).
    ///
    /// # Errors
    /// Where the file cannot be read or lacks a tensor.
    pub fn load(path: &Path, layer: Layer, device: Device) -> Result<Self> {
        let tensors = read_tensors(path)?;
        Self::new(&tensors, layer, device)
            .with_context(|| format!("VGG19 weights {}", path.display()))
    }

    /// The same from tensors.
    ///
    /// # Errors
    /// Where a tensor is missing or of another shape.
    pub fn new(tensors: &Tensors, layer: Layer, device: Device) -> Result<Self> {
        let tensor = |name: String, shape: &[i64]| -> Result<Tensor> {
            let t = tensors
                .get(&name)
                .with_context(|| format!("has no tensor '{name}'"))?;
            ensure!(
                t.size() == shape,
                "tensor '{name}' is {:?}, {shape:?} expected",
                t.size()
            );
            Ok(t.f_detach()?.f_to_kind(Kind::Float)?.f_to_device(device)?)
        };
        let convs = CONVS.iter().take_while(|(i, ..)| *i <= layer.last_conv());
        let convs = convs.map(|&(i, input, output)| {
            let weight = tensor(format!("features.{i}.weight"), &[output, input, 3, 3])?;
            Ok((
                weight,
                tensor(format!("features.{i}.bias"), &[output])?,
                AFTER_POOL.contains(&i),
            ))
        });
        let row = |v: [f32; 3]| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(&v)?
                .f_view([1, 3, 1, 1])?
                .f_to_device(device)?)
        };
        Ok(Self {
            convs: convs.collect::<Result<_>>()?,
            mean: row([0.485, 0.456, 0.406])?,
            std: row([0.229, 0.224, 0.225])?,
        })
    }

    /// Features of RGB in \[0, 1\]: `[N, 3, H, W]` to `[N, C, H/4, W/4]` (relu3_4) or `[N, C, H/8, W/8]` (relu4_4), sizes rounded down.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn features(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.f_sub(&self.mean)?.f_div(&self.std)?;
        self.convs.iter().try_fold(x, |x, (weight, bias, pooled)| {
            let x = if *pooled {
                x.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?
            } else {
                x
            };
            Ok(x.f_conv2d(weight, Some(bias), [1, 1], [1, 1], [1, 1], 1)?
                .f_relu()?)
        })
    }

    /// Features of many pictures `[N, 3, H, W]`, without gradients, a few pictures at a time so that memory stays bounded.
    ///
    /// # Errors
    /// Where libtorch refuses.
    pub fn features_of_all(&self, x: &Tensor) -> Result<Tensor> {
        /// 64 channels of 2^18 pixels take 64 MiB.
        const PIXELS: i64 = 1 << 18;
        let &[pictures, _, h, w] = &x.size()[..] else {
            bail!("pictures of {:?}, [N, 3, H, W] expected", x.size())
        };
        let at_once = (PIXELS / (h * w).max(1)).clamp(1, pictures.max(1));
        tch::no_grad(|| {
            let some = |n| self.features(&x.f_narrow(0, n, at_once.min(pictures - n))?);
            let all = (0..pictures)
                .step_by(usize::try_from(at_once)?)
                .map(some)
                .collect::<Result<Vec<_>>>()?;
            Ok(Tensor::f_cat(&all, 0)?)
        })
    }
}
