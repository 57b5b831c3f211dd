//! The whole network: its weights and what is asked of them. [`window`](super::window) computes with it.

use super::{
    blocks::Trunk,
    carried::Carried,
    flow::{Pyramid, SpyNet},
    footage::Footage,
    ops::{channels_last, size},
    propagation::{Joined, Motion, Propagation, Reference, State},
    reconstruction::Reconstruction,
    refill::Refill,
    registered::{Details, Enlarged, Followers, Moment, RegisteredVsr},
    registration::{TELE_ZOOMS, WIDE_ZOOMS},
    variables::{Path, Second, Shapes},
    window::Frame,
};
use crate::{
    Error, ModelConfig, Result,
    checkpoint::Checkpoint,
    config::Variant,
    image::{
        pad::pad_to,
        size::{rgb_size, round_up},
    },
    native::{self, cuda, memory},
    profile::{self, Stage},
};
use std::{cell::RefCell, collections::HashMap};
use tch::{Device, Tensor, nn::VarStore};

/// A network with its weights on a device.
#[derive(Debug)]
pub struct Network {
    config: ModelConfig,
    weights: VarStore,
    body: Body,
    /// For recorded footage, where a registered model has trunks for that. All other layers are those of
    /// its body.
    recorded: Option<Box<RegisteredVsr>>,
}

/// What the names of the weights for recorded footage begin with.
const RECORDED: &str = "recorded";
/// And how those go on: names of the layers that there are twice.
const OWN: [&str; 4] = ["backward_trunk.", "forward_trunk.", "fusion.", "last."];

// SAFETY: its methods change nothing but what convolutions keep of their weights, behind locks, and
// libtorch's tensors may be read from any number of threads. Its weights can be changed through clones of
// its variables, as those of any tensor that tch gives out; tch leaves it to the caller that nobody
// computes with them meanwhile.
unsafe impl Sync for Network {}

/// The layers of one of the families.
#[derive(Debug)]
enum Body {
    RefVsr(Box<RefVsr>),
    Registered(Box<RegisteredVsr>),
}

/// RefVSR's and RefVSR-IR's layers.
#[derive(Debug)]
struct RefVsr {
    flow_net: SpyNet,
    propagation: Propagation,
    backward_resblocks: Trunk,
    forward_resblocks: Trunk,
    reconstruction: Reconstruction,
    /// Of RefVSR-IR only.
    refill: Option<Refill>,
}

/// What the references have to say about one frame.
#[derive(Debug)]
pub(crate) enum Found {
    /// Matched and aligned: RefVSR.
    Matched(Reference),
    /// Registered: the registered variant.
    Registered(Details),
}

impl Found {
    /// The matching's confidence, where there was one.
    pub(crate) fn confidence(&self) -> Option<&Tensor> {
        match self {
            Self::Matched(reference) => Some(reference.confidence()),
            Self::Registered(_) => None,
        }
    }

    /// How alike each pixel of the frame `[1, 3, h, w]` is to what its references show, `[1, 1, h, w]`.
    pub(crate) fn confidence_map(&self, frame: &Tensor) -> Result<Tensor> {
        match self {
            Self::Matched(reference) => Ok(reference.confidence().shallow_clone()),
            Self::Registered(details) => details.confidence(frame),
        }
    }

    pub(crate) fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Matched(reference) => reference.tensors().collect(),
            Self::Registered(details) => details.tensors().collect(),
        }
    }
}

/// The two directions that features travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Branch {
    /// From later frames to earlier ones.
    Backward,
    /// From earlier frames to later ones.
    Forward,
}

impl Network {
    /// A network with fresh weights.
    ///
    /// # Errors
    /// [`Error::Config`] for a config outside its range, [`Error::Parse`] on a CPU where the variable
    /// `REFVSR_CPU` names no set of instructions.
    pub fn new(config: ModelConfig, device: Device) -> Result<Self> {
        config.validate()?;
        match device {
            Device::Cpu => {
                native::check_set()?;
                memory::reuse();
            }
            Device::Cuda(_) => cuda::set_up()?,
            _ => (),
        }
        let weights = VarStore::new(device);
        let root = Path::from(weights.root());
        let body = Body::new(&root, &config)?;
        let recorded = recorded(&root, &config, || weights.variables())?;
        Ok(Self {
            body,
            recorded,
            config,
            weights,
        })
    }

