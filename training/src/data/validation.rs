//! Whole clips, held out for validation.

use super::{
    patches::Stage,
    png,
    tree::{Density, Lens, Split, Tree},
};
use crate::batch::{ValidationClip, ValidationFrame};
use anyhow::{Result, ensure};
use std::{path::Path, sync::Arc};
use tch::Tensor;

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
    let needed = match stage {
        Stage::Pretrain { scale } => {
            let input = Density::of_scale(scale)?;
            vec![
                (input, Lens::Ultrawide),
                (input, Lens::Wide),
                (Density::Hr, Lens::Ultrawide),
            ]
        }
        Stage::Adapt { .. } => vec![(Density::Hr, Lens::Ultrawide), (Density::Hr, Lens::Wide)],
    };
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
    fn input(&self) -> Result<Density> {
        match self.stage {
            Stage::Pretrain { scale } => Density::of_scale(scale),
            Stage::Adapt { .. } => Ok(Density::Hr),
        }
    }

    fn read(&self, density: Density, lens: Lens, i: usize) -> Result<Tensor> {
        Ok(png::read(&self.tree.frame(density, lens, &self.name, i))?
            .to_tensor()?
            .f_unsqueeze(0)?)
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
            .frame(self.input()?, Lens::Tele, &self.name, i)
            .exists();
        if there {
            self.read(self.input()?, Lens::Tele, i).map(Some)
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
        let input = self.input()?;
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
