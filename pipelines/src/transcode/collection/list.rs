//! Which clips there are: those of a split of RealMCVSR, or recordings whose names follow a pattern.

use super::names::read;
use crate::transcode::container::Container;
use crate::transcode::job::Target;
use crate::transcode::options::Lens;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A clip before it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: String,
    pub ultrawide: PathBuf,
    pub references: Vec<(Lens, PathBuf)>,
    pub output: PathBuf,
}

impl Source {
    /// All inputs.
    pub fn inputs(&self) -> impl Iterator<Item = &Path> {
        let references = self.references.iter().map(|(_, path)| path.as_path());
        std::iter::once(self.ultrawide.as_path()).chain(references)
    }
}

/// How outputs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A folder of PNG files a clip
    Png,
    Mkv,
    Mp4,
    Mov,
    Webm,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Png => "",
            Self::Mkv => "mkv",
            Self::Mp4 => "mp4",
            Self::Mov => "mov",
            Self::Webm => "webm",
        }
    }

    /// Where the output `name` in `folder` lies.
    pub fn path(self, folder: &Path, name: &str) -> PathBuf {
        match self {
            Self::Png => folder.join(name),
            video => folder.join(format!("{name}.{}", video.extension())),
        }
    }

    /// What is written there.
    pub fn target(self, path: PathBuf) -> Result<Target> {
        Ok(match self {
            Self::Png => Target::Pictures(path),
            _ => {
                let container = Container::of(&path)?;
                Target::Video(path, container)
            }
        })
    }
}

/// Folder names of RealMCVSR.
const ULTRAWIDE: &str = "UW";
const WIDE: &str = "W";
const TELE: &str = "T";

/// The clips of `root/split/density`, whose outputs lie as the ground truth does: `output/split/HR/UW/CLIP`.
pub fn tree(
    root: &Path,
    split: &str,
    density: &str,
    tele: bool,
    output: &Path,
    format: Format,
) -> Result<Vec<Source>> {
    let base = root.join(split).join(density);
    let ultrawide = base.join(ULTRAWIDE);
    ensure!(
        ultrawide.is_dir(),
        "{} is not there; expected is SPLIT/DENSITY/{{UW,W,T}}/CLIP/0000.png under {}",
        ultrawide.display(),
        root.display()
    );
    let entries = std::fs::read_dir(&ultrawide)
        .with_context(|| format!("cannot read the folder {}", ultrawide.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry =
            entry.with_context(|| format!("cannot read the folder {}", ultrawide.display()))?;
        if is_folder(&entry) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} holds no clips", ultrawide.display());
    let to = output.join(split).join("HR").join(ULTRAWIDE);
    let source = |name: String| {
        let mut references = vec![(Lens::Wide, base.join(WIDE).join(&name))];
        if tele {
            references.push((Lens::Tele, base.join(TELE).join(&name)));
        }
        Source {
            ultrawide: ultrawide.join(&name),
            references,
            output: format.path(&to, &name),
            name,
        }
    };
    Ok(names.into_iter().map(source).collect())
}

/// The recordings in `folder` whose paths follow `pattern`, such as `{clip}_{lens}.mp4` or `{clip}/{lens}.mov`. A lens is UW, W or T,
/// or ultrawide, wide or tele.
pub fn pattern(folder: &Path, pattern: &str, output: &Path, format: Format) -> Result<Vec<Source>> {
    let count = |what| pattern.matches(what).count();
    ensure!(
        count("{clip}") == 1 && count("{lens}") == 1,
        "the pattern {pattern} has to hold {{clip}} and {{lens}} once each"
    );
    let mut files = Vec::new();
    walk(folder, pattern.matches('/').count(), &mut files)?;
    let mut clips: BTreeMap<String, [Option<PathBuf>; 3]> = BTreeMap::new();
    for path in files {
        let inside = path
            .strip_prefix(folder)
            .unwrap_or(&path)
            .to_string_lossy()
            .into_owned();
        if let Some((clip, lens)) = read(pattern, &inside) {
            let slot = &mut clips.entry(clip.to_owned()).or_default()[lens];
            if let Some(other) = slot {
                bail!(
                    "{} and {} are the same camera of one clip",
                    other.display(),
                    path.display()
                )
            }
            *slot = Some(path);
        }
    }
    ensure!(
        !clips.is_empty(),
        "nothing in {} is named {pattern}",
        folder.display()
    );
    let source = |(name, [ultrawide, wide, tele]): (String, [Option<PathBuf>; 3])| Source {
        output: format.path(output, &name),
        // What is missing is told when the clip's turn comes.
        ultrawide: ultrawide.unwrap_or_else(|| expected(folder, pattern, &name, "UW")),
        references: std::iter::once((
            Lens::Wide,
            wide.unwrap_or_else(|| expected(folder, pattern, &name, "W")),
        ))
        .chain(tele.map(|tele| (Lens::Tele, tele)))
        .collect(),
        name,
    };
    Ok(clips.into_iter().map(source).collect())
}

fn expected(folder: &Path, pattern: &str, clip: &str, lens: &str) -> PathBuf {
    folder.join(pattern.replace("{clip}", clip).replace("{lens}", lens))
}

/// All files at one depth.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = || format!("cannot read the folder {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        match (depth, is_folder(&entry)) {
            (0, false) => files.push(entry.path()),
            (1.., true) => walk(&entry.path(), depth - 1, files)?,
            _ => (),
        }
    }
    files.sort();
    Ok(())
}

/// Whether an entry is a folder, or leads to one. Only a link has to be looked at; there may be many thousands of entries.
fn is_folder(entry: &std::fs::DirEntry) -> bool {
    entry
        .file_type()
        .is_ok_and(|kind| kind.is_dir() || !kind.is_file() && entry.path().is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_grouped_by_clip() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["b_UW.mp4", "b_W.mp4", "b_T.mp4", "a_UW.mp4", "readme.txt"] {
            std::fs::write(path(name), "").unwrap();
        }
        let clips = pattern(
            folder.path(),
            "{clip}_{lens}.mp4",
            Path::new("out"),
            Format::Mkv,
        )
        .unwrap();
        assert_eq!(clips.len(), 2);
        assert_eq!(
            (clips[0].name.as_str(), clips[0].references[0].1.clone()),
            ("a", path("a_W.mp4"))
        );
        assert_eq!(clips[1].output, Path::new("out/b.mkv"));
        assert_eq!(clips[1].references.len(), 2);
        let message = |pattern_: &str| {
            pattern(folder.path(), pattern_, Path::new("out"), Format::Mkv)
                .unwrap_err()
                .to_string()
        };
        assert!(message("{clip}.mp4").contains("{lens}"));
        assert!(message("{clip}-{lens}.avi").contains("nothing"));
    }

    #[test]
    fn trees_are_listed_in_their_layout() {
        let root = tempfile::tempdir().unwrap();
        let list = |split: &str| {
            tree(
                root.path(),
                split,
                "LRx4",
                true,
                Path::new("out"),
                Format::Png,
            )
        };
        assert!(
            list("test")
                .unwrap_err()
                .to_string()
                .contains("test/LRx4/UW is not there")
        );
        for clip in ["0002", "0001"] {
            std::fs::create_dir_all(root.path().join("test/LRx4/UW").join(clip)).unwrap();
        }
        let clips = list("test").unwrap();
        assert_eq!(clips[0].name, "0001");
        assert_eq!(
            clips[1].references[1].1,
            root.path().join("test/LRx4/T/0002")
        );
        assert_eq!(clips[1].output, Path::new("out/test/HR/UW/0002"));
    }
}
