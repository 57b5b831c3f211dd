//! What another method made of the split: PNG files or videos, a clip each.

use super::data::Clip;
use super::method::Enlarged;
use crate::media::decoded::{Frames, is_video};
use crate::media::pictures;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A method's name, and the folder of its outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    pub name: String,
    pub folder: PathBuf,
}

impl FromStr for Outputs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, folder)) if !name.is_empty() && !folder.is_empty() => Ok(Self {
                name: name.to_owned(),
                folder: folder.into(),
            }),
            _ => Err("expected is NAME=FOLDER, as in BasicVSR=results/basicvsr".to_owned()),
        }
    }
}

/// Where the clips of a method are.
#[derive(Debug, Clone)]
pub struct Located {
    pub name: String,
    clips: BTreeMap<String, PathBuf>,
}

impl Outputs {
    /// Finds each clip: a folder or video of its name, in the folder or in `SPLIT/HR/UW` there.
    ///
    /// # Errors
    /// Names the clip that is not there.
    pub fn locate(&self, split: &str, clips: &[Clip]) -> Result<Located> {
        let folder = &self.folder;
        let shown = folder.display();
        ensure!(
            folder.is_dir(),
            "{shown} is no folder; expected are the outputs of {}, in folders of PNG files or videos that have the clips' names",
            self.name
        );
        let rooms = [
            folder.clone(),
            folder.join("HR/UW"),
            folder.join(split).join("HR/UW"),
        ];
        let find = |clip: &Clip| {
            let found = rooms.iter().find_map(|room| clip_in(room, &clip.name));
            let found = found.with_context(|| {
                let name = &clip.name;
                format!(
                    "{shown} holds no clip {name}; expected is a folder {name} of PNG files, or a video like \
                     {name}.mkv, in it or in {split}/HR/UW there"
                )
            });
            Ok((clip.name.clone(), found?))
        };
        Ok(Located {
            name: self.name.clone(),
            clips: clips.iter().map(find).collect::<Result<_>>()?,
        })
    }
}

/// The folder or video of a clip.
fn clip_in(room: &Path, name: &str) -> Option<PathBuf> {
    let folder = room.join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let entries = std::fs::read_dir(room).ok()?.flatten();
    let mut videos: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| is_video(path) && path.file_stem().is_some_and(|stem| stem == name))
        .collect();
    videos.sort();
    videos.into_iter().next()
}

impl Located {
    /// The folders and videos.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.clips.values().map(PathBuf::as_path)
    }

    /// Hands the first `frames` outputs of a clip to `take`.
    ///
    /// # Errors
    /// Names the clip that has another number of frames than the truth, or than were asked for.
    pub fn run(
        &self,
        clip: &Clip,
        frames: usize,
        mut take: impl FnMut(Enlarged) -> Result<()>,
    ) -> Result<()> {
        let path = self.clips.get(&clip.name).context("an unknown clip")?;
        let wrong = |found: &str| {
            format!(
                "{} has {found} frames, HR/UW/{} has {}",
                path.display(),
                clip.name,
                clip.len
            )
        };
        if path.is_dir() {
            let found = pictures::list(path)?.len();
            let fits = [clip.len, frames].contains(&found);
            ensure!(fits, wrong(&found.to_string()));
        }
        let mut all = Frames::open(path)?;
        for index in 0..frames {
            let Some(picture) = all.next()? else {
                bail!(wrong(&format!("only {index}")))
            };
            take(Enlarged {
                index,
                picture,
                seconds: None,
            })?;
        }
        if frames == clip.len && !path.is_dir() {
            ensure!(all.next()?.is_none(), wrong("more"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_folders_are_told_apart_by_the_first_sign() {
        let outputs: Outputs = "my net=runs/a=b".parse().unwrap();
        assert_eq!(outputs.name, "my net");
        assert_eq!(outputs.folder, Path::new("runs/a=b"));
        for wrong in ["folder", "=folder", "name="] {
            assert!(wrong.parse::<Outputs>().is_err(), "{wrong}");
        }
    }
}
