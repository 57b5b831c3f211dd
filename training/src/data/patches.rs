//! Training patches, decoded and cut by worker threads.

use super::{
    augment::Augment,
    place,
    png::{self, Rect},
    random::{Random, hash},
    tree::{Density, Lens, Split, Tree},
};
use crate::batch::{ClipPatch, Source};
use anyhow::{Context, Result, anyhow, bail, ensure};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};
use tch::Tensor;

/// What patches are cut, and from where.
#[derive(Debug, Clone)]
pub struct PatchOptions {
    /// The data folder, which has `train/` in it (or, for adaptation, clips of one's own at `{UW,W,T}/CLIP`).
    pub root: PathBuf,
    /// Which part of it.
    pub split: Split,
    /// The stage: what a patch is made of.
    pub stage: Stage,
    /// Side of the ultra-wide patches in pixels: 64 in pre-training, 128 in adaptation.
    pub patch: usize,
    /// Frames in a patch: windows + window length - 1.
    pub frames: usize,
    /// Whether patches are rotated and flipped.
    pub augment: bool,
    /// The patches drawn are a function of this and of their number alone.
    pub seed: u64,
    /// Worker threads.
    pub workers: usize,
    /// Patches each worker may have ready in advance.
    pub ahead: usize,
    /// Every how many patch numbers one is made: with N processes that share a run, N (each starts at a position of its own).
    pub stride: u64,
}

/// What a patch is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reduced ultra-wide and wide frames as input, full-resolution ones as truth and as references for the losses. `hd` networks too.
    Pretrain {
        /// How many times smaller the input is than the truth: 2 or 4.
        scale: i64,
    },
    /// Full-resolution ultra-wide and wide frames as input, tele frames as references for the losses, no truth.
    Adapt {
        /// How many times larger the network's output is than its input; tele patches are resized to the output's size.
        scale: i64,
    },
}

impl Stage {
    /// The folders that patches are cut from, the input's first.
    fn needed(self) -> Result<Vec<(Density, Lens)>> {
        Ok(match self {
            Self::Pretrain { scale } => {
                let input = Density::of_scale(scale)?;
                vec![
                    (input, Lens::Ultrawide),
                    (input, Lens::Wide),
                    (Density::Hr, Lens::Ultrawide),
                    (Density::Hr, Lens::Wide),
                ]
            }
            Self::Adapt { .. } => Lens::ALL.map(|lens| (Density::Hr, lens)).to_vec(),
        })
    }

    fn scale(self) -> i64 {
        match self {
            Self::Pretrain { scale } | Self::Adapt { scale } => scale,
        }
    }
}

/// The patches of a data set, as an endless stream.
#[derive(Debug, Clone)]
pub struct Patches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: PatchOptions,
    tree: Tree,
    skipped: Vec<String>,
}

