//! Clips of one's own cameras to adapt a fusion to: what they really show of one another, at a
//! quarter of the size, where the full-size frame is the truth.
//!
//! No camera that is drawn is quite like a real one. Frames of all lenses are reduced by the network's
//! scale, registered as in use, and the enlarged ultra-wide frame has to become the one that was
//! filmed.

use crate::{
    contents,
    data::{
        batch::{ClipPatch, Source, ValidationClip, ValidationFrame},
        png,
        random::{Random, hash},
        tree::{Clip, Density, Lens, Split, Tree},
    },
};
use anyhow::{Context, Result, ensure};
use refvsr::{
    Network,
    image::resize::bicubic_antialiased,
    net::{
        layers::rectangle::Rectangle,
        registered::{
            Followers, TELE_DENSITY, WIDE_DENSITY,
            registration::{Follower, Registered, TELE_ZOOMS, WIDE_ZOOMS},
        },
    },
};
use std::{path::Path, sync::Arc};
use tch::{Kind, Tensor};

/// Channels of a reference in a patch: its picture (3), mask and residual.
pub const LAID: i64 = 5;
/// Full-size pixels of an input pixel.
const SCALE: i64 = 4;
/// A family of random numbers.
const PATCH: u64 = 6;

/// Clips of a split, in RealMCVSR's layout or at `{UW,W,T}/CLIP`; T may be missing.
#[derive(Debug)]
pub struct Own {
    clips: Arc<Clips>,
    patch: i64,
    frames: usize,
    seed: u64,
}

#[derive(Debug)]
struct Clips {
    tree: Tree,
    /// Its flow network registers.
    network: Network,
}

impl Own {
    /// `frames` are those of a clip patch, `patch` its side in input pixels. The flow network is the
    /// `network`'s.
    ///
    /// # Errors
    /// Where folders are missing or disagree, frames are too small, or all clips are too short.
    pub fn open(
        root: &Path,
        split: Split,
        network: Network,
        patch: usize,
        frames: usize,
        seed: u64,
    ) -> Result<Self> {
        super::fusion::layers(&network)?;
        let needed = [(Density::Hr, Lens::Ultrawide), (Density::Hr, Lens::Wide)];
        let mut tree = Tree::open(root, split, &needed)?;
        tree.clips.retain(|clip| clip.frames >= frames);
        ensure!(
            !tree.clips.is_empty(),
            "no clip in {} has the {frames} frames of a patch",
            root.display()
        );
        let least = patch * SCALE as usize;
        for clip in &tree.clips {
            ensure!(
                clip.size.0 >= least && clip.size.1 >= least,
                "clip '{}' is {} x {}; at least {least} x {least} expected for patches of {patch}",
                clip.name,
                clip.size.0,
                clip.size.1
            );
        }
        Ok(Self {
            clips: Arc::new(Clips { tree, network }),
            patch: patch as i64,
            frames,
            seed,
        })
    }

