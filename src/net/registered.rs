//! The registered variant: BasicVSR (Chan et al., CVPR 2021), and references registered to a
//! fraction of a pixel whose detail is fused in while it enlarges. Fields are named as the keys of
//! BasicVSR's published files; without trained fusions it is BasicVSR.

use super::{
    blocks::Trunk,
    carried::{Carried, Carrier},
    conv::{Conv, Then},
    flow::{Pyramid, SpyNet, grid, warp},
    fusion::{Detail, Fusion},
    network::Branch,
    ops::{bilinear, channels_last, size, zeros},
    registration::{Follower, Zooms, crop},
    strips::{Strip, in_strips},
    variables::Path,
};
use crate::{
    Error, Result,
    config::Recurrence,
    image::size::rgb_size,
    profile::{self, Stage},
};
use tch::Tensor;

/// Output size over input size.
const SCALE: i64 = 4;
/// Slope of all its leaky ReLUs.
const SLOPE: f64 = 0.1;
/// Pixels of references an ultra-wide pixel, in each direction: the wide camera's are fused after
/// the first enlargement, the tele camera's after the second.
pub const WIDE_DENSITY: i64 = 2;
/// See [`WIDE_DENSITY`].
pub const TELE_DENSITY: i64 = 4;

/// The network's layers.
#[derive(Debug)]
pub struct RegisteredVsr {
    channels: i64,
    spynet: SpyNet,
    backward_trunk: Trunk,
    forward_trunk: Trunk,
    fusion: Conv,
    upconv1: Conv,
    wide_fusion: Fusion,
    wide_carrier: Carrier,
    upconv2: Conv,
    tele_fusion: Fusion,
    conv_hr: Conv,
    conv_last: Conv,
}

/// What the three cameras saw at one moment of a window. Frames are RGB in \[0, 1\].
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The frame to enlarge, `[1, 3, h, w]`.
    pub ultrawide: &'a Tensor,
    /// The wide camera's frame, `[1, 3, H, W]` of any size.
    pub wide: Option<&'a Tensor>,
    /// The tele camera's frame, the same.
    pub tele: Option<&'a Tensor>,
}

/// What is known of both reference cameras at a point of a clip.
#[derive(Debug)]
pub struct Followers {
    /// Of the wide camera.
    pub wide: Follower,
    /// Of the tele camera.
    pub tele: Follower,
}

impl Followers {
    /// At a clip's start.
    pub fn new(wide: Zooms, tele: Zooms) -> Self {
        Self {
            wide: Follower::new(wide, WIDE_DENSITY),
            tele: Follower::new(tele, TELE_DENSITY),
        }
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.wide.tensors().chain(self.tele.tensors())
    }

    /// The same with all that is known, see [`Follower::read`].
    ///
    /// # Errors
    /// [`Error::Torch`] where the device fails.
    pub fn read(&self) -> Result<Self> {
        Ok(Self {
            wide: self.wide.read()?,
            tele: self.tele.read()?,
        })
    }

    /// The same once more.
    pub fn shallow_clone(&self) -> Self {
        Self {
            wide: self.wide.shallow_clone(),
            tele: self.tele.shallow_clone(),
        }
    }
}

/// What a frame's references add to it. A function of that frame, its references and what was known
/// of the cameras before.
#[derive(Debug, Default)]
pub struct Details {
    /// Of the wide camera, where it was found. Where its picture does not hold, its mask is 0.
    pub wide: Option<Detail>,
    /// Of the tele camera.
    pub tele: Option<Detail>,
}

impl Details {
    /// The part in `rows` rows of the frame from `first` on, as details of those rows alone.
    fn in_rows(&self, first: i64, rows: i64) -> Result<Self> {
        let part = |detail: &Option<Detail>| match detail {
            Some(detail) => detail.in_rows(first, rows),
            None => Ok(None),
        };
        Ok(Self {
            wide: part(&self.wide)?,
            tele: part(&self.tele)?,
        })
    }

    /// How alike each pixel of a frame `[1, 3, h, w]` is to what its references show there, `[1, 1, h,
    /// w]`: the highest local correlation, 0 outside of their fields.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn confidence(&self, frame: &Tensor) -> Result<Tensor> {
        let (h, w) = size(frame);
        let map = zeros([1, 1, h, w], frame.kind(), frame.device())?;
        for detail in self.wide.iter().chain(&self.tele) {
            let mut part = crop(&map, detail.field)?;
            part.f_copy_(&part.f_maximum(&detail.correlation()?)?)?;
        }
        Ok(map)
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.wide
            .iter()
            .chain(&self.tele)
            .map(|detail| &detail.input)
    }
}

