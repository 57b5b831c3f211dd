//! BasicVSR (Chan et al., CVPR 2021), to compare with: the same trunks and flow as RefVSR's, no reference camera.

use anyhow::{Context, Result, ensure};
use refvsr::{
    checkpoint::Tensors,
    config::Recurrence,
    net::flow::{Pyramid, SpyNet, grid, warp},
};
use tch::{Device, Tensor, nn::VarStore};

/// Channels of the published models.
const C: i64 = 64;

/// A BasicVSR model, read from the file that [`fetch`](crate::fetch::fetch) makes (`warm-start.safetensors`).
#[derive(Debug)]
pub struct BasicVsr {
    weights: Tensors,
    flow: SpyNet,
    _flow_weights: VarStore,
    device: Device,
}

impl BasicVsr {
    /// From the file's tensors.
    ///
    /// # Errors
    /// Where one is missing.
    pub fn new(tensors: &Tensors, device: Device) -> Result<Self> {
        let missing = |name: &str| format!("BasicVSR: tensor '{name}' is missing; fetch-weights makes a file that has it");
        for layer in ["basicvsr.fusion", "basicvsr.upconv1", "upsample2.upsample_conv", "conv_hr", "conv_last"] {
            let name = format!("{layer}.weight");
            ensure!(tensors.contains_key(&name), missing(&name));
        }
        let store = VarStore::new(device);
        let flow = SpyNet::new(&store.root() / "FlowNet")?;
        for (name, mut variable) in store.variables() {
            let tensor = tensors.get(&name).with_context(|| missing(&name))?;
            tch::no_grad(|| variable.f_copy_(tensor)).with_context(|| format!("tensor '{name}'"))?;
        }
        let weights = tensors.iter().map(|(name, t)| Ok((name.clone(), t.f_to_device(device)?))).collect::<Result<_>>()?;
        Ok(Self { weights, flow, _flow_weights: store, device })
    }

    /// Frame `centre` of a window of consecutive ultra-wide frames `[1, 3, h, w]`, at 4 times its size, in \[0, 1\]. The window is the whole clip
    /// to it: both branches start from nothing at its ends.
    ///
    /// # Errors
    /// Where frames are not of one size.
    pub fn forward(&self, window: &[Tensor], centre: usize) -> Result<Tensor> {
        tch::no_grad(|| {
            let lr = window.get(centre).context("a window without its centre")?;
            let after = window[centre..].iter().rev().collect::<Vec<_>>();
            let before = window[..=centre].iter().collect::<Vec<_>>();
            let features = [self.branch("backward", &after)?, self.branch("forward", &before)?];
            let x = lrelu(&self.conv("basicvsr.fusion", &Tensor::f_cat(&features, 1)?)?)?;
            let x = lrelu(&self.conv("basicvsr.upconv1", &x)?.f_pixel_shuffle(2)?)?;
            let x = lrelu(&self.conv("upsample2.upsample_conv", &x)?.f_pixel_shuffle(2)?)?;
            let x = self.conv("conv_last", &lrelu(&self.conv("conv_hr", &x)?)?)?;
            let size = lr.size();
            let base = lr.f_to_device(self.device)?.f_upsample_bilinear2d([4 * size[2], 4 * size[3]], false, None, None)?;
            Ok(x.f_add(&base)?.f_clamp(0.0, 1.0)?)
        })
    }

    /// A branch's features of the last of `frames`.
    fn branch(&self, direction: &str, frames: &[&Tensor]) -> Result<Tensor> {
        let mut last: Option<(Pyramid, Tensor)> = None;
        for frame in frames {
            let frame = frame.f_to_device(self.device)?;
            let [_, _, h, w] = frame.size()[..] else { anyhow::bail!("a frame of {:?}", frame.size()) };
            let pyramid = SpyNet::pyramid(&frame)?;
            let state = match &last {
                None => Tensor::f_zeros([1, C, h, w], (frame.kind(), self.device))?,
                Some((previous, feature)) => {
                    let flow = self.flow.flow(&pyramid, previous)?;
                    warp(feature, &grid(&flow, (h, w))?, Recurrence::Clean)?
                }
            };
            let feature = self.trunk(direction, &Tensor::f_cat(&[&frame, &state], 1)?)?;
            last = Some((pyramid, feature));
        }
        last.map(|(_, feature)| feature).context("a branch without frames")
    }

    fn trunk(&self, direction: &str, x: &Tensor) -> Result<Tensor> {
        let main = format!("{direction}_resblocks.main");
        let mut x = lrelu(&self.conv(&format!("{main}.0"), x)?)?;
        for n in (0..).take_while(|n| self.weights.contains_key(&format!("{main}.2.{n}.conv1.weight"))) {
            let hidden = self.conv(&format!("{main}.2.{n}.conv1"), &x)?.f_relu()?;
            x = x.f_add(&self.conv(&format!("{main}.2.{n}.conv2"), &hidden)?)?;
        }
        Ok(x)
    }

    fn conv(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        let part = |part: &str| {
            self.weights.get(&format!("{name}.{part}")).with_context(|| format!("BasicVSR: tensor '{name}.{part}' is missing"))
        };
        let weight = part("weight")?;
        let padding = weight.size()[2] / 2;
        Ok(x.f_conv2d(weight, Some(part("bias")?), [1, 1], [padding, padding], [1, 1], 1)?)
    }
}

fn lrelu(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_maximum(&x.f_mul_scalar(0.1)?)?)
}