    /// How many clips there are.
    pub fn len(&self) -> usize {
        self.clips.tree.clips.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number for what the frames show and for the options. Clips of one's own are few, and often of the same names and sizes.
    ///
    /// # Errors
    /// Where a frame cannot be read.
    pub fn fingerprint(&self) -> Result<u64> {
        let clips = &self.clips.tree.clips;
        let mut files = vec![];
        for clip in clips {
            for lens in Lens::ALL {
                let frame = |n| self.clips.tree.frame(Density::Hr, lens, &clip.name, n);
                files.extend((0..clip.frames).map(frame).filter(|file| file.exists()));
            }
        }
        let shown = contents::number(&files)?;
        Ok(hash(&format!(
            "{:?}",
            (clips, shown, self.patch, self.frames, self.seed)
        )))
    }

    /// Its clips, to validate with.
    pub fn validation(&self) -> Vec<Box<dyn ValidationClip>> {
        (0..self.len())
            .map(|number| {
                let clips = self.clips.clone();
                Box::new(Whole { clips, number }) as Box<dyn ValidationClip>
            })
            .collect()
    }

    /// Patch number `k`: a function of the seed and that number.
    ///
    /// # Errors
    /// Where a frame cannot be read.
    pub fn patch(&self, k: u64) -> Result<ClipPatch> {
        let clips = &self.clips;
        let mut random = Random::new(self.seed, PATCH, k);
        let number = random.below(self.len() as u64) as usize;
        let clip = &clips.tree.clips[number];
        let first = random.below((clip.frames - self.frames + 1) as u64) as usize;
        let net = super::fusion::layers(&clips.network)?.flow_net();
        let mut followers = Followers::new(WIDE_ZOOMS, TELE_ZOOMS);
        let mut moments = vec![];
        for i in first..first + self.frames {
            let moment = clips.moment(clip, i)?;
            let register = |follower: &mut Follower, reference: Option<&Tensor>| {
                let found = tch::no_grad(|| follower.next(net, &moment.lr, reference))?;
                *follower = found.1;
                Ok::<_, refvsr::Error>(match found.0 {
                    Some(found) if found.read()?.is_some() => Some(found),
                    _ => None,
                })
            };
            let wide = register(&mut followers.wide, Some(&moment.wide))?;
            let tele = register(&mut followers.tele, moment.tele.as_ref())?;
            moments.push((moment, wide, tele));
        }
        // Where the wide camera looks, or anywhere.
        let seen = moments.iter().find_map(|(_, wide, _)| wide.as_ref());
        let size = moments[0].0.lr.size();
        let mut at = |side: i64, field: Option<(i64, i64)>| {
            let (low, high) = match field {
                Some((start, n)) => (start - self.patch / 2, start + n - self.patch / 2),
                None => (0, side - self.patch),
            };
            let (low, high) = (low.max(0), high.min(side - self.patch).max(0));
            low.min(high) + random.below((high - low).max(0) as u64 + 1) as i64
        };
        let top = at(size[2], seen.map(|r| (r.field.top, r.field.height)));
        let left = at(size[3], seen.map(|r| (r.field.left, r.field.width)));
        let part = Rectangle {
            top,
            left,
            height: self.patch,
            width: self.patch,
        };
        let stacked = |of: &dyn Fn(&Registering) -> Result<Tensor>| -> Result<Tensor> {
            let all = moments.iter().map(of).collect::<Result<Vec<_>>>()?;
            Ok(Tensor::f_cat(&all, 0)?)
        };
        Ok(ClipPatch {
            name: format!("{} from frame {first} at {left},{top}", clip.name),
            lr: stacked(&|(m, ..)| cut(&m.lr, part, 1))?,
            hr: stacked(&|(m, ..)| cut(&m.hr, part, SCALE))?,
            wide: stacked(&|(m, wide, _)| laid(wide.as_ref(), &m.lr, part, WIDE_DENSITY))?,
            loss_references: stacked(&|(m, _, tele)| {
                laid(tele.as_ref(), &m.lr, part, TELE_DENSITY)
            })?,
            clean: None,
            part: None,
        })
    }
}

/// A moment and its references, where they hold.
type Registering = (Moment, Option<Registered>, Option<Registered>);

/// What the cameras saw, at the network's input size, and the truth.
struct Moment {
    lr: Tensor,
    wide: Tensor,
    tele: Option<Tensor>,
    hr: Tensor,
}

impl Clips {
    fn moment(&self, clip: &Clip, number: usize) -> Result<Moment> {
        let path = |lens| self.tree.frame(Density::Hr, lens, &clip.name, number);
        let read = |lens| -> Result<Tensor> {
            let full = png::read(&path(lens))?.to_tensor()?.f_unsqueeze(0)?;
            let size = full.size();
            let whole = |n: i64| n / SCALE * SCALE;
            Ok(full
                .f_narrow(2, 0, whole(size[2]))?
                .f_narrow(3, 0, whole(size[3]))?)
        };
        let hr = read(Lens::Ultrawide)?;
        let tele = path(Lens::Tele).exists().then(|| read(Lens::Tele));
        Ok(Moment {
            lr: reduced(&hr)?,
            wide: reduced(&read(Lens::Wide)?)?,
            tele: tele.transpose()?.map(|t| reduced(&t)).transpose()?,
            hr,
        })
    }
}

/// Reduced by the scale, as from a file of 8 bits.
fn reduced(full: &Tensor) -> Result<Tensor> {
    let size = full.size();
    Ok(bicubic_antialiased(full, size[2] / SCALE, size[3] / SCALE)?
        .f_clamp(0.0, 1.0)?
        .f_mul_scalar(255.0)?
        .f_round()?
        .f_div_scalar(255.0)?)
}

/// A part of a picture of `density` times the input's.
fn cut(x: &Tensor, part: Rectangle, density: i64) -> Result<Tensor> {
    let d = density;
    Ok(x.f_narrow(2, d * part.top, d * part.height)?
        .f_narrow(3, d * part.left, d * part.width)?
        .f_contiguous()?)
}

/// A part of a reference on its frame, `[1, LAID, d height, d width]`; nothing where it is not.
fn laid(
    reference: Option<&Registered>,
    lr: &Tensor,
    part: Rectangle,
    density: i64,
) -> Result<Tensor> {
    let (size, d) = (lr.size(), density);
    let canvas = Tensor::f_zeros(
        [1, LAID, d * size[2], d * size[3]],
        (Kind::Float, lr.device()),
    )?;
    if let Some(Registered { field, laid, .. }) = reference {
        let all = Tensor::f_cat(&[&laid.picture, &laid.mask, &laid.residual], 1)?;
        canvas
            .f_narrow(2, d * field.top, d * field.height)?
            .f_narrow(3, d * field.left, d * field.width)?
            .f_copy_(&all)?;
    }
    cut(&canvas, part, density)
}

impl Source for Own {
    /// Patches are made when they are asked for: registering takes all cores as it is.
    fn start(&self, position: u64) -> Result<Box<dyn Iterator<Item = Result<ClipPatch>>>> {
        let own = Self {
            clips: self.clips.clone(),
            ..*self
        };
        Ok(Box::new((position..).map(move |k| {
            own.patch(k).with_context(|| format!("patch {k}"))
        })))
    }
}

/// A clip to validate with.
struct Whole {
    clips: Arc<Clips>,
    number: usize,
}

impl Whole {
    fn clip(&self) -> &Clip {
        &self.clips.tree.clips[self.number]
    }
}

impl ValidationClip for Whole {
    fn name(&self) -> &str {
        &self.clip().name
    }

    fn len(&self) -> usize {
        self.clip().frames
    }

    fn tele(&self, i: usize) -> Result<Option<Tensor>> {
        Ok(self.clips.moment(self.clip(), i)?.tele)
    }

    fn frame(&self, i: usize) -> Result<ValidationFrame> {
        let Moment { lr, wide, hr, .. } = self.clips.moment(self.clip(), i)?;
        Ok(ValidationFrame { lr, wide, hr })
    }
}
