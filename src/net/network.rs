//! The whole network: its weights, and one window in, one frame out.

use super::{
    edvr::{FRAMES, Levels},
    flow::{Pyramid, SpyNet},
    layers::{Trunk, cat},
    propagation::{Motion, Propagation, Reference, State},
    reconstruction::Reconstruction,
    refill::{Refill, Schedule, neighbours},
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
    /// Of RefVSR-IR only.
    refill: Option<Refill>,
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
    /// One step at the centre frame, from what the previous window kept there. A first window (nothing kept) starts at frame 0. RefVSR-IR runs
    /// as in training.
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
    /// The next window's key frames.
    schedule: Schedule,
}

impl Kept {
    /// The same values without their gradient history.
    pub fn detach(&self) -> Self {
        let State {
            feature,
            feature2,
            confidence,
        } = &self.state;
        let state = State {
            feature: feature.detach(),
            feature2: feature2.detach(),
            confidence: confidence.detach(),
        };
        Self {
            state,
            lr: self.lr.shallow_clone(),
            schedule: self.schedule,
        }
    }
}

impl Network {
    /// A network with fresh weights.
    ///
    /// # Errors
    /// [`Error::Config`] for a config outside its range.
    pub fn new(config: ModelConfig, device: Device) -> Result<Self> {
        config.validate()?;
        let weights = VarStore::new(device);
        let root = weights.root();
        let (c, blocks) = (config.mid_channels, config.num_blocks);
        // RefVSR-IR's forward trunk also sees the backward branch's feature.
        let (refill, forward_input) = match config.variant {
            Variant::RefVsr => (None, 3 + c),
            Variant::RefVsrIr => (Some(Refill::new(&root, c)?), 3 + 2 * c),
        };
        Ok(Self {
            flow_net: SpyNet::new(&root / "FlowNet")?,
            propagation: Propagation::new(&root, &config)?,
            backward_resblocks: Trunk::new(&root / "backward_resblocks", 3 + c, c, blocks)?,
            forward_resblocks: Trunk::new(&root / "forward_resblocks", forward_input, c, blocks)?,
            reconstruction: Reconstruction::new(&root, &config)?,
            refill,
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

    /// Its weights are not to be trained any more.
    pub fn freeze(&mut self) {
        self.weights.freeze();
    }

    /// Bytes its weights take.
    pub fn weight_bytes(&self) -> usize {
        self.weights
            .variables()
            .values()
            .map(|t| t.numel() * t.kind().elt_size_in_bytes())
            .sum()
    }

    /// From now on leaves out what does nothing: blocks whose last convolution is all zero, as in models that were trained step by step, block after
    /// block. Weights that require gradients may yet become something, and their blocks stay. The output is the same, but for the
    /// rounding (1e-6) of sampling at whole positions where an alignment is left out.
    ///
    /// # Errors
    /// [`Error::Torch`] where the weights' device fails.
    pub fn skip_idle(&mut self) -> Result<()> {
        self.propagation.skip_idle()?;
        self.reconstruction.skip_idle()
    }

    /// Pads a frame `[1, 3, H, W]` on the right and bottom, by reflection, to a size the network takes: sides that are multiples of the
    /// matching kernel and at least two of them, for RefVSR-IR at least 64.
    ///
    /// # Errors
    /// [`Error::Shape`] for anything but an RGB frame.
    pub fn pad(&self, frame: &Tensor) -> Result<Tensor> {
        match frame.size()[..] {
            [1, 3, h, w] if h.min(w) >= 1 => {
                let (k, min) = (self.config.size_multiple(), self.min_size());
                let up = |n: i64| (n.max(min) + k - 1) / k * k;
                pad_to(frame, up(h), up(w))
            }
            ref other => Err(Error::Shape {
                what: "frame".into(),
                actual: format!("{other:?}"),
                expected: "RGB, [1, 3, H, W] with H and W at least 1".into(),
            }),
        }
    }

    fn min_size(&self) -> i64 {
        // The ultra-wide frame has a matched position every K/2 pixels, the references every K: two of those.
        let matching = 2 * self.config.size_multiple();
        if self.refill.is_some() {
            matching.max(Refill::MIN_SIZE)
        } else {
            matching
        }
    }

    /// The centre frame of a window at `scale` times its size, `[1, 3, s H, s W]` (not limited to \[0, 1\]), and what the next window's call
    /// needs. `window` has an odd number of frames; with `kept` none it is the first of a run.
    ///
    /// This is the plain form: everything is computed anew for every window, as in the paper.
    ///
    /// # Errors
    /// [`Error::Shape`] for a window of an even length or frames of sizes that [`pad`](Self::pad) would change.
    pub fn forward(
        &self,
        window: &[Frame<'_>],
        kept: Option<&Kept>,
        run: Run,
    ) -> Result<(Tensor, Kept)> {
        if window.len().is_multiple_of(2) {
            return Err(wrong(
                "window",
                format!("{} frames", window.len()),
                "an odd number",
            ));
        }
        self.forward_about(window, window.len() / 2, kept, run)
    }

    /// The same for the frame at any position of a window: one that is cut short at a clip's end has its centre elsewhere
    /// (see [`ModelConfig::repeats_clip_ends`]).
    ///
    /// # Errors
    /// [`Error::Shape`] for a window without that position, for RefVSR-IR one whose middle it is not, and for frames of sizes that [`pad`](Self::pad) would change.
    pub fn forward_about(
        &self,
        window: &[Frame<'_>],
        centre: usize,
        kept: Option<&Kept>,
        run: Run,
    ) -> Result<(Tensor, Kept)> {
        let (t, m) = (window.len(), centre);
        if m >= t || (self.refill.is_some() && t != 2 * m + 1) {
            return Err(wrong(
                "window",
                format!("position {m} of {t}"),
                "a position in the window; for RefVSR-IR its middle",
            ));
        }
        self.check(window)?;
        let pyramids = window
            .iter()
            .map(|f| SpyNet::pyramid(f.lr))
            .collect::<Result<Vec<_>>>()?;
        let schedule = kept.map_or_else(Schedule::default, |kept| kept.schedule);
        let refills = self.refills(window, schedule)?;
        let (recurrence, whole) = (self.config.recurrence, self.refill.is_some());
        let from_first = whole || run == Run::Training;
        let start = if from_first || kept.is_none() { 0 } else { m };
        let keep_at = if from_first { 0 } else { m };
        let references = window[start..]
            .iter()
            .map(|f| self.propagation.reference(f.lr, f.references))
            .collect::<Result<Vec<_>>>()?;
        let reference = |i: usize| &references[i - start];

        // Backward, from the last frame of the window to the centre; with refill to the first.
        let mut states: Vec<State> = vec![];
        for i in (if whole { 0 } else { m }..t).rev() {
            let state = match states.last() {
                None => State::zero(window[i].lr, self.config.mid_channels)?,
                Some(state) => {
                    state.warp(&self.motion(&pyramids[i], &pyramids[i + 1])?, recurrence)?
                }
            };
            states.push(self.backward_step(
                window[i].lr,
                &state,
                reference(i),
                refills[i].as_ref(),
            )?);
        }
        let backward = |i: usize| &states[t - 1 - i];

        // Forward, from the first frame of a run or from what was kept, to the centre.
        let stale = if whole && m > 0 {
            Some(self.motion(&pyramids[0], &pyramids[1])?)
        } else {
            None
        };
        let mut forward = match kept {
            None => State::zero(window[m].lr, self.config.mid_channels)?,
            Some(kept) => kept.state.warp(
                &self.motion(&pyramids[start], &SpyNet::pyramid(&kept.lr)?)?,
                recurrence,
            )?,
        };
        let mut state_to_keep = None;
        for i in start..=m {
            if i > start {
                forward = forward.warp_in_run(
                    &self.motion(&pyramids[i], &pyramids[i - 1])?,
                    stale.as_ref(),
                    recurrence,
                )?;
            }
            let seen_backward = whole.then(|| &backward(i).feature);
            forward = self.forward_step(
                window[i].lr,
                &forward,
                reference(i),
                refills[i].as_ref(),
                seen_backward,
            )?;
            if i == keep_at {
                state_to_keep = Some(forward.shallow_clone());
            }
        }

        let out = self.reconstruct(window[m].lr, backward(m), &forward)?;
        let state = state_to_keep.unwrap_or(forward);
        Ok((
            out,
            Kept {
                state,
                lr: window[keep_at].lr.shallow_clone(),
                schedule: schedule.next(t),
            },
        ))
    }

    /// How alike each pixel of a frame is to what was found for it in its references, `[1, 1, H, W]`: the matching's cosine similarity, which weighs what is
    /// borrowed. To look at; [`forward`](Self::forward) computes it for itself.
    ///
    /// # Errors
    /// [`Error::Shape`] for frames of sizes that [`pad`](Self::pad) would change.
    pub fn confidence(&self, frame: Frame<'_>) -> Result<Tensor> {
        self.check(&[frame])?;
        self.propagation.confidence(frame.lr, frame.references)
    }

    /// The features of the window's key frames; none at the other positions, and none without refill.
    fn refills(&self, window: &[Frame<'_>], schedule: Schedule) -> Result<Vec<Option<Tensor>>> {
        let mut refills: Vec<Option<Tensor>> = window.iter().map(|_| None).collect();
        let Some(refill) = &self.refill else {
            return Ok(refills);
        };
        let levels = window
            .iter()
            .map(|f| refill.edvr.levels(f.lr))
            .collect::<Result<Vec<_>>>()?;
        for position in schedule.positions(window.len()) {
            refills[position] = Some(
                refill
                    .edvr
                    .forward(neighbours(position, window.len()).map(|i| &levels[i]))?,
            );
        }
        Ok(refills)
    }

    /// The motion from `frame` to where its pixels lie in `neighbour`.
    pub(crate) fn motion(&self, frame: &Pyramid, neighbour: &Pyramid) -> Result<Motion> {
        Motion::new(self.flow_net.flow(frame, neighbour)?)
    }

    /// Matches and aligns a frame's references.
    pub(crate) fn reference(&self, lr: &Tensor, references: &[&Tensor]) -> Result<Reference> {
        self.propagation.reference(lr, references)
    }

    /// One step of the backward branch; `state` has been warped to this frame. `refill` are a key frame's features.
    pub(crate) fn backward_step(
        &self,
        lr: &Tensor,
        state: &State,
        reference: &Reference,
        refill: Option<&Tensor>,
    ) -> Result<State> {
        let feature = match (&self.refill, refill) {
            (Some(net), Some(refill)) => net.fuse_backward(&state.feature, refill)?,
            _ => state.feature.shallow_clone(),
        };
        let feature = self.backward_resblocks.forward(&cat(&[lr, &feature])?)?;
        self.propagation
            .forward(&state.with_feature(feature), reference)
    }

    /// One step of the forward branch. `backward` is the backward branch's feature at this frame, where the network is RefVSR-IR.
    pub(crate) fn forward_step(
        &self,
        lr: &Tensor,
        state: &State,
        reference: &Reference,
        refill: Option<&Tensor>,
        backward: Option<&Tensor>,
    ) -> Result<State> {
        let feature = match (&self.refill, refill) {
            (Some(net), Some(refill)) => net.fuse_forward(&state.feature, refill)?,
            _ => state.feature.shallow_clone(),
        };
        let input: Vec<&Tensor> = std::iter::once(lr)
            .chain(backward)
            .chain(std::iter::once(&feature))
            .collect();
        let feature = self.forward_resblocks.forward(&cat(&input)?)?;
        self.propagation
            .forward(&state.with_feature(feature), reference)
    }

    /// Whether key frames are refilled: RefVSR-IR.
    pub(crate) fn has_refill(&self) -> bool {
        self.refill.is_some()
    }

    /// What refilling takes of one frame; none where the network is not RefVSR-IR.
    pub(crate) fn refill_levels(&self, lr: &Tensor) -> Result<Option<Levels>> {
        self.refill
            .as_ref()
            .map(|refill| refill.edvr.levels(lr))
            .transpose()
    }

    /// A key frame's features from five frames' levels.
    pub(crate) fn refill_features(&self, frames: [&Levels; FRAMES]) -> Result<Option<Tensor>> {
        self.refill
            .as_ref()
            .map(|refill| refill.edvr.forward(frames))
            .transpose()
    }

    /// Both branches at a frame, joined into the output.
    pub(crate) fn reconstruct(
        &self,
        lr: &Tensor,
        backward: &State,
        forward: &State,
    ) -> Result<Tensor> {
        self.reconstruction.forward(lr, backward, forward)
    }

    /// The way of warping between the steps.
    pub(crate) fn recurrence(&self) -> Recurrence {
        self.config.recurrence
    }

    fn check(&self, window: &[Frame<'_>]) -> Result<()> {
        let Some(first) = window.first() else {
            return Err(wrong("window", "0 frames".into(), "at least one"));
        };
        let (multiple, min, size) = (
            self.config.size_multiple(),
            self.min_size(),
            first.lr.size(),
        );
        for frame in window {
            if frame.lr.size() != size {
                return Err(wrong(
                    "window",
                    format!("{:?} beside {size:?}", frame.lr.size()),
                    "frames of one size",
                ));
            }
            if frame.references.is_empty() {
                return Err(wrong(
                    "window",
                    "a frame without references".into(),
                    "at least one reference a frame",
                ));
            }
            for (what, picture) in std::iter::once(("ultra-wide frame", frame.lr))
                .chain(frame.references.iter().map(|r| ("reference", *r)))
            {
                match picture.size()[..] {
                    [1, 3, h, w] if h.min(w) >= min && h % multiple == 0 && w % multiple == 0 => (),
                    ref other => {
                        let expected = format!(
                            "[1, 3, H, W], H and W multiples of {multiple} and at least {min}"
                        );
                        return Err(wrong(what, format!("{other:?}"), &expected));
                    }
                }
            }
        }
        Ok(())
    }
}

fn wrong(what: &str, actual: String, expected: &str) -> Error {
    Error::Shape {
        what: what.into(),
        actual,
        expected: expected.into(),
    }
}
