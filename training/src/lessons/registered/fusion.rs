//! The fusion's lesson: what registered references add, on the features of frozen trunks.
//!
//! Where detail is carried on in the recurrent feature, features depend on what is learnt: the forward
//! branch is then computed step by step, and gradients reach back to the frame before.

use super::{
    against_truth,
    camera::{References, nothing},
    carrying::Carrying,
    features::{Features, Motions},
};
use crate::{
    data::batch::ClipPatch,
    data::random::{Random, hash},
    lessons::{Exercise, Lesson, StepLosses, Strip},
    losses::Losses,
};
use anyhow::{Context, Result, bail, ensure};
use refvsr::{
    Network, Precision,
    net::{
        layers::rectangle::Rectangle,
        registered::{
            Details, RegisteredVsr, TELE_DENSITY, WIDE_DENSITY, fusion::Detail, registration::Laid,
        },
    },
};
use tch::Tensor;

/// See the module.
#[derive(Debug)]
pub struct Fusion {
    network: Network,
    losses: Losses,
    /// How references are drawn; `None` where patches bring registered ones.
    references: Option<References>,
    /// Starts of names of weights that stay as they are.
    frozen: Vec<String>,
    seed: u64,
}

/// Families of random numbers.
const CAMERAS: u64 = 7;
/// A family of random numbers.
const REFERENCES: u64 = 4;
/// The largest side of a tele field in input pixels: at four times the density pixels are dear, and
/// a fifth of a frame is not large.
const TELE_SIDE: i64 = 24;

impl Fusion {
    /// Of a registered network.
    ///
    /// # Errors
    /// For another network, and for losses that need more than output and truth.
    pub fn new(
        network: Network,
        losses: Losses,
        references: Option<References>,
        frozen: Vec<String>,
        seed: u64,
    ) -> Result<Self> {
        layers(&network)?;
        ensure!(
            !losses.needs_vgg(),
            "the losses {losses} need VGG19; a fusion learns from output and truth alone"
        );
        Ok(Self {
            network,
            losses,
            references,
            frozen,
            seed,
        })
    }

    /// A clip patch made ready, with its features.
    fn clip(&self, patch: &ClipPatch, steps: u64) -> Result<Clip<'_>> {
        let network = layers(&self.network)?;
        let device = self.network.device();
        let lr = patch.frames("lr", &patch.lr, device)?;
        // The trunks learn nothing: as fast as may be.
        let branches = Precision::Fp32Fast.compute(device, || {
            let motions = Motions::of(network, &lr)?;
            if !network.carries()? {
                let joined = Features::of(network, &lr, &motions)?.joined(network)?;
                return Ok(Branches::Known(joined));
            }
            Ok(Branches::Carrying(Carrying::new(network, &lr, motions)?))
        })?;
        let number = hash(&patch.name) ^ steps;
        Ok(Clip {
            lesson: self,
            network,
            hr: patch.frames("hr", &patch.hr, device)?,
            own: match self.references {
                Some(_) => None,
                None => Some([
                    patch.wide.f_to_device(device)?,
                    patch.loss_references.f_to_device(device)?,
                ]),
            },
            camera: Random::new(self.seed, CAMERAS, number),
            random: Random::new(self.seed, REFERENCES, number),
            lr,
            branches,
        })
    }
}

/// A network's layers, if it is of the registered variant.
pub fn layers(network: &Network) -> Result<&RegisteredVsr> {
    network
        .registered()
        .context("model.variant is not registered, which this lesson is for")
}

impl Lesson for Fusion {
    fn network(&self) -> &Network {
        &self.network
    }

    fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    fn trains(&self, name: &str) -> bool {
        ["wide_fusion.", "wide_carrier.", "tele_fusion."]
            .iter()
            .any(|part| name.starts_with(part))
            && !self.frozen.iter().any(|part| name.starts_with(part))
    }

    fn prepare<'a>(
        &'a self,
        batch: &[ClipPatch],
        steps: u64,
    ) -> Result<Vec<Box<dyn Exercise + 'a>>> {
        let ready = |patch| Ok(Box::new(self.clip(patch, steps)?) as Box<dyn Exercise + 'a>);
        batch.iter().map(ready).collect()
    }

    fn strip(&self, patch: &ClipPatch, output: &Tensor) -> Result<Strip> {
        let last = patch.lr.size()[0] - 1;
        Ok(Strip {
            pictures: vec![
                patch.lr.f_narrow(0, last, 1)?,
                output.shallow_clone(),
                patch.hr.f_narrow(0, last, 1)?,
            ],
            caption: "input, output, truth",
        })
    }
}

