//! What is compared with what.

use crate::media::pictures;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Two clips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub name: String,
    pub a: PathBuf,
    pub b: PathBuf,
}

/// Names of files that are taken for videos.
const VIDEOS: [&str; 7] = ["mkv", "mp4", "mov", "webm", "ts", "m4v", "avi"];

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
    let (mut pairs, mut wrong) = (Vec::new(), Vec::new());
    while let Some((name, a)) = left.pop_first() {
        match right.remove(&name) {
            Some(b) => pairs.push(Pair { name, a, b }),
            None => wrong.push(format!(
                "{} has no clip {name}, which {} has",
                b.display(),
                a.display()
            )),
        }
    }
    wrong.extend(
        right
            .keys()
            .map(|name| format!("{} has no clip {name}", a.display())),
    );
    Ok((pairs, wrong))
}

/// The clips of a tree, by their place without extension.
fn clips(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        let unreadable = || format!("cannot read the folder {}", folder.display());
        for entry in std::fs::read_dir(&folder).with_context(unreadable)? {
            let path = entry.with_context(unreadable)?.path();
            let video = path
                .extension()
                .is_some_and(|e| VIDEOS.iter().any(|v| e.eq_ignore_ascii_case(v)));
            let name = path.with_extension("");
            let name = name
                .strip_prefix(root)
                .unwrap_or(&name)
                .display()
                .to_string();
            if path.is_dir() {
                match holds_pictures(&path) {
                    true => _ = found.insert(name, path),
                    false => folders.push(path),
                }
            } else if video {
                found.insert(name, path);
            }
        }
    }
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
