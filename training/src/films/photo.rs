//! Photos that are filmed.

use crate::synthesize::{render::Scene, source::photo};
use anyhow::{Context, Result};
use refvsr::image::resize::bicubic_antialiased;
use std::{
    cell::{RefCell, RefMut},
    path::{Path, PathBuf},
};

/// Photos are kept at this many pixels a side at most.
const LARGEST: i64 = 1280;

/// A photo to film.
#[derive(Debug)]
pub struct Photo {
    /// Its file.
    pub path: PathBuf,
    /// Width and height.
    pub size: [f64; 2],
    scene: RefCell<Scene>,
}

impl Photo {
    pub fn read(path: &Path) -> Result<Self> {
        let picture = photo(path)?.to_tensor()?.f_unsqueeze(0)?;
        let (h, w) = (picture.size()[2], picture.size()[3]);
        let picture = if h.max(w) > LARGEST {
            let side = |n: i64| (n * LARGEST / h.max(w)).max(1);
            bicubic_antialiased(&picture, side(h), side(w))?.f_clamp(0.0, 1.0)?
        } else {
            picture
        };
        Ok(Self {
            path: path.to_owned(),
            size: [picture.size()[3] as f64, picture.size()[2] as f64],
            scene: RefCell::new(Scene::of(picture)),
        })
    }

    pub fn scene(&self) -> Result<RefMut<'_, Scene>> {
        self.scene
            .try_borrow_mut()
            .context("a photo that is being filmed")
    }
}
