//! The registered variant: BasicVSR (Chan et al., CVPR 2021), and references registered to a
//! fraction of a pixel whose detail is fused in while it enlarges. Layers are named as the keys of
//! BasicVSR's published files; without trained fusions it is BasicVSR. The live variant is its forward
//! branch with an enlargement of its own.

pub mod carried;
mod details;
mod direct;
mod enlarged;
pub mod fusion;
pub mod registration;
mod stepwise;

pub use details::{Details, Followers, Moment, TELE_DENSITY, WIDE_DENSITY};
pub use enlarged::Enlarged;

use self::{fusion::Detail, registration::Follower};
use super::{
    branch::Branch,
    flow::{Pyramid, SpyNet, grid, warp},
    layers::{blocks::Trunk, ops::zeros, rectangle::crop, variables::Path},
};
use crate::{
    Error, ModelConfig, Result,
    config::{Recurrence, Variant},
    layout::{channels_last, rgb_size, size},
    profile::{self, Stage},
};
use direct::Direct;
use stepwise::Stepwise;
use tch::{Kind, Tensor};

/// The network's layers.
#[derive(Debug)]
pub struct RegisteredVsr {
    channels: i64,
    /// How often the forward branch looks at a clip's first frame.
    pub first_looks: usize,
    spynet: SpyNet,
    /// The live variant has none.
    backward_trunk: Option<Trunk>,
    forward_trunk: Trunk,
    enlargement: Enlargement,
}

/// What makes the picture of features.
#[derive(Debug)]
enum Enlargement {
    /// BasicVSR's.
    Stepwise(Box<Stepwise>),
    /// The live variant's.
    Direct(Box<Direct>),
}

/// What one output hands to the next.
#[derive(Debug)]
pub struct KeptFeature {
    /// The forward branch's feature, `[1, C, h, w]`, with the wide camera's detail.
    pub feature: Tensor,
    /// The frame it belongs to.
    pub ultrawide: Tensor,
}

