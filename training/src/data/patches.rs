//! Training patches, decoded and cut by worker threads.

use super::{
    augment::Augment,
    place::{self, Place},
    png::{self, Rect},
    random::{Random, hash},
    tree::{Clip, Lens, Split, Tree},
};
use crate::data::batch::ClipPatch;
use anyhow::{Context, Result, ensure};
use std::{path::PathBuf, sync::Arc};
use tch::{Kind, Tensor};

pub use super::stage::Stage;

/// What patches are cut, and from where.
#[derive(Debug, Clone)]
pub struct PatchOptions {
    /// The data folder, which has `train/` in it (or, for adaptation, clips of one's own at
    /// `{UW,W,T}/CLIP`).
    pub root: PathBuf,
    /// Which part of it.
    pub split: Split,
    /// The stage: what a patch is made of.
    pub stage: Stage,
    /// Side of the ultra-wide patches in pixels: 64 in pre-training, 128 in adaptation.
    pub patch: usize,
    /// Frames in a patch: windows + window length - 1.
    pub frames: usize,
    /// How many of them come before the training clip's first frame and repeat that one, as the
    /// research code has it: half a window. Of those after the clip as many at most repeat the
    /// video's last frame. 0 where windows end with the clip.
    pub repeats: usize,
    /// Places drawn for each patch, of which the one with most detail is cut.
    pub places: usize,
    /// Whether patches are rotated and flipped.
    pub augment: bool,
    /// The patches drawn are a function of this and of their number alone.
    pub seed: u64,
    /// Worker threads.
    pub workers: usize,
    /// Patches each worker may have ready in advance.
    pub ahead: usize,
    /// Every how many patch numbers one is made: with N processes that share a run, N (each starts
    /// at a position of its own).
    pub stride: u64,
}

impl PatchOptions {
    /// The fewest frames a clip must have.
    fn shortest(&self) -> usize {
        self.frames - 2 * self.repeats
    }

    /// The numbers of a patch's frames, where the training clip starts at frame `first` of a video.
    fn shown(&self, first: usize, video: usize) -> Vec<usize> {
        (0..self.frames)
            .map(|k| (first + k.saturating_sub(self.repeats)).min(video - 1))
            .collect()
    }
}

/// The patches of a data set, as an endless stream.
#[derive(Debug, Clone)]
pub struct Patches(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) options: PatchOptions,
    tree: Tree,
    skipped: Vec<String>,
}

impl Patches {
    /// Looks the folders through. Clips of fewer frames than a patch has are left out (see
    /// [`skipped`](Self::skipped)).
    ///
    /// # Errors
    /// Where folders are missing or disagree, frames are too small for the patches, or all clips
    /// are too short.
    pub fn open(options: PatchOptions) -> Result<Self> {
        ensure!(
            options.patch >= 1 && options.frames >= 1,
            "patches of {} pixels and {} frames",
            options.patch,
            options.frames
        );
        ensure!(
            options.workers >= 1 && options.ahead >= 1,
            "{} workers, {} patches ahead; at least 1 each",
            options.workers,
            options.ahead
        );
        ensure!(options.stride >= 1, "a stride of 0");
        ensure!(
            options.frames > 2 * options.repeats,
            "patches of {} frames, {} of which repeat one at each end",
            options.frames,
            options.repeats
        );
        ensure!(
            (1..=8).contains(&options.stage.scale()),
            "scale {}; 2 or 4 expected",
            options.stage.scale()
        );
        let mut tree = Tree::open(&options.root, options.split, &options.stage.needed()?)?;
        let longest = tree.clips.iter().map(|clip| clip.frames).max().unwrap_or(0);
        let mut skipped = vec![];
        tree.clips.retain(|clip| {
            if clip.frames < options.shortest() {
                skipped.push(clip.name.clone());
            }
            clip.frames >= options.shortest()
        });
        ensure!(
            !tree.clips.is_empty(),
            "the longest clip in {} has {longest} frames; patches of {} frames of their own were asked for",
            options.root.display(),
            options.shortest()
        );
        for clip in &tree.clips {
            place::place(
                &mut Random::new(0, 0, 0),
                clip.size,
                options.patch,
                options.stage.within(),
            )
            .with_context(|| format!("clip '{}'", clip.name))?;
        }
        Ok(Self(Arc::new(Inner {
            options,
            tree,
            skipped,
        })))
    }

    /// How many clips patches are cut from.
    pub fn clips(&self) -> usize {
        self.0.tree.clips.len()
    }

    /// Clips left out because they are too short.
    pub fn skipped(&self) -> &[String] {
        &self.0.skipped
    }