    /// Loads a model file: upstream's zip-pickle state dict (`.pytorch`, `.pth`, `.pt`) or `.safetensors`, told apart by content.
    ///
    /// # Errors
    /// [`Error::Checkpoint`], naming the file.
    pub fn load(path: &std::path::Path, device: Device) -> Result<Self> {
        Self::from_checkpoint(&Checkpoint::read(path)?, device)
    }

    /// The same from bytes in memory; `name` stands in for the file's name in errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], name: &str, device: Device) -> Result<Self> {
        Self::from_checkpoint(&Checkpoint::parse(bytes, name.as_ref())?, device)
    }

    /// The network a checkpoint describes, with its weights.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where tensors are missing, of another shape, or not finite. All that is wrong with
    /// them is told, before any memory is taken for the network.
    pub fn from_checkpoint(checkpoint: &Checkpoint, device: Device) -> Result<Self> {
        checkpoint.check_fits(&Self::shapes(&checkpoint.config)?)?;
        let network = Self::new(checkpoint.config.clone(), device)?;
        checkpoint.copy_to(&network.weights)?;
        Ok(network)
    }

    /// The shapes that the weights of a network with this config have, by name. No memory is taken for them.
    ///
    /// # Errors
    /// [`Error::Config`] for a config outside its range.
    pub fn shapes(config: &ModelConfig) -> Result<Shapes> {
        config.validate()?;
        let shapes = RefCell::default();
        let root = Path::outline(&shapes);
        Body::new(&root, config)?;
        recorded(&root, config, HashMap::new)?;
        Ok(shapes.into_inner())
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

    /// From now on leaves out what does nothing: blocks whose last convolution is all zero, as in models
    /// that were trained step by step, block after block. Weights that require gradients may yet become
    /// something, and their blocks stay; so do those of weights that are changed later. The output is the
    /// same, but for the rounding (1e-6) of sampling at whole positions where an alignment is left out.
    pub fn skip_idle(&mut self) {
        if let Body::RefVsr(net) = &mut self.body {
            net.propagation.skip_idle();
            net.reconstruction.skip_idle();
        }
    }

    /// The network itself where it is of the registered variant, whose plain form is its own.
    pub fn registered(&self) -> Option<&RegisteredVsr> {
        self.registered_for(Footage::Clean)
    }

    /// The same with the trunks for such footage, where it has some of their own.
    pub fn registered_for(&self, footage: Footage) -> Option<&RegisteredVsr> {
        match (&self.body, &self.recorded) {
            (Body::Registered(_), Some(recorded)) if footage == Footage::Recorded => Some(recorded),
            (Body::Registered(net), _) => Some(net),
            (Body::RefVsr(_), _) => None,
        }
    }

    /// RefVSR's layers, for what no other network does.
    fn refvsr(&self) -> Result<&RefVsr> {
        match &self.body {
            Body::RefVsr(net) => Ok(net),
            Body::Registered(_) => Err(Error::Unsupported {
                what: "a window of matched references for a registered network".into(),
                why: "it does not match; use a Session, or Network::registered for its plain form"
                    .into(),
            }),
        }
    }

    pub(crate) fn refill(&self) -> Option<&Refill> {
        match &self.body {
            Body::RefVsr(net) => net.refill.as_ref(),
            Body::Registered(_) => None,
        }
    }

    pub(crate) fn flow_net(&self) -> &SpyNet {
        match &self.body {
            Body::RefVsr(net) => &net.flow_net,
            Body::Registered(net) => net.flow_net(),
        }
    }

    fn has_level2(&self) -> bool {
        matches!(self.body, Body::RefVsr(_))
    }

    /// Matches and aligns a frame's references, in blocks of `step` positions a side: RefVSR.
    pub(crate) fn matched(
        &self,
        lr: &Tensor,
        references: &[&Tensor],
        step: usize,
    ) -> Result<Found> {
        let propagation = &self.refvsr()?.propagation;
        Ok(Found::Matched(propagation.reference(lr, references, step)?))
    }

    /// Operations that matching a frame with its references takes at full density: RefVSR.
    pub(crate) fn matching_cost(&self, lr: &Tensor, references: &[&Tensor]) -> Result<f64> {
        let sizes: Vec<(i64, i64)> = references.iter().map(|r| size(r)).collect();
        let propagation = &self.refvsr()?.propagation;
        Ok(propagation.matching_cost(size(lr), &sizes))
    }

    /// Both branches at the frame `lr` joined into the output, fp32; and what the forward branch's feature
    /// takes on from there, with the registered variant, by its trunks for `footage`.
    pub(crate) fn reconstruct(
        &self,
        lr: &Tensor,
        found: &Found,
        (backward, forward): (&Joined, &Joined),
        footage: Footage,
    ) -> Result<Enlarged> {
        match (&self.body, found, backward, forward) {
            (Body::RefVsr(net), _, Joined::Level2(backward), Joined::Level2(forward)) => {
                Ok(Enlarged {
                    picture: net.reconstruction.forward(lr, backward, forward)?,
                    carried: Carried::default(),
                })
            }
            (
                Body::Registered(_),
                Found::Registered(details),
                Joined::Feature(backward),
                Joined::Feature(forward),
            ) => {
                let net = self.registered_for(footage).ok_or_else(broken)?;
                net.enlarged(&net.joined(backward, forward)?, lr, details)
            }
            _ => Err(broken()),
        }
    }

    /// Pads a frame `[1, 3, H, W]` on the right and bottom, by reflection, to a size the network takes: sides that are multiples of the
    /// matching kernel and at least two of them, for RefVSR-IR at least 64.
    ///
    /// # Errors
    /// [`Error::Shape`] for anything but an RGB frame.
    pub fn pad(&self, frame: &Tensor) -> Result<Tensor> {
        let (h, w) = rgb_size("frame", frame)?;
        let up = |n: i64| round_up(n.max(self.min_size()), self.config.size_multiple());
        pad_to(frame, up(h), up(w))
    }

    fn min_size(&self) -> i64 {
        if self.config.variant.registers() {
            return 1;
        }
        // The ultra-wide frame has a matched position every K/2 pixels, the references every K: two of those.
        let matching = 2 * self.config.size_multiple();
        if self.refill().is_some() {
            matching.max(Refill::MIN_SIZE)
        } else {
            matching
        }
    }

    /// How alike each pixel of a frame is to what was found for it in its references (wide, then tele if
    /// there is one), `[1, 1, H, W]`: the matching's cosine similarity, which weighs what is borrowed, or for
    /// the registered variant the local correlation with the references, found as in a clip's first frame. To
    /// look at; [`forward`](Self::forward) computes it for itself.
    ///
    /// # Errors
    /// [`Error::Shape`] for frames of sizes that [`pad`](Self::pad) would change.
    pub fn confidence(&self, frame: Frame<'_>) -> Result<Tensor> {
        self.check(&[frame])?;
        if let Some(net) = self.registered() {
            // As a session lays them: samplers round differently in another layout.
            let references = frame
                .references
                .iter()
                .map(|reference| channels_last(reference))
                .collect::<Result<Vec<_>>>()?;
            let moment = Moment {
                ultrawide: &channels_last(frame.lr)?,
                wide: references.first(),
                tele: references.get(1),
            };
            let (details, _) = net.details(moment, &Followers::new(WIDE_ZOOMS, TELE_ZOOMS))?;
            return details.confidence(frame.lr);
        }
        self.refvsr()?
            .propagation
            .confidence(frame.lr, frame.references)
    }

    /// The motion from `frame` to where its pixels lie in `neighbour`.
    pub(crate) fn motion(&self, frame: &Pyramid, neighbour: &Pyramid) -> Result<Motion> {
        self.motion_of(self.flow_net().flow(frame, neighbour)?)
    }

    /// A flow in the forms that this network's states are warped by.
    pub(crate) fn motion_of(&self, flow: Tensor) -> Result<Motion> {
        Motion::new(flow, self.has_level2())
    }

    /// A branch that has seen nothing, at the size of `lr` `[1, 3, h, w]`.
    pub(crate) fn fresh_state(&self, lr: &Tensor) -> Result<State> {
        State::zero(lr, self.config.mid_channels, self.has_level2())
    }

    /// One step of a branch. `state` has been warped to the frame; `inputs` are what the branch's trunk
    /// takes: the frame, the state's feature, and for RefVSR-IR's forward branch the backward one's
    /// feature between the two. The registered variant may have another trunk for other `footage`.
    pub(crate) fn step(
        &self,
        branch: Branch,
        inputs: &[&Tensor],
        state: &State,
        found: &Found,
        footage: Footage,
    ) -> Result<State> {
        let stage = profile::stage(Stage::Trunks);
        let feature = match (&self.body, branch, inputs) {
            (Body::RefVsr(net), Branch::Backward, _) => net.backward_resblocks.forward(inputs)?,
            (Body::RefVsr(net), Branch::Forward, _) => net.forward_resblocks.forward(inputs)?,
            (Body::Registered(net), branch, &[frame, before]) => {
                let net = self.registered_for(footage).unwrap_or(net);
                net.through(branch, &[frame, before])?
            }
            (Body::Registered(_), ..) => return Err(broken()),
        };
        drop(stage);
        let state = state.with_feature(feature);
        match (&self.body, found) {
            (Body::RefVsr(net), Found::Matched(reference)) => {
                net.propagation.forward(&state, reference)
            }
            (Body::Registered(_), Found::Registered(_)) => Ok(state),
            _ => Err(broken()),
        }
    }

    pub(super) fn check(&self, window: &[Frame<'_>]) -> Result<()> {
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
                let (h, w) = rgb_size(what, picture)?;
                if h.min(w) < min || h % multiple != 0 || w % multiple != 0 {
                    let expected = format!("H and W multiples of {multiple} and at least {min}");
                    return Err(wrong(what, format!("{:?}", picture.size()), &expected));
                }
            }
        }
        Ok(())
    }
}