impl RegisteredVsr {
    /// `vs` is the network's root.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn new(vs: &Path<'_>, config: &ModelConfig) -> Result<Self> {
        let (c, blocks) = (config.mid_channels, config.num_blocks);
        let trunk = |name: &str| Trunk::new(vs / name, 3 + c, c, blocks);
        let live = config.variant == Variant::Live;
        Ok(Self {
            channels: c,
            first_looks: config.first_looks,
            spynet: SpyNet::basicsr(vs / "spynet", config.flow_levels)?,
            backward_trunk: (!live).then(|| trunk("backward_trunk")).transpose()?,
            forward_trunk: trunk("forward_trunk")?,
            enlargement: match live {
                true => Enlargement::Direct(Box::new(Direct::new(vs, c)?)),
                false => Enlargement::Stepwise(Box::new(Stepwise::new(vs, c)?)),
            },
        })
    }

    /// The frame at position `centre` of a window of consecutive moments at 4 times its size, `[1,
    /// 3, 4 h, 4 w]`, not limited to \[0, 1\]. With it comes what the next output needs. The window
    /// ends where the clip does. Without a feature kept the forward branch starts at the window's
    /// first frame.
    ///
    /// This is the plain form: everything is computed anew for every window.
    ///
    /// # Errors
    /// [`Error::Shape`] for a window without that position or frames of different sizes.
    pub fn forward(
        &self,
        window: &[Moment<'_>],
        centre: usize,
        kept: Option<&KeptFeature>,
        followers: &Followers,
    ) -> Result<(Tensor, KeptFeature, Followers)> {
        check(window, centre)?;
        // As a session lays them: samplers round differently in another layout.
        let frames = window
            .iter()
            .map(|moment| channels_last(moment.ultrawide))
            .collect::<Result<Vec<_>>>()?;
        let (wide, tele) = (
            window[centre].wide.map(channels_last).transpose()?,
            window[centre].tele.map(channels_last).transpose()?,
        );
        let moment = Moment {
            ultrawide: &frames[centre],
            wide: wide.as_ref(),
            tele: tele.as_ref(),
        };
        let later = frames[centre..].iter().rev();
        let backward = self.branch(Branch::Backward, later, None)?;
        let forward = match kept {
            Some(kept) => {
                let one = std::iter::once(moment.ultrawide);
                self.branch(Branch::Forward, one, Some(kept))?
            }
            None => self.branch(Branch::Forward, frames[..=centre].iter(), None)?,
        };
        let (details, followers) = self.details(moment, followers)?;
        let joined = self.joined(&backward, &forward)?;
        let Enlarged { picture, carried } = self.enlarged(&joined, moment.ultrawide, &details)?;
        let kept = KeptFeature {
            feature: carried.onto(&forward)?,
            ultrawide: moment.ultrawide.shallow_clone(),
        };
        Ok((picture, kept, followers))
    }

    /// A branch through frames in the order it sees them, on from what was kept: its feature at the
    /// last of them.
    fn branch<'a>(
        &self,
        branch: Branch,
        frames: impl Iterator<Item = &'a Tensor>,
        kept: Option<&KeptFeature>,
    ) -> Result<Tensor> {
        let mut last: Option<(Tensor, Pyramid)> = match kept {
            Some(kept) => Some((
                kept.feature.shallow_clone(),
                SpyNet::pyramid(&kept.ultrawide)?,
            )),
            None => None,
        };
        for frame in frames {
            let pyramid = SpyNet::pyramid(frame)?;
            let state = match &last {
                Some((feature, neighbour)) => {
                    let motion = self.motion(&pyramid, neighbour)?;
                    Some(warped(feature, &motion)?)
                }
                None => None,
            };
            last = Some((self.step(branch, frame, state.as_ref())?, pyramid));
        }
        match last {
            Some((feature, _)) => Ok(feature),
            None => Err(Error::shape("branch", "no frames", "at least one")),
        }
    }

    /// One step of a branch. `state` `[1, C, h, w]` has been warped to this frame; without one the
    /// branch starts here.
    fn step(&self, branch: Branch, frame: &Tensor, state: Option<&Tensor>) -> Result<Tensor> {
        let ((h, w), n) = (size(frame), frame.size()[0]);
        match state {
            Some(state) => self.through(branch, &[frame, state]),
            None => {
                let looks = match branch {
                    Branch::Forward => self.first_looks,
                    Branch::Backward => 1,
                };
                let nothing = zeros([n, self.channels, h, w], frame.kind(), frame.device())?;
                let mut feature = self.through(branch, &[frame, &nothing])?;
                for _ in 1..looks {
                    let next = self.through(branch, &[frame, &feature])?;
                    feature = unless_outgrown(&feature, &next)?;
                }
                Ok(feature)
            }
        }
    }

    /// What a branch's trunk makes of a frame and the state moved there. A branch that the network does not
    /// have leaves the state as it is.
    pub(crate) fn through(&self, branch: Branch, inputs: &[&Tensor; 2]) -> Result<Tensor> {
        match (branch, &self.backward_trunk) {
            (Branch::Forward, _) => self.forward_trunk.forward(inputs),
            (Branch::Backward, Some(trunk)) => trunk.forward(inputs),
            (Branch::Backward, None) => Ok(inputs[1].shallow_clone()),
        }
    }

    /// The flow network.
    pub fn flow_net(&self) -> &SpyNet {
        &self.spynet
    }

    /// One step of the backward branch: [`step`](Self::forward_step)'s mirror image.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn backward_step(&self, frame: &Tensor, state: Option<&Tensor>) -> Result<Tensor> {
        self.step(Branch::Backward, frame, state)
    }

    /// One step of the forward branch, `[1, C, h, w]`. `state` has been [`warped`] to this frame;
    /// without one the branch starts here.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn forward_step(&self, frame: &Tensor, state: Option<&Tensor>) -> Result<Tensor> {
        self.step(Branch::Forward, frame, state)
    }

    /// Where each pixel of `frame` lies in `neighbour`: sampling positions for [`warped`].
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn motion(&self, frame: &Pyramid, neighbour: &Pyramid) -> Result<Tensor> {
        let flow = self.spynet.flow(frame, neighbour)?;
        grid(&flow, size(&flow))
    }

    /// Registers a moment's references on its ultra-wide frame. Cameras whose fusion adds nothing
    /// are not looked at.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn details(
        &self,
        moment: Moment<'_>,
        followers: &Followers,
    ) -> Result<(Details, Followers)> {
        let _stage = profile::stage(Stage::Registration);
        let frame = moment.ultrawide;
        let register = |is_idle: bool, follower: &Follower, reference: Option<&Tensor>| {
            if is_idle {
                return Ok((None, follower.shallow_clone()));
            }
            // Nothing in it is learnt from what comes out.
            let (registered, next) =
                tch::no_grad(|| follower.next(&self.spynet, frame, reference))?;
            let detail = registered
                .map(|r| Detail::new(&crop(frame, r.field)?, &r.laid, r.field, r.density))
                .transpose()?;
            Ok::<_, Error>((detail, next))
        };
        let (wide_idle, tele_idle) = match &self.enlargement {
            Enlargement::Stepwise(by) => (by.wide_fusion.is_idle()?, by.tele_fusion.is_idle()?),
            Enlargement::Direct(by) => (by.wide_fusion.is_idle()?, true),
        };
        let (wide, wide_follower) = register(wide_idle, &followers.wide, moment.wide)?;
        let (tele, tele_follower) = register(tele_idle, &followers.tele, moment.tele)?;
        let followers = Followers {
            wide: wide_follower,
            tele: tele_follower,
        };
        Ok((Details { wide, tele }, followers))
    }

    /// Both branches' features at a frame joined, `[1, C, h, w]`; without a backward branch the forward one's.
    ///
    /// # Errors
    /// [`Error::Torch`] where sizes do not fit.
    pub fn joined(&self, backward: &Tensor, forward: &Tensor) -> Result<Tensor> {
        match &self.enlargement {
            Enlargement::Stepwise(by) => by.joined(backward, forward),
            Enlargement::Direct(_) => Ok(forward.shallow_clone()),
        }
    }

    /// Whether detail of the wide camera is carried on from frame to frame.
    ///
    /// # Errors
    /// [`Error::Torch`] where the weights' device fails.
    pub fn carries(&self) -> Result<bool> {
        match &self.enlargement {
            Enlargement::Stepwise(by) => by.carries(),
            Enlargement::Direct(_) => Ok(false),
        }
    }

    /// The output from the joined features `[1, C, h, w]` of `frame` `[1, 3, h, w]` and what its
    /// references add.
    ///
    /// # Errors
    /// [`Error::Torch`] where sizes do not fit.
    pub fn enlarged(&self, joined: &Tensor, frame: &Tensor, details: &Details) -> Result<Enlarged> {
        let _stage = profile::stage(Stage::Reconstruction);
        match &self.enlargement {
            Enlargement::Stepwise(by) => by.enlarged(joined, frame, details),
            Enlargement::Direct(by) => by.enlarged(joined, frame, details),
        }
    }

    /// A forward feature with what the wide camera's `detail` adds to it once its frame is out, without
    /// the picture: what [`enlarged`](Self::enlarged) carries of a small frame.
    ///
    /// # Errors
    /// [`Error::Torch`] where sizes do not fit.
    pub fn with_carried(
        &self,
        forward: &Tensor,
        joined: &Tensor,
        detail: &Detail,
    ) -> Result<Tensor> {
        match &self.enlargement {
            Enlargement::Stepwise(by) => by.with_carried(forward, joined, detail),
            Enlargement::Direct(_) => Ok(forward.shallow_clone()),
        }
    }
}

