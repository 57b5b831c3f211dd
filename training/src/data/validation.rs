//! Whole clips, held out for validation.

use super::{
    patches::Stage,
    tree::{Density, Lens, Split, Tree},
};
use crate::data::batch::{ValidationClip, ValidationFrame};
use anyhow::{Result, ensure};
use refvsr_tools::picture;
use std::{path::Path, sync::Arc};
use tch::{Device, Tensor};

struct Clip {
    tree: Arc<Tree>,
    stage: Stage,
    name: String,
    frames: usize,
}

/// The clips of a split, whole frames.
///
/// # Errors
/// Where folders are missing or disagree.
pub fn validation_clips(
    root: &Path,
    split: Split,
    stage: Stage,
) -> Result<Vec<Box<dyn ValidationClip>>> {
    let input = stage.input()?;
    let mut needed = vec![(input, Lens::Ultrawide), (input, Lens::Wide)];
    if input != Density::Hr {
        needed.push((Density::Hr, Lens::Ultrawide));
    }
    let tree = Arc::new(Tree::open(root, split, &needed)?);
    let clips = tree.clips.iter().map(|clip| {
        let clip = Clip {
            tree: tree.clone(),
            stage,
            name: clip.name.clone(),
            frames: clip.frames,
        };
        Box::new(clip) as Box<dyn ValidationClip>
    });
    Ok(clips.collect())
}

impl Clip {
    fn read(&self, density: Density, lens: Lens, i: usize) -> Result<Tensor> {
        let file = self.tree.frame(density, lens, &self.name, i);
        picture::tensor(&file, Device::Cpu)
    }
}

impl ValidationClip for Clip {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.frames
    }

    fn tele(&self, i: usize) -> Result<Option<Tensor>> {
        let there = self
            .tree
            .frame(self.stage.input()?, Lens::Tele, &self.name, i)
            .exists();
        if there {
            self.read(self.stage.input()?, Lens::Tele, i).map(Some)
        } else {
            Ok(None)
        }
    }

    fn frame(&self, i: usize) -> Result<ValidationFrame> {
        ensure!(
            i < self.frames,
            "frame {i} of clip '{}', which has {}",
            self.name,
            self.frames
        );
        let read = |density, lens| self.read(density, lens, i);
        let input = self.stage.input()?;
        let lr = read(input, Lens::Ultrawide)?;
        let hr = if input == Density::Hr {
            lr.shallow_clone()
        } else {
            read(Density::Hr, Lens::Ultrawide)?
        };
        Ok(ValidationFrame {
            lr,
            wide: read(input, Lens::Wide)?,
            hr,
        })
    }
}
