//! Where a path leads.

use anyhow::{Context, Result, anyhow, bail};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Symbolic links that are followed one after the other, as the kernel does.
const LINKS: usize = 40;

/// A file or folder, which need not be there yet: the path as the user gave it, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    shown: PathBuf,
    path: PathBuf,
}

/// What makes two paths the same file, whatever their spelling: links, mounts and letter case do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    device: u64,
    inode: u64,
}

impl Id {
    pub fn of(data: &Metadata) -> Self {
        Self {
            device: data.dev(),
            inode: data.ino(),
        }
    }

    /// The file that a path leads to, if there is one.
    pub fn at(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|data| Self::of(&data))
    }
}

impl Place {
    /// Follows symbolic links, also to what is not there yet.
    ///
    /// # Errors
    /// The path cannot be followed: a name that is too long, a file in a folder's place, links in a circle.
    pub fn find(shown: &Path) -> Result<Self> {
        let unwritable = || format!("cannot write {}", shown.display());
        let mut path = std::path::absolute(shown).with_context(unwritable)?;
        for _ in 0..LINKS {
            let step = follow(&path).map_err(|error| unfollowed(error, &path));
            match step.with_context(unwritable)? {
                Step::There(path) => {
                    return Ok(Self {
                        shown: shown.to_owned(),
                        path,
                    });
                }
                Step::Link(next) => path = next,
            }
        }
        bail!("{}: its symbolic links lead in a circle", unwritable())
    }

    /// The path as the user gave it, for messages.
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// The path without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that it lies in.
    pub fn parent(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Its last part; empty for the root.
    pub fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

/// Why a path cannot be followed.
fn unfollowed(error: std::io::Error, path: &Path) -> anyhow::Error {
    use rustix::io::Errno;
    let file = || path.ancestors().skip(1).find(|folder| folder.is_file());
    match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => anyhow!("its symbolic links lead in a circle"),
        Some(Errno::NOTDIR) => match file() {
            Some(file) => anyhow!("{} is a file, not a folder", file.display()),
            None => error.into(),
        },
        _ => error.into(),
    }
}

enum Step {
    There(PathBuf),
    Link(PathBuf),
}

fn follow(path: &Path) -> std::io::Result<Step> {
    match fs::canonicalize(path) {
        Ok(path) => return Ok(Step::There(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => (),
        Err(error) => return Err(error),
    }
    let missing = || std::io::Error::from(ErrorKind::NotFound);
    let (parent, name) = path.parent().zip(path.file_name()).ok_or_else(missing)?;
    if fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink()) {
        return Ok(Step::Link(parent.join(fs::read_link(path)?)));
    }
    Ok(match follow(parent)? {
        Step::There(parent) => Step::There(parent.join(name)),
        Step::Link(parent) => Step::Link(parent.join(name)),
    })
}

/// Whether something is mounted at a path, so that no other file can take its place.
pub fn is_mounted(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let data = statx(CWD, path, AtFlags::empty(), StatxFlags::empty());
    data.is_ok_and(|data| data.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_also_to_what_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let found = |name: &str| Place::find(&root.join(name)).map(|place| place.path);
        fs::create_dir(root.join("big")).unwrap();
        symlink("big/out.mkv", root.join("link.mkv")).unwrap();
        symlink("big", root.join("folder")).unwrap();
        symlink("folder/deep/er", root.join("far")).unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert_eq!(found("link.mkv").unwrap(), root.join("big/out.mkv"));
        assert_eq!(found("folder/x/y").unwrap(), root.join("big/x/y"));
        assert_eq!(found("far/z").unwrap(), root.join("big/deep/er/z"));
        let message = |name: &str| format!("{:#}", found(name).unwrap_err());
        assert!(
            message("a").contains("lead in a circle"),
            "{}",
            message("a")
        );
        fs::write(root.join("file"), "").unwrap();
        let text = message("file/x/out.mkv");
        assert!(text.contains("/file is a file, not a folder"), "{text}");
        let long = "x".repeat(300);
        let message = format!("{:#}", found(&long).unwrap_err());
        assert!(message.contains("too long"), "{message}");
    }
}