/// What is made of a frame's joined features.
#[derive(Debug)]
pub struct Enlarged {
    /// The output, `[1, 3, 4 h, 4 w]`, not limited to \[0, 1\].
    pub picture: Tensor,
    /// What the wide camera's detail adds to the forward branch's feature once this frame is out.
    pub carried: Carried,
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
    /// `vs` is the network's root; `channels` those of the features, `blocks` the residual blocks
    /// of each trunk, `flow_levels` the levels of SPyNet (6 of BasicVSR's).
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn new(vs: &Path<'_>, channels: i64, blocks: i64, flow_levels: usize) -> Result<Self> {
        let c = channels;
        Ok(Self {
            channels,
            spynet: SpyNet::basicsr(vs / "spynet", flow_levels)?,
            backward_trunk: Trunk::new(vs / "backward_trunk", 3 + c, c, blocks)?,
            forward_trunk: Trunk::new(vs / "forward_trunk", 3 + c, c, blocks)?,
            fusion: Conv::new(vs / "fusion", 2 * c, c, 1)?,
            upconv1: Conv::new(vs / "upconv1", c, 4 * c, 3)?,
            wide_fusion: Fusion::new(vs / "wide_fusion", c)?,
            wide_carrier: Carrier::new(vs / "wide_carrier", c)?,
            upconv2: Conv::new(vs / "upconv2", c, 4 * c, 3)?,
            tele_fusion: Fusion::new(vs / "tele_fusion", c)?,
            conv_hr: Conv::new(vs / "conv_hr", c, c, 3)?,
            conv_last: Conv::new(vs / "conv_last", c, 3, 3)?,
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
        let backward = self.branch(&self.backward_trunk, frames[centre..].iter().rev(), None)?;
        let forward = match kept {
            Some(kept) => self.branch(
                &self.forward_trunk,
                std::iter::once(moment.ultrawide),
                Some(kept),
            )?,
            None => self.branch(&self.forward_trunk, frames[..=centre].iter(), None)?,
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
        trunk: &Trunk,
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
            last = Some((self.step(trunk, frame, state.as_ref())?, pyramid));
        }
        match last {
            Some((feature, _)) => Ok(feature),
            None => Err(wrong("branch", "no frames", "at least one")),
        }
    }

    /// One step of a branch. `state` `[1, C, h, w]` has been warped to this frame; without one the
    /// branch starts here.
    fn step(&self, trunk: &Trunk, frame: &Tensor, state: Option<&Tensor>) -> Result<Tensor> {
        let ((h, w), n) = (size(frame), frame.size()[0]);
        match state {
            Some(state) => trunk.forward(&[frame, state]),
            None => trunk.forward(&[
                frame,
                &zeros([n, self.channels, h, w], frame.kind(), frame.device())?,
            ]),
        }
    }

    /// The flow network.
    pub fn flow_net(&self) -> &SpyNet {
        &self.spynet
    }

    pub(crate) fn trunk(&self, branch: Branch) -> &Trunk {
        match branch {
            Branch::Backward => &self.backward_trunk,
            Branch::Forward => &self.forward_trunk,
        }
    }

    /// One step of the backward branch: [`step`](Self::forward_step)'s mirror image.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn backward_step(&self, frame: &Tensor, state: Option<&Tensor>) -> Result<Tensor> {
        self.step(&self.backward_trunk, frame, state)
    }

    /// One step of the forward branch, `[1, C, h, w]`. `state` has been [`warped`] to this frame;
    /// without one the branch starts here.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn forward_step(&self, frame: &Tensor, state: Option<&Tensor>) -> Result<Tensor> {
        self.step(&self.forward_trunk, frame, state)
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
        let register = |fusion: &Fusion, follower: &Follower, reference: Option<&Tensor>| {
            if fusion.is_idle()? {
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
        let (wide, wide_follower) = register(&self.wide_fusion, &followers.wide, moment.wide)?;
        let (tele, tele_follower) = register(&self.tele_fusion, &followers.tele, moment.tele)?;
        let followers = Followers {
            wide: wide_follower,
            tele: tele_follower,
        };
        Ok((Details { wide, tele }, followers))
    }

    /// Both branches' features at a frame joined, `[1, C, h, w]`.
    ///
    /// # Errors
    /// [`Error::Torch`] where sizes do not fit.
    pub fn joined(&self, backward: &Tensor, forward: &Tensor) -> Result<Tensor> {
        self.fusion.then(&[backward, forward], Then::lrelu(SLOPE))
    }

    /// Whether detail of the wide camera is carried on from frame to frame.
    ///
    /// # Errors
    /// [`Error::Torch`] where the weights' device fails.
    pub fn carries(&self) -> Result<bool> {
        Ok(!self.wide_carrier.is_idle()?)
    }

    /// The output from the joined features `[1, C, h, w]` of `frame` `[1, 3, h, w]` and what its
    /// references add.
    ///
    /// Large frames are computed in strips of rows.
    ///
    /// # Errors
    /// [`Error::Torch`] where sizes do not fit.
    pub fn enlarged(&self, joined: &Tensor, frame: &Tensor, details: &Details) -> Result<Enlarged> {
        let _stage = profile::stage(Stage::Reconstruction);
        let carries = self.carries()?;
        let mut carried = Carried::default();
        let picture = in_strips(size(frame), (self.channels, SCALE), SCALE, |strip| {
            let (first, rows) = strip.span(1);
            let details = details.in_rows(first, rows)?;
            let mut x = self.once_enlarged(&strip.of(joined, 1)?)?;
            if let Some(detail) = &details.wide {
                let (with, made) = self.wide_fusion.forward(&x, detail)?;
                if carries {
                    let part = self.wide_carrier.part(&made, detail)?;
                    carried.take(strip, detail.field, &part)?;
                }
                x = with;
            }
            let picture = self.picture(&x, &strip.of(frame, 1)?, details.tele.as_ref())?;
            strip.kept(&picture, SCALE)
        })?;
        Ok(Enlarged { picture, carried })
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
        let x = self.once_enlarged(joined)?;
        let (_, made) = self.wide_fusion.forward(&x, detail)?;
        let part = self.wide_carrier.part(&made, detail)?;
        let mut carried = Carried::default();
        carried.take(Strip::whole(size(joined).0), detail.field, &part)?;
        carried.onto(forward)
    }

    /// Features after the first enlargement, `[1, C, 2h, 2w]`.
    fn once_enlarged(&self, joined: &Tensor) -> Result<Tensor> {
        self.upconv1.then(&[joined], Then::shuffle(SLOPE))
    }

    /// The output from features `[1, C, 2h, 2w]`, of whole frames or of strips of them.
    fn picture(&self, x: &Tensor, frame: &Tensor, tele: Option<&Detail>) -> Result<Tensor> {
        let mut x = self.upconv2.then(&[x], Then::shuffle(SLOPE))?; // [1, C, 4h, 4w]
        if let Some(detail) = tele {
            x = self.tele_fusion.forward(&x, detail)?.0;
        }
        let x = self.conv_hr.then(&[&x], Then::lrelu(SLOPE))?;
        let (h, w) = size(frame);
        let base = bilinear(frame, SCALE * h, SCALE * w, false)?;
        Ok(self
            .conv_last
            .forward(&x)?
            .f_to_kind(base.kind())?
            .f_add(&base)?)
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

fn check(window: &[Moment<'_>], centre: usize) -> Result<()> {
    let Some(moment) = window.get(centre) else {
        let found = format!("position {centre} of {}", window.len());
        return Err(wrong("window", &found, "a position in the window"));
    };
    let of = moment.ultrawide.size();
    rgb_size("ultra-wide frame", moment.ultrawide)?;
    for other in window {
        if other.ultrawide.size() != of {
            let found = format!("{:?} beside {of:?}", other.ultrawide.size());
            return Err(wrong("window", &found, "frames of one size"));
        }
        for (what, picture) in [("wide frame", other.wide), ("tele frame", other.tele)] {
            if let Some(picture) = picture {
                rgb_size(what, picture)?;
            }
        }
    }
    Ok(())
}

fn wrong(what: &str, actual: &str, expected: &str) -> Error {
    Error::Shape {
        what: what.into(),
        actual: actual.into(),
        expected: expected.into(),
    }
}