    /// The first patch number that is of this clip.
    pub fn first_of(&self, clip: &str) -> Option<u64> {
        (0..self.clips() as u64).find(|&k| self.0.tree.clips[self.0.clip_of(k)].name == clip)
    }

    /// Patch number `k`, made here and now.
    ///
    /// # Errors
    /// Where a frame cannot be read.
    pub fn patch(&self, k: u64) -> Result<ClipPatch> {
        self.0.patch(k)
    }
}

/// Families of random numbers.
const ORDER: u64 = 1;
const PATCH: u64 = 2;

impl Inner {
    /// Every clip once, in random order, then every clip once more in another order, and so on.
    fn clip_of(&self, k: u64) -> usize {
        let clips = self.tree.clips.len();
        let mut order: Vec<usize> = (0..clips).collect();
        Random::new(self.options.seed, ORDER, k / clips as u64).shuffle(&mut order);
        order[(k % clips as u64) as usize]
    }

    pub(super) fn patch(&self, k: u64) -> Result<ClipPatch> {
        let PatchOptions { stage, patch, .. } = self.options;
        let clip = &self.tree.clips[self.clip_of(k)];
        let mut random = Random::new(self.options.seed, PATCH, k);
        let starts = clip.frames - self.options.shortest() + 1;
        let first = random.below(starts as u64) as usize;
        let shown = self.options.shown(first, clip.frames);
        let at = self.place(&mut random, clip, shown[shown.len() / 2])?;
        let name = format!(
            "{} frames {first}..={} at {},{}",
            clip.name,
            shown.last().unwrap_or(&first),
            at.ultrawide[0],
            at.ultrawide[1]
        );
        let cut = |density, lens, corner, side| {
            let mut pictures: Vec<Tensor> = Vec::with_capacity(shown.len());
            for (k, &i) in shown.iter().enumerate() {
                pictures.push(if k > 0 && i == shown[k - 1] {
                    pictures[k - 1].shallow_clone()
                } else {
                    let path = self.tree.frame(density, lens, &clip.name, i);
                    png::read_part(&path, Rect::square(corner, side))?.to_tensor()?
                });
            }
            Ok(Tensor::f_stack(&pictures, 0)?)
        };
        let augment = self.options.augment.then(|| Augment::draw(&mut random));
        let augmented = |t: Tensor| augment.map_or(Ok(t.shallow_clone()), |a| a.apply(t));
        let [lr, wide, hr, loss_references] = stage.tensors(at, patch, cut)?;
        Ok(ClipPatch {
            name,
            lr: augmented(lr)?,
            wide: augmented(wide)?,
            hr: augmented(hr)?,
            loss_references: augmented(loss_references)?,
            clean: None,
            part: None,
        })
    }

    /// The place of a patch: of those drawn the one that has most detail in the ultra-wide camera's
    /// frame.
    fn place(&self, random: &mut Random, clip: &Clip, frame: usize) -> Result<Place> {
        let PatchOptions {
            stage,
            patch,
            places,
            ..
        } = self.options;
        let mut draw = || place::place(random, clip.size, patch, stage.within());
        if places == 1 {
            return draw();
        }
        let density = stage.judged_by()?;
        let scale = stage.input()?.scale() / density.scale();
        let path = self.tree.frame(density, Lens::Ultrawide, &clip.name, frame);
        let mut best: Option<(f64, Place)> = None;
        for _ in 0..places {
            let at = draw()?;
            let part = Rect::square(at.ultrawide.map(|v| scale * v), scale * patch);
            let detail = png::read_part(&path, part)?
                .to_tensor()?
                .f_diff(1, -1, None::<&Tensor>, None::<&Tensor>)?
                .f_abs()?
                .f_mean(Kind::Double)?
                .f_double_value(&[])?;
            if best.is_none_or(|(most, _)| detail > most) {
                best = Some((detail, at));
            }
        }
        best.map(|(_, at)| at).context("no place was drawn")
    }

    /// A number that stands for the data and options; two runs with the same one draw the same
    /// patches.
    fn fingerprint(&self) -> u64 {
        let o = &self.options;
        let clips: Vec<_> = self
            .tree
            .clips
            .iter()
            .map(|c| (&c.name, c.frames, c.size))
            .collect();
        hash(&format!(
            "{:?}",
            (
                o.stage,
                o.patch,
                (o.frames, o.repeats),
                o.augment,
                o.seed,
                clips
            )
        )) ^ (o.places as u64 - 1)
    }
}

impl Patches {
    /// A number for the data and the options that decide what is drawn. A resumed run can tell by
    /// it that its data have changed.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }
}