/// The network for recorded footage, where there is one. `first` gives the weights of the model's body.
fn recorded(
    root: &Path<'_>,
    config: &ModelConfig,
    first: impl FnOnce() -> HashMap<String, Tensor>,
) -> Result<Option<Box<RegisteredVsr>>> {
    if !config.recorded {
        return Ok(None);
    }
    let second = Second::new(root / RECORDED, &OWN, first());
    Ok(Some(Box::new(RegisteredVsr::new(
        &Path::second(&second),
        config,
    )?)))
}

impl Body {
    fn new(root: &Path<'_>, config: &ModelConfig) -> Result<Self> {
        Ok(match config.variant {
            Variant::RefVsr | Variant::RefVsrIr => {
                Self::RefVsr(Box::new(RefVsr::new(root, config)?))
            }
            Variant::Registered | Variant::Live => {
                Self::Registered(Box::new(RegisteredVsr::new(root, config)?))
            }
        })
    }
}

impl RefVsr {
    fn new(root: &Path<'_>, config: &ModelConfig) -> Result<Self> {
        let (c, blocks) = (config.mid_channels, config.num_blocks);
        // RefVSR-IR's forward trunk also sees the backward branch's feature.
        let (refill, forward_input) = match config.variant {
            Variant::RefVsrIr => (Some(Refill::new(root, c)?), 3 + 2 * c),
            _ => (None, 3 + c),
        };
        Ok(Self {
            flow_net: SpyNet::new(root / "FlowNet")?,
            propagation: Propagation::new(root, config)?,
            backward_resblocks: Trunk::new(root / "backward_resblocks", 3 + c, c, blocks)?,
            forward_resblocks: Trunk::new(root / "forward_resblocks", forward_input, c, blocks)?,
            reconstruction: Reconstruction::new(root, config)?,
            refill,
        })
    }
}

fn broken() -> Error {
    Error::Broken("parts of two networks".into())
}

pub(super) fn wrong(what: &str, actual: String, expected: &str) -> Error {
    Error::Shape {
        what: what.into(),
        actual,
        expected: expected.into(),
    }
}
