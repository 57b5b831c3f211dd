//! The folders of RealMCVSR: `{train,valid,test}/{HR,LRx2,LRx4}/{UW,W,T}/CLIP/0000.png`.

use super::png;
use anyhow::{Context, Result, bail, ensure};
use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

/// A part of the data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose the best weights by.
    Valid,
    /// To report figures of.
    Test,
}

/// A size at which all frames are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Density {
    /// Full resolution.
    Hr,
    /// Half of it.
    Lr2,
    /// A quarter of it.
    Lr4,
}

/// A camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lens {
    /// Ultra-wide, 30 mm.
    Ultrawide,
    /// Wide, 59 mm: the middle half.
    Wide,
    /// Tele, 147 mm: the middle fifth.
    Tele,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Train, Self::Valid, Self::Test];
    /// Its folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
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

impl Density {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hr, Self::Lr2, Self::Lr4];
    /// Its folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Hr => "HR",
            Self::Lr2 => "LRx2",
            Self::Lr4 => "LRx4",
        }
    }
    /// How many times larger HR frames are.
    pub fn scale(self) -> usize {
        match self {
            Self::Hr => 1,
            Self::Lr2 => 2,
            Self::Lr4 => 4,
        }
    }
    /// The density that a network of this scale takes.
    ///
    /// # Errors
    /// For a scale that the data set does not have.
    pub fn of_scale(scale: i64) -> Result<Self> {
        match scale {
            2 => Ok(Self::Lr2),
            4 => Ok(Self::Lr4),
            _ => {
                bail!("scale {scale} was asked for; the data set has frames reduced 2 and 4 times")
            }
        }
    }
}

impl Lens {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ultrawide, Self::Wide, Self::Tele];
    /// Its folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Ultrawide => "UW",
            Self::Wide => "W",
            Self::Tele => "T",
        }
    }
    /// Its focal length over the ultra-wide's, rounded as the data set's makers did.
    pub fn zoom(self) -> usize {
        match self {
            Self::Ultrawide => 1,
            Self::Wide => 2,
            Self::Tele => 5,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.folder())
    }
}
impl fmt::Display for Density {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.folder())
    }
}
impl fmt::Display for Lens {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.folder())
    }
}

/// A clip that is there in all folders asked for, with the same frames in each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clip {
    /// Its folder's name.
    pub name: String,
    /// How many frames it has.
    pub frames: usize,
    /// Width and height of its frames at the first density asked for.
    pub size: (usize, usize),
}

/// One split of a data set.
#[derive(Debug, Clone)]
pub struct Tree {
    base: PathBuf,
    /// Whether lenses lie directly in `base`, without a folder for the density.
    flat: bool,
    /// Its clips, by name.
    pub clips: Vec<Clip>,
}

impl Tree {
    /// Finds the clips of a split, and checks that the folders in `needed` agree on them: the same clips, the same number of frames, frame 0 of
    /// the right size. Clips of one's own, which have no splits and one density only, may lie at `root/{UW,W,T}/CLIP`.
    ///
    /// # Errors
    /// Names the first folder or file that does not fit.
    pub fn open(root: &Path, split: Split, needed: &[(Density, Lens)]) -> Result<Self> {
        ensure!(root.is_dir(), "data folder {} is not there", root.display());
        let base = root.join(split.folder());
        let flat = !base.is_dir()
            && needed.iter().all(|(d, _)| *d == Density::Hr)
            && root.join(Lens::Ultrawide.folder()).is_dir();
        let base = if flat { root.to_owned() } else { base };
        ensure!(
            base.is_dir(),
            "{} is not there; expected is {split}/{{HR,LRx2,LRx4}}/{{UW,W,T}}/CLIP/0000.png under the data folder",
            base.display()
        );
        let mut tree = Self {
            base,
            flat,
            clips: vec![],
        };
        let Some(&first) = needed.first() else {
            return Ok(tree);
        };
        for name in folders(&tree.lens(first.0, first.1))? {
            let clip = tree.check(&name, needed).with_context(|| {
                format!("clip '{name}' cannot be used (`refvsr-train dataset verify {}` lists all that is wrong)", root.display())
            })?;
            tree.clips.push(clip);
        }
        ensure!(
            !tree.clips.is_empty(),
            "{} holds no clips",
            tree.lens(first.0, first.1).display()
        );
        Ok(tree)
    }

    fn check(&self, name: &str, needed: &[(Density, Lens)]) -> Result<Clip> {
        let mut found: Option<(Clip, Density)> = None;
        for &(density, lens) in needed {
            let folder = self.lens(density, lens).join(name);
            let frames = count(&folder)?;
            let size = png::size(&folder.join(frame_name(0)))?;
            match &found {
                None => {
                    found = Some((
                        Clip {
                            name: name.to_owned(),
                            frames,
                            size,
                        },
                        density,
                    ))
                }
                Some((clip, base)) => {
                    ensure!(
                        frames == clip.frames,
                        "{} holds {frames} frames; {} expected",
                        folder.display(),
                        clip.frames
                    );
                    let expected = (
                        clip.size.0 * base.scale() / density.scale(),
                        clip.size.1 * base.scale() / density.scale(),
                    );
                    ensure!(
                        size == expected,
                        "{} is {} x {}; {} x {} expected",
                        folder.join(frame_name(0)).display(),
                        size.0,
                        size.1,
                        expected.0,
                        expected.1
                    );
                }
            }
        }
        found
            .map(|(clip, _)| clip)
            .context("no folders were asked for")
    }

    fn lens(&self, density: Density, lens: Lens) -> PathBuf {
        if self.flat {
            self.base.join(lens.folder())
        } else {
            self.base.join(density.folder()).join(lens.folder())
        }
    }

    /// A frame's file.
    pub fn frame(&self, density: Density, lens: Lens, clip: &str, number: usize) -> PathBuf {
        self.lens(density, lens).join(clip).join(frame_name(number))
    }
}

/// The file name of a frame.
pub fn frame_name(number: usize) -> String {
    format!("{number:04}.png")
}

/// The number in a frame's file name, if it is one.
pub fn frame_number(name: &str) -> Option<usize> {
    let number = name.strip_suffix(".png")?.parse().ok()?;
    (frame_name(number) == name).then_some(number)
}

/// The names of the folders in a folder, sorted.
///
/// # Errors
/// Where it cannot be read; names it.
pub fn folders(path: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(path).with_context(|| format!("folder {}", path.display()))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("folder {}", path.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            names.insert(name);
        }
    }
    Ok(names)
}

/// How many frames a clip's folder has: 0000.png and so on without a gap.
fn count(folder: &Path) -> Result<usize> {
    let entries = fs::read_dir(folder).with_context(|| format!("folder {}", folder.display()))?;
    let mut numbers = BTreeSet::new();
    for entry in entries {
        numbers.extend(frame_number(
            &entry
                .with_context(|| format!("folder {}", folder.display()))?
                .file_name()
                .to_string_lossy(),
        ));
    }
    if let Some(missing) = (0..numbers.len()).find(|n| !numbers.contains(n)) {
        bail!(
            "{} is missing, though later frames are there",
            folder.join(frame_name(missing)).display()
        );
    }
    ensure!(
        !numbers.is_empty(),
        "{} holds no frames (0000.png and on)",
        folder.display()
    );
    Ok(numbers.len())
}
