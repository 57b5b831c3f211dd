//! What is compared with what.

use crate::media::decoded::is_video;
use crate::media::pictures;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// Two clips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub name: String,
    pub a: PathBuf,
    pub b: PathBuf,
}

/// The pairs, and what one side lacks.
pub fn pairs(a: &Path, b: &Path) -> Result<(Vec<Pair>, Vec<String>)> {
    for path in [a, b] {
        ensure!(path.exists(), "there is no {}", path.display());
    }
    let is_clip = |path: &Path| path.is_file() || pictures::list(path).is_ok();
    if is_clip(a) && is_clip(b) {
        let name = a
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let pair = Pair {
            name,
            a: a.to_owned(),
            b: b.to_owned(),
        };
        return Ok((vec![pair], vec![]));
    }
    let (mut left, mut right) = (clips(a)?, clips(b)?);
    ensure!(
        !left.is_empty() && !right.is_empty(),
        "{} and {} hold no clips at the same places",
        a.display(),
        b.display()
    );
    let mut pairs = Vec::new();
    // What has the same name, then what has it but for the extension.
    for name in [|clip: &Found| clip.name.clone(), Found::stem] {
        let mut rest = Vec::new();
        for clip in left {
            let same = |other: &Found| name(other) == name(&clip);
            let mut places = (0..right.len()).filter(|n| same(&right[*n]));
            match (places.next(), places.next()) {
                (Some(place), None) => pairs.push(Pair {
                    name: clip.stem(),
                    a: clip.path,
                    b: right.remove(place).path,
                }),
                _ => rest.push(clip),
            }
        }
        left = rest;
    }
    pairs.sort_by(|p, q| p.a.cmp(&q.a));
    // Two clips of one name but for their extensions are told apart by them.
    let names: Vec<String> = pairs.iter().map(|pair| pair.name.clone()).collect();
    for pair in &mut pairs {
        if names.iter().filter(|name| **name == pair.name).count() > 1 {
            let full = pair.a.strip_prefix(a).unwrap_or(&pair.a);
            pair.name = full.display().to_string();
        }
    }
    let lacks = |who: &Path, clip: &Found, has: &Path| {
        format!(
            "{} has no clip {}, which {} has",
            who.display(),
            clip.stem(),
            has.display()
        )
    };
    let mut wrong: Vec<_> = left.iter().map(|clip| lacks(b, clip, a)).collect();
    wrong.extend(right.iter().map(|clip| lacks(a, clip, b)));
    Ok((pairs, wrong))
}

/// A clip of a tree.
#[derive(Debug)]
struct Found {
    /// Its place in the tree.
    name: String,
    path: PathBuf,
}

impl Found {
    /// Its place without the extension of a video; dots in a folder's name are part of it.
    fn stem(&self) -> String {
        let path = Path::new(&self.name);
        match is_video(path) && !self.path.is_dir() {
            true => path.with_extension("").display().to_string(),
            false => self.name.clone(),
        }
    }
}

/// The clips of a tree.
fn clips(root: &Path) -> Result<Vec<Found>> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let unreadable = || format!("cannot read the folder {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let folder = path.is_dir();
            if folder && !holds_pictures(&path) {
                folders.push(path);
            } else if folder || is_video(&path) {
                let name = path.strip_prefix(root).unwrap_or(&path);
                found.push(Found {
                    name: name.display().to_string(),
                    path,
                });
            }
        }
    }
    found.sort_by(|p, q| p.name.cmp(&q.name));
    Ok(found)
}

fn holds_pictures(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            entry
                .path()
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("png"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_extensions_tell_clips_apart() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for tree in ["a", "b"] {
            for clip in ["clip.v1", "clip.v2"] {
                std::fs::create_dir_all(at(tree).join(clip)).unwrap();
                std::fs::write(at(tree).join(clip).join("0000.png"), "").unwrap();
            }
        }
        for file in [
            "a/x.mkv", "b/x.mp4", "a/y.mkv", "a/y.mp4", "b/y.mkv", "b/y.mp4",
        ] {
            std::fs::write(at(file), "").unwrap();
        }
        std::fs::write(at("a/z.mkv"), "").unwrap();
        let (pairs, wrong) = pairs(&at("a"), &at("b")).unwrap();
        let names: Vec<_> = pairs.iter().map(|pair| pair.name.as_str()).collect();
        assert_eq!(names, ["clip.v1", "clip.v2", "x", "y.mkv", "y.mp4"]);
        assert_eq!(pairs[2].b, at("b/x.mp4"));
        assert_eq!(pairs[4].b, at("b/y.mp4"));
        assert!(
            wrong.len() == 1 && wrong[0].contains("has no clip z"),
            "{wrong:?}"
        );
    }
}
