//! BasicVSR (Chan et al., CVPR 2021), to compare with: the same trunks and flow as RefVSR's, no reference camera.

use anyhow::{Context, Result, bail, ensure};
use refvsr::{
    checkpoint::Tensors,
    config::Recurrence,
    net::flow::{Pyramid, SpyNet, grid, warp},
};
use tch::{Device, Tensor, nn::VarStore};

/// Channels of the published models.
const C: i64 = 64;

/// Of all its leaky ReLUs.
const SLOPE: f64 = 0.1;

/// A BasicVSR model, read from the file that [`fetch`](crate::fetch::fetch) makes (`warm-start.safetensors`).
#[derive(Debug)]
pub struct BasicVsr {
    weights: Tensors,
    flow: SpyNet,
    _flow_weights: VarStore,
    device: Device,
}

/// What one branch gives for consecutive frames, in the order in which it sees them.
#[derive(Debug)]
pub struct Branch {
    /// `[1, C, h, w]` a frame.
    pub features: Vec<Tensor>,
    /// From each frame but the first to the one seen before, `[1, 2, h, w]` in pixels.
    pub flows: Vec<Tensor>,
}

impl BasicVsr {
    /// From the file's tensors.
    ///
    /// # Errors
    /// Where one is missing.
    pub fn new(tensors: &Tensors, device: Device) -> Result<Self> {
        let missing = |name: &str| {
            format!("BasicVSR: tensor '{name}' is missing; fetch-weights makes a file that has it")
        };
        for layer in [
            "basicvsr.fusion",
            "basicvsr.upconv1",
            "upsample2.upsample_conv",
            "conv_hr",
            "conv_last",
        ] {
            let name = format!("{layer}.weight");
            ensure!(tensors.contains_key(&name), missing(&name));
        }
        let store = VarStore::new(device);
        let flow = SpyNet::new(&store.root() / "FlowNet")?;
        for (name, mut variable) in store.variables() {
            let tensor = tensors.get(&name).with_context(|| missing(&name))?;
            tch::no_grad(|| variable.f_copy_(tensor))
                .with_context(|| format!("tensor '{name}'"))?;
        }
        let weights = tensors
            .iter()
            .map(|(name, t)| Ok((name.clone(), t.f_to_device(device)?)))
            .collect::<Result<_>>()?;
        Ok(Self {
            weights,
            flow,
            _flow_weights: store,
            device,
        })
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Frame `centre` of a window of consecutive ultra-wide frames `[1, 3, h, w]`, at 4 times its size, in \[0, 1\]. The window is the whole clip
    /// to it: both branches start from nothing at its ends.
    ///
    /// # Errors
    /// Where frames are not of one size.
    pub fn forward(&self, window: &[Tensor], centre: usize) -> Result<Tensor> {
        tch::no_grad(|| {
            let lr = window.get(centre).context("a window without its centre")?;
            let backward = self
                .branch("backward", window[centre..].iter().rev())?
                .features;
            let forward = self.branch("forward", window[..=centre].iter())?.features;
            let (Some(backward), Some(forward)) = (backward.last(), forward.last()) else {
                bail!("a branch without frames")
            };
            self.picture(
                &self.fused(backward, forward)?,
                &lr.f_to_device(self.device)?,
            )
        })
    }

    /// Both branches through consecutive frames `[1, 3, h, w]`: the backward one, and the forward one.
    ///
    /// # Errors
    /// Where frames are not of one size.
    pub fn branches(&self, frames: &[Tensor]) -> Result<(Branch, Branch)> {
        Ok((
            self.branch("backward", frames.iter().rev())?,
            self.branch("forward", frames.iter())?,
        ))
    }

    /// Both branches' features of a frame joined, at twice their size, `[1, C, 2 h, 2 w]`.
    ///
    /// # Errors
    /// Where they are not of one size.
    pub fn fused(&self, backward: &Tensor, forward: &Tensor) -> Result<Tensor> {
        let x = lrelu(
            &conv(
                &self.weights,
                "basicvsr.fusion",
                &Tensor::f_cat(&[backward, forward], 1)?,
            )?,
            SLOPE,
        )?;
        lrelu(
            &conv(&self.weights, "basicvsr.upconv1", &x)?.f_pixel_shuffle(2)?,
            SLOPE,
        )
    }

    /// The output, in \[0, 1\], from the joined features of frame `lr`.
    ///
    /// # Errors
    /// Where sizes do not fit.
    pub fn picture(&self, fused: &Tensor, lr: &Tensor) -> Result<Tensor> {
        let x = lrelu(
            &conv(&self.weights, "upsample2.upsample_conv", fused)?.f_pixel_shuffle(2)?,
            SLOPE,
        )?;
        let x = conv(
            &self.weights,
            "conv_last",
            &lrelu(&conv(&self.weights, "conv_hr", &x)?, SLOPE)?,
        )?;
        let size = lr.size();
        let base = lr.f_upsample_bilinear2d([4 * size[2], 4 * size[3]], false, None, None)?;
        Ok(x.f_add(&base)?.f_clamp(0.0, 1.0)?)
    }

    /// A branch through frames, in the order it sees them.
    fn branch<'a>(
        &self,
        direction: &str,
        frames: impl Iterator<Item = &'a Tensor>,
    ) -> Result<Branch> {
        let mut branch = Branch {
            features: vec![],
            flows: vec![],
        };
        let mut last: Option<Pyramid> = None;
        for frame in frames {
            let frame = frame.f_to_device(self.device)?;
            let [_, _, h, w] = frame.size()[..] else {
                bail!("a frame of {:?}", frame.size())
            };
            let pyramid = SpyNet::pyramid(&frame)?;
            let state = match (&last, branch.features.last()) {
                (Some(previous), Some(feature)) => {
                    let flow = self.flow.flow(&pyramid, previous)?;
                    let state = warp(feature, &grid(&flow, (h, w))?, Recurrence::Clean)?;
                    branch.flows.push(flow);
                    state
                }
                _ => Tensor::f_zeros([1, C, h, w], (frame.kind(), self.device))?,
            };
            branch
                .features
                .push(self.trunk(direction, &Tensor::f_cat(&[&frame, &state], 1)?)?);
            last = Some(pyramid);
        }
        Ok(branch)
    }

