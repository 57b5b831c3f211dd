//! A split of RealMCVSR, clip by clip: what the cameras saw, and the truth.

use crate::media::pictures;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};

/// The files of a clip, by frame.
#[derive(Debug)]
pub struct Clip {
    pub name: String,
    /// Number of frames.
    pub len: usize,
    base: PathBuf,
}

/// A camera of RealMCVSR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lens {
    Ultrawide,
    Wide,
    Tele,
}

impl Lens {
    fn folder(self) -> &'static str {
        match self {
            Self::Ultrawide => "UW",
            Self::Wide => "W",
            Self::Tele => "T",
        }
    }
}

/// The folder of frames reduced by `scale`; `HR` for 1.
pub fn density(scale: i64) -> String {
    match scale {
        1 => "HR".to_owned(),
        scale => format!("LRx{scale}"),
    }
}

/// The clips of `root/split`, by name.
///
/// # Errors
/// Names the folder that is not there or empty.
pub fn clips(root: &Path, split: &str) -> Result<Vec<Clip>> {
    let base = root.join(split);
    let truth = base.join("HR").join("UW");
    let entries = std::fs::read_dir(&truth).with_context(|| {
        format!(
            "cannot read the folder {}; expected is SPLIT/{{HR,LRx2,LRx4}}/{{UW,W,T}}/CLIP/0000.png under {}",
            truth.display(),
            root.display()
        )
    })?;
    let mut clips = Vec::new();
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read the folder {}", truth.display()))?
            .path();
        if path.is_dir() {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let len = pictures::list(&path)?.len();
            clips.push(Clip {
                name,
                len,
                base: base.clone(),
            });
        }
    }
    ensure!(!clips.is_empty(), "{} holds no clips", truth.display());
    clips.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(clips)
}

impl Clip {
    /// The frames of a lens at a density.
    ///
    /// # Errors
    /// Names the folder that is not there, or has another number of frames than the truth.
    pub fn files(&self, density: &str, lens: Lens) -> Result<Vec<PathBuf>> {
        let folder = self.base.join(density).join(lens.folder()).join(&self.name);
        let files = pictures::list(&folder)?;
        if files.len() != self.len {
            bail!(
                "{} has {} frames, HR/UW/{} has {}",
                folder.display(),
                files.len(),
                self.name,
                self.len
            )
        }
        Ok(files)
    }

    /// Whether there are frames of a density from a camera.
    pub fn has(&self, density: &str, lens: Lens) -> bool {
        let frames = self.base.join(density).join(lens.folder());
        frames.join(&self.name).is_dir()
    }
}