/// A clip patch, `[1, 3, ..]` a frame. Each frame is a step.
struct Clip<'a> {
    lesson: &'a Fusion,
    network: &'a RegisteredVsr,
    lr: Vec<Tensor>,
    hr: Vec<Tensor>,
    branches: Branches,
    /// The registered references of the wide and of the tele camera, see [`Own`](super::own::Own).
    own: Option<[Tensor; 2]>,
    /// What a steady camera is drawn from, the same for every frame.
    camera: Random,
    random: Random,
}

/// What the trunks make of a clip patch.
enum Branches {
    /// Both branches' joined features, a frame each.
    Known(Vec<Tensor>),
    /// The forward branch depends on what is learnt.
    Carrying(Carrying),
}

/// References drawn for a frame `[1, 3, h, w]` from its truth; cameras from `camera` where they are
/// steady.
fn drawn(
    references: &References,
    camera: &Random,
    random: &mut Random,
    lr: &Tensor,
    hr: &Tensor,
) -> Result<Details> {
    let side = lr.size()[2].max(lr.size()[3]);
    let mut camera = camera.clone();
    let mut draw = |share: f64, density: i64, largest: i64| {
        let there = random.between(0.0, 1.0) < share;
        let number = if references.steady {
            camera.bits()
        } else {
            random.bits()
        };
        let detail = if there {
            let mut of = Random::new(number, CAMERAS, 0);
            references.detail(&mut of, random, lr, hr, (density, largest))?
        } else {
            None
        };
        detail
            .map_or_else(|| nothing(density, lr.device()), Ok)
            .map(Some)
    };
    Ok(Details {
        wide: draw(references.wide, WIDE_DENSITY, side)?,
        tele: draw(references.tele, TELE_DENSITY, TELE_SIDE)?,
    })
}

/// A reference that was registered on all of a patch: `laid` `[1, LAID, d h, d w]`.
fn registered(lr: &Tensor, laid: &Tensor, density: i64) -> Result<Detail> {
    let size = lr.size();
    let field = Rectangle {
        top: 0,
        left: 0,
        height: size[2],
        width: size[3],
    };
    let laid = Laid {
        picture: laid.f_narrow(1, 0, 3)?,
        mask: laid.f_narrow(1, 3, 1)?,
        residual: laid.f_narrow(1, 4, 1)?,
        agreement: Tensor::from(1.0),
    };
    Ok(Detail::new(lr, &laid, field, density)?)
}

impl Clip<'_> {
    /// The output at frame `k`.
    fn output(&mut self, k: usize) -> Result<Tensor> {
        let (lr, hr) = (&self.lr[k], &self.hr[k]);
        let details = tch::no_grad(|| match (&self.lesson.references, &self.own) {
            (Some(references), _) => drawn(references, &self.camera, &mut self.random, lr, hr),
            (None, Some([wide, tele])) => Ok(Details {
                wide: Some(registered(
                    lr,
                    &wide.f_narrow(0, k as i64, 1)?,
                    WIDE_DENSITY,
                )?),
                tele: Some(registered(
                    lr,
                    &tele.f_narrow(0, k as i64, 1)?,
                    TELE_DENSITY,
                )?),
            }),
            (None, None) => bail!("a patch without references"),
        })?;
        match &mut self.branches {
            Branches::Known(joined) => Ok(self.network.enlarged(&joined[k], lr, &details)?.picture),
            Branches::Carrying(carrying) => {
                let [forward, joined] = carrying.step(self.network, lr, k)?;
                let output = self.network.enlarged(&joined, lr, &details)?.picture;
                carrying.leave(&forward, &joined, details);
                Ok(output)
            }
        }
    }
}

impl Exercise for Clip<'_> {
    fn steps(&self) -> usize {
        self.lr.len()
    }

    fn losses(&mut self, k: usize) -> Result<StepLosses> {
        let output = self.output(k)?;
        against_truth(&self.lesson.losses, output, &self.hr[k])
    }

    fn forget(&mut self) {}
}
