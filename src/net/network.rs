//! The whole network: its weights and what is asked of them. [`window`](crate::net::refvsr::window) computes with it.

use super::{
    branch::Branch,
    flow::{Pyramid, SpyNet},
    footage::Footage,
    found::Found,
    frame::Frame,
    layers::variables::{Path, Second, Shapes},
    refvsr::{RefVsr, refill::Refill},
    registered::{
        Enlarged, Followers, Moment, RegisteredVsr,
        carried::Carried,
        registration::{TELE_ZOOMS, WIDE_ZOOMS},
    },
    state::{Joined, Motion, State},
};
use crate::{
    Error, ModelConfig, Result,
    config::Variant,
    layout::{channels_last, size},
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

fn broken() -> Error {
    Error::Broken("parts of two networks".into())
}
