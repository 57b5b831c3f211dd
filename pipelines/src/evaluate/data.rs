//! A split of RealMCVSR, clip by clip: what the cameras saw, and the truth.

use crate::media::pictures;
use anyhow::{Context, Result, bail, ensure};
use image::DynamicImage;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

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

    /// Whether there are frames of the tele camera.
    pub fn has_tele(&self, density: &str) -> bool {
        self.base
            .join(density)
            .join(Lens::Tele.folder())
            .join(&self.name)
            .is_dir()
    }
}

/// A PNG file as RGB `[1, 3, H, W]`, f32 in \[0, 1\].
///
/// # Errors
/// Names the file that is no PNG file.
pub fn read(file: &Path, device: Device) -> Result<Tensor> {
    let picture = pictures::read(file)?;
    to_tensor(&picture, device).with_context(|| format!("cannot use {}", file.display()))
}

fn to_tensor(picture: &DynamicImage, device: Device) -> Result<Tensor> {
    let (width, height) = (i64::from(picture.width()), i64::from(picture.height()));
    let deep = picture.color().bytes_per_pixel() / picture.color().channel_count() > 1;
    let packed = if deep {
        let samples: Vec<i32> = picture
            .to_rgb16()
            .into_raw()
            .into_iter()
            .map(i32::from)
            .collect();
        Tensor::f_from_slice(&samples)?
            .f_to_device(device)?
            .f_to_kind(Kind::Float)?
            .f_div_scalar(65535.0)?
    } else {
        let samples = picture.to_rgb8().into_raw();
        Tensor::f_from_slice(&samples)?
            .f_to_device(device)?
            .f_to_kind(Kind::Float)?
            .f_div_scalar(255.0)?
    };
    Ok(packed
        .f_view([1, height, width, 3])?
        .f_permute([0, 3, 1, 2])?
        .f_contiguous()?)
}