impl Patches {
    /// Looks the folders through. Clips of fewer frames than a patch has are left out (see [`skipped`](Self::skipped)).
    ///
    /// # Errors
    /// Where folders are missing or disagree, frames are too small for the patches, or all clips are too short.
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
            (1..=8).contains(&options.stage.scale()),
            "scale {}; 2 or 4 expected",
            options.stage.scale()
        );
        let mut tree = Tree::open(&options.root, options.split, &options.stage.needed()?)?;
        let longest = tree.clips.iter().map(|clip| clip.frames).max().unwrap_or(0);
        let mut skipped = vec![];
        tree.clips.retain(|clip| {
            if clip.frames < options.frames {
                skipped.push(clip.name.clone());
            }
            clip.frames >= options.frames
        });
        ensure!(
            !tree.clips.is_empty(),
            "the longest clip in {} has {longest} frames; patches of {} frames were asked for (windows + window length - 1)",
            options.root.display(),
            options.frames
        );
        for clip in &tree.clips {
            place::place(
                &mut Random::new(0, 0, 0),
                clip.size,
                options.patch,
                matches!(options.stage, Stage::Adapt { .. }),
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

    fn patch(&self, k: u64) -> Result<ClipPatch> {
        let PatchOptions {
            stage,
            patch,
            frames,
            ..
        } = self.options;
        let clip = &self.tree.clips[self.clip_of(k)];
        let mut random = Random::new(self.options.seed, PATCH, k);
        let first = random.below((clip.frames - frames + 1) as u64) as usize;
        let at = place::place(
            &mut random,
            clip.size,
            patch,
            matches!(stage, Stage::Adapt { .. }),
        )?;
        let name = format!(
            "{} frames {first}..={} at {},{}",
            clip.name,
            first + frames - 1,
            at.ultrawide[0],
            at.ultrawide[1]
        );
        let cut = |density, lens, [x, y]: [usize; 2], side| {
            let rect = Rect {
                x,
                y,
                width: side,
                height: side,
            };
            let pictures = (first..first + frames)
                .map(|i| {
                    png::read_part(&self.tree.frame(density, lens, &clip.name, i), rect)?
                        .to_tensor()
                })
                .collect::<Result<Vec<_>>>()?;
            Ok::<_, anyhow::Error>(Tensor::f_stack(&pictures, 0)?)
        };
        let tensors = match stage {
            Stage::Pretrain { scale } => {
                let (density, s) = (Density::of_scale(scale)?, scale as usize);
                let full = (clip.size.0 * s, clip.size.1 * s);
                let corner = at.ultrawide.map(|v| v * s);
                // The reference for the losses starts at the same formula at full resolution, and is as wide as the truth.
                let shift = (place::WIDE_SHIFT, s * patch);
                let loss_corner = [
                    place::start(&mut random, corner[0], full.0, Lens::Wide, shift.1, shift.0),
                    place::start(&mut random, corner[1], full.1, Lens::Wide, shift.1, shift.0),
                ];
                [
                    cut(density, Lens::Ultrawide, at.ultrawide, patch)?,
                    cut(density, Lens::Wide, at.wide, 2 * patch)?,
                    cut(Density::Hr, Lens::Ultrawide, corner, s * patch)?,
                    cut(Density::Hr, Lens::Wide, loss_corner, s * patch)?,
                ]
            }
            Stage::Adapt { scale } => {
                let lr = cut(Density::Hr, Lens::Ultrawide, at.ultrawide, patch)?;
                let side = scale * patch as i64;
                let tele = cut(Density::Hr, Lens::Tele, at.tele, 5 * patch)?;
                let tele =
                    tele.f_upsample_bicubic2d([side, side], false, None::<f64>, None::<f64>)?;
                [
                    lr.shallow_clone(),
                    cut(Density::Hr, Lens::Wide, at.wide, 2 * patch)?,
                    lr,
                    tele,
                ]
            }
        };
        let augment = if self.options.augment {
            Some(Augment::draw(&mut random))
        } else {
            None
        };
        let mut tensors = tensors
            .into_iter()
            .map(|t| augment.map_or(Ok(t.shallow_clone()), |a| a.apply(t)));
        let mut next = || tensors.next().context("four tensors make a patch")?;
        Ok(ClipPatch {
            name,
            lr: next()?,
            wide: next()?,
            hr: next()?,
            loss_references: next()?,
        })
    }

    /// A number that stands for the data and options; two runs with the same one draw the same patches.
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
            (o.stage, o.patch, o.frames, o.augment, o.seed, clips)
        ))
    }
}

impl Patches {
    /// A number for the data and the options that decide what is drawn. A resumed run can tell by it that its data have changed.
    pub fn fingerprint(&self) -> u64 {
        self.0.fingerprint()
    }
}

impl Source for Patches {
    fn start(&self, position: u64) -> Result<Box<dyn Iterator<Item = Result<ClipPatch>>>> {
        let workers = self.0.options.workers as u64;
        let mut stream = Stream {
            queues: vec![],
            threads: vec![],
            turn: 0,
        };
        for worker in 0..workers {
            let (sender, queue) = sync_channel(self.0.options.ahead);
            let inner = self.0.clone();
            let numbers = Numbers {
                next: position + worker * inner.options.stride,
                step: workers * inner.options.stride,
            };
            let thread = thread::Builder::new()
                .name(format!("patches {worker}"))
                .spawn(move || work(&inner, numbers, &sender))?;
            stream.queues.push(queue);
            stream.threads.push(thread);
        }
        Ok(Box::new(stream))
    }
}

/// The patch numbers that are one worker's to make.
struct Numbers {
    next: u64,
    step: u64,
}

fn work(inner: &Inner, mut numbers: Numbers, queue: &SyncSender<Result<ClipPatch>>) {
    loop {
        if queue
            .send(
                inner
                    .patch(numbers.next)
                    .with_context(|| format!("patch {}", numbers.next)),
            )
            .is_err()
        {
            return; // nobody listens any more
        }
        numbers.next += numbers.step;
    }
}

/// Takes from the workers in turn, so that the order does not depend on which is faster.
struct Stream {
    queues: Vec<Receiver<Result<ClipPatch>>>,
    threads: Vec<JoinHandle<()>>,
    turn: usize,
}

impl Iterator for Stream {
    type Item = Result<ClipPatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let turn = self.turn;
        self.turn = (turn + 1) % self.queues.len();
        let received = self.queues[turn].recv();
        Some(received.unwrap_or_else(|_| {
            Err(anyhow!(
                "the thread that cuts patches has failed (worker {turn})"
            ))
        }))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.queues.clear(); // each worker's next send fails, and it ends
        for thread in self.threads.drain(..) {
            _ = thread.join();
        }
    }
}

impl std::str::FromStr for Split {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|s| s.folder() == text) {
            Some(split) => Ok(split),
            None => bail!("split '{text}' is not one of train, valid, test"),
        }
    }
}