/// A feature `[1, C, h, w]` moved along with the picture, by positions of
/// [`RegisteredVsr::motion`].
///
/// # Errors
/// [`Error::Torch`] where sizes do not fit.
pub fn warped(feature: &Tensor, motion: &Tensor) -> Result<Tensor> {
    warp(feature, motion, Recurrence::Clean)
}

/// What one more look at a clip's first frame gives; but the look before it where that feature grows, as it does where
/// recurrence runs away. Decided on the device.
pub fn unless_outgrown(before: &Tensor, after: &Tensor) -> Result<Tensor> {
    // Of models that stay it grows by up to 1.2 times, of one that explodes by more than three times.
    const MOST: f64 = 1.5 * 1.5;
    let power = |feature: &Tensor| {
        feature
            .f_to_kind(Kind::Float)?
            .f_square()?
            .f_sum(Kind::Float)
    };
    let outgrown = power(after)?.f_gt_tensor(&power(before)?.f_mul_scalar(MOST)?)?;
    Ok(before.f_where_self(&outgrown, after)?)
}

fn check(window: &[Moment<'_>], centre: usize) -> Result<()> {
    let Some(moment) = window.get(centre) else {
        let found = format!("position {centre} of {}", window.len());
        return Err(Error::shape("window", found, "a position in the window"));
    };
    let of = moment.ultrawide.size();
    rgb_size("ultra-wide frame", moment.ultrawide)?;
    for other in window {
        if other.ultrawide.size() != of {
            let found = format!("{:?} beside {of:?}", other.ultrawide.size());
            return Err(Error::shape("window", found, "frames of one size"));
        }
        for (what, picture) in [("wide frame", other.wide), ("tele frame", other.tele)] {
            if let Some(picture) = picture {
                rgb_size(what, picture)?;
            }
        }
    }
    Ok(())
}
