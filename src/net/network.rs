//! The whole network: its weights, and one window in, one frame out.

use super::{
    flow::{Pyramid, SpyNet},
    layers::{Trunk, cat},
    propagation::{Motion, Propagation, Reference, State},
    reconstruction::Reconstruction,
};
use crate::{
    Error, ModelConfig, Result,
    checkpoint::Checkpoint,
    config::{Recurrence, Variant},
    image::pad::pad_to,
};
use std::path::Path;
use tch::{Device, Tensor, nn::VarStore};

/// A RefVSR network with its weights on a device.
#[derive(Debug)]
pub struct Network {
    config: ModelConfig,
    weights: VarStore,
    flow_net: SpyNet,
    propagation: Propagation,
    backward_resblocks: Trunk,
    forward_resblocks: Trunk,
    reconstruction: Reconstruction,
}

/// One moment of a window, of a size that [`Network::pad`] gives.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// The ultra-wide frame, `[1, 3, H, W]`, RGB in \[0, 1\].
    pub lr: &'a Tensor,
    /// The frames to borrow detail from, `[1, 3, h, w]` each, one of their pixels covering half a pixel of `lr`.
    pub references: &'a [&'a Tensor],
}

/// How far the forward branch runs in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// One step at the centre frame, from what the previous window kept there. A first window (nothing kept) starts at frame 0.
    Streaming,
    /// From frame 0 to the centre in every window; what is kept is the state after frame 0.
    Training,
}

/// What the forward branch hands from one window to the next.
#[derive(Debug)]
pub struct Kept {
    state: State,
    /// The frame the state belongs to.
    lr: Tensor,
}

impl Kept {
    /// The same values without their gradient history.
    pub fn detach(&self) -> Self {
        let State { feature, feature2, confidence } = &self.state;
        let state = State { feature: feature.detach(), feature2: feature2.detach(), confidence: confidence.detach() };
        Self { state, lr: self.lr.shallow_clone() }
    }
}

impl Network {
    /// A network with fresh weights.
    ///
    /// # Errors
    /// [`Error::Config`] for a config outside its range, [`Error::Unsupported`] for RefVSR-IR.
    pub fn new(config: ModelConfig, device: Device) -> Result<Self> {
        config.validate()?;
        if config.variant == Variant::RefVsrIr {
            return Err(Error::Unsupported { what: "a RefVSR-IR model".into(), why: "this version runs RefVSR models only".into() });
        }
        let weights = VarStore::new(device);
        let root = weights.root();
        let (c, blocks) = (config.mid_channels, config.num_blocks);
        Ok(Self {
            flow_net: SpyNet::new(&root / "FlowNet")?,
            propagation: Propagation::new(&root, &config)?,
            backward_resblocks: Trunk::new(&root / "backward_resblocks", 3 + c, c, blocks)?,
            forward_resblocks: Trunk::new(&root / "forward_resblocks", 3 + c, c, blocks)?,
            reconstruction: Reconstruction::new(&root, &config)?,
            config,
            weights,
        })
    }

    /// Loads a model file: upstream's zip-pickle state dict (`.pytorch`, `.pth`, `.pt`) or `.safetensors`, told apart by content.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], naming the file.
    pub fn load(path: &Path, device: Device) -> Result<Self> {
        Self::from_checkpoint(&Checkpoint::read(path)?, device)
    }