    fn trunk(&self, direction: &str, x: &Tensor) -> Result<Tensor> {
        let main = format!("{direction}_resblocks.main");
        let mut x = lrelu(&conv(&self.weights, &format!("{main}.0"), x)?, SLOPE)?;
        for n in (0..).take_while(|n| {
            self.weights
                .contains_key(&format!("{main}.2.{n}.conv1.weight"))
        }) {
            let hidden = conv(&self.weights, &format!("{main}.2.{n}.conv1"), &x)?.f_relu()?;
            x = x.f_add(&conv(
                &self.weights,
                &format!("{main}.2.{n}.conv2"),
                &hidden,
            )?)?;
        }
        Ok(x)
    }
}

/// A convolution of the weights of that name, of stride 1 and with as much padding as keeps the size.
pub(crate) fn conv(weights: &Tensors, name: &str, x: &Tensor) -> Result<Tensor> {
    let kernel = part(weights, name, "weight")?;
    let padding = kernel.size()[2] / 2;
    Ok(x.f_conv2d(
        kernel,
        Some(part(weights, name, "bias")?),
        [1, 1],
        [padding, padding],
        [1, 1],
        1,
    )?)
}

/// The weight or bias of a layer.
pub(crate) fn part<'a>(weights: &'a Tensors, name: &str, part: &str) -> Result<&'a Tensor> {
    weights
        .get(&format!("{name}.{part}"))
        .with_context(|| format!("tensor '{name}.{part}' is missing"))
}

/// Leaky ReLU.
pub(crate) fn lrelu(x: &Tensor, slope: f64) -> Result<Tensor> {
    Ok(x.f_maximum(&x.f_mul_scalar(slope)?)?)
}