    /// The same from bytes in memory; `name` stands in for the file's name in errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], name: &str, device: Device) -> Result<Self> {
        Self::from_checkpoint(&Checkpoint::parse(bytes, Path::new(name))?, device)
    }

    /// The network a checkpoint describes, with its weights.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where tensors are missing or of another shape.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        let network = Self::new(checkpoint.config.clone(), device)?;
        checkpoint.copy_to(&network.weights)?;
        Ok(network)
    }

    /// Its config.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where its weights lie.
    pub fn device(&self) -> Device {
        self.weights.device()
    }

    /// Its weights by upstream's names, for saving and training.
    pub fn weights(&self) -> &VarStore {
        &self.weights
    }

    /// Bytes its weights take.
    pub fn weight_bytes(&self) -> usize {
        self.weights.variables().values().map(|t| t.numel() * t.kind().elt_size_in_bytes()).sum()
    }

    /// Pads a frame `[1, 3, H, W]` on the right and bottom, by reflection, to a size the network takes: sides that are multiples of the
    /// matching kernel, of two or more matched positions.
    ///
    /// # Errors
    /// [`Error::Shape`] for anything but an RGB frame.
    pub fn pad(&self, frame: &Tensor) -> Result<Tensor> {
        match frame.size()[..] {
            [1, 3, h, w] if h.min(w) >= 1 => {
                let k = self.config.size_multiple();
                // The ultra-wide frame has a position every K/2 pixels, the references every K: two of those.
                let up = |n: i64| ((n + k - 1) / k).max(2) * k;
                pad_to(frame, up(h), up(w))
            }
            ref other => Err(Error::Shape {
                what: "frame".into(),
                actual: format!("{other:?}"),
                expected: "RGB, [1, 3, H, W] with H and W at least 1".into(),
            }),
        }
    }

    /// The centre frame of a window at `scale` times its size, `[1, 3, s H, s W]` (not limited to \[0, 1\]), and what the next window's call
    /// needs. `window` has an odd number of frames; with `kept` none it is the first of a run.
    ///
    /// This is the plain form: everything is computed anew for every window, as in the paper.
    ///
    /// # Errors
    /// [`Error::Shape`] for a window of an even length or frames of sizes that [`pad`](Self::pad) would change.
    pub fn forward(&self, window: &[Frame<'_>], kept: Option<&Kept>, run: Run) -> Result<(Tensor, Kept)> {
        self.check(window)?;
        let m = window.len() / 2;
        let pyramids = window.iter().map(|f| SpyNet::pyramid(f.lr)).collect::<Result<Vec<_>>>()?;
        let references = window.iter().map(|f| self.propagation.reference(f.lr, f.references)).collect::<Result<Vec<_>>>()?;
        let recurrence = self.config.recurrence;

        // Backward, from the last frame of the window to the centre.
        let mut backward = State::zero(window[m].lr, self.config.mid_channels)?;
        for i in (m..window.len()).rev() {
            if i + 1 < window.len() {
                backward = backward.warp(&self.motion(&pyramids[i], &pyramids[i + 1])?, recurrence)?;
            }
            backward = self.backward_step(window[i].lr, &backward, &references[i])?;
        }

        // Forward, from the first frame of a run or from what was kept, to the centre.
        let start = if kept.is_none() || run == Run::Training { 0 } else { m };
        let keep_at = if run == Run::Training { 0 } else { m };
        let mut forward = match kept {
            None => State::zero(window[m].lr, self.config.mid_channels)?,
            Some(kept) => kept.state.warp(&self.motion(&pyramids[start], &SpyNet::pyramid(&kept.lr)?)?, recurrence)?,
        };
        let mut state_to_keep = None;
        for i in start..=m {
            if i > start {
                forward = forward.warp_in_first_run(&self.motion(&pyramids[i], &pyramids[i - 1])?, recurrence)?;
            }
            forward = self.forward_step(window[i].lr, &forward, &references[i])?;
            if i == keep_at {
                state_to_keep = Some(forward.shallow_clone());
            }
        }

        let out = self.reconstruct(window[m].lr, &backward, &forward)?;
        Ok((out, Kept { state: state_to_keep.unwrap_or(forward), lr: window[keep_at].lr.shallow_clone() }))
    }

    /// The motion from `frame` to where its pixels lie in `neighbour`.
    pub(crate) fn motion(&self, frame: &Pyramid, neighbour: &Pyramid) -> Result<Motion> {
        Motion::new(self.flow_net.flow(frame, neighbour)?)
    }

    /// Matches and aligns a frame's references.
    pub(crate) fn reference(&self, lr: &Tensor, references: &[&Tensor]) -> Result<Reference> {
        self.propagation.reference(lr, references)
    }

    /// One step of the backward branch; `state` has been warped to this frame.
    pub(crate) fn backward_step(&self, lr: &Tensor, state: &State, reference: &Reference) -> Result<State> {
        self.step(&self.backward_resblocks, lr, state, reference)
    }

    /// One step of the forward branch.
    pub(crate) fn forward_step(&self, lr: &Tensor, state: &State, reference: &Reference) -> Result<State> {
        self.step(&self.forward_resblocks, lr, state, reference)
    }

    fn step(&self, trunk: &Trunk, lr: &Tensor, state: &State, reference: &Reference) -> Result<State> {
        let feature = trunk.forward(&cat(&[lr, &state.feature])?)?;
        let State { feature2, confidence, .. } = state;
        let state = State { feature, feature2: feature2.shallow_clone(), confidence: confidence.shallow_clone() };
        self.propagation.forward(&state, reference)
    }

    /// Both branches at a frame, joined into the output.
    pub(crate) fn reconstruct(&self, lr: &Tensor, backward: &State, forward: &State) -> Result<Tensor> {
        self.reconstruction.forward(lr, backward, forward)
    }

    /// The way of warping between the steps.
    pub(crate) fn recurrence(&self) -> Recurrence {
        self.config.recurrence
    }

    fn check(&self, window: &[Frame<'_>]) -> Result<()> {
        let wrong = |what: &str, actual: String, expected: &str| Err(Error::Shape { what: what.into(), actual, expected: expected.into() });
        let Some(first) = window.first().filter(|_| window.len() % 2 == 1) else {
            return wrong("window", format!("{} frames", window.len()), "an odd number");
        };
        let (multiple, size) = (self.config.size_multiple(), first.lr.size());
        for frame in window {
            if frame.lr.size() != size {
                return wrong("window", format!("{:?} beside {size:?}", frame.lr.size()), "frames of one size");
            }
            if frame.references.is_empty() {
                return wrong("window", "a frame without references".into(), "at least one reference a frame");
            }
            for (what, picture) in std::iter::once(("ultra-wide frame", frame.lr)).chain(frame.references.iter().map(|r| ("reference", *r)))
            {
                match picture.size()[..] {
                    [1, 3, h, w] if h.min(w) >= 2 * multiple && h % multiple == 0 && w % multiple == 0 => (),
                    ref other => {
                        let expected = format!("[1, 3, H, W], H and W multiples of {multiple} and at least {}", 2 * multiple);
                        return wrong(what, format!("{other:?}"), &expected);
                    }
                }
            }
        }
        Ok(())
    }
}
