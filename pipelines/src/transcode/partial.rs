//! Output that is written under a temporary name and renamed when it is whole.

use anyhow::{Context, Result, bail};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The error of an output for which there is no room.
#[derive(Debug, Clone)]
pub struct DiskFull(pub PathBuf);

impl std::fmt::Display for DiskFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot write {}: the disk is full", self.0.display())
    }
}

impl std::error::Error for DiskFull {}

/// A file or a folder in the making. What is not finished is removed when this is dropped; what a killed process left is written over
/// by the next one, for the temporary name is always the same.
#[derive(Debug)]
pub struct Partial {
    target: PathBuf,
    part: PathBuf,
    /// Locked, so that two processes do not write the same thing.
    lock: File,
    finished: bool,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
}

impl Partial {
    /// Starts `target`; its folder is made where it is missing.
    ///
    /// # Errors
    /// The place cannot be written, or another process writes the same target.
    pub fn begin(target: &Path, kind: Kind) -> Result<Self> {
        let unwritable = || format!("cannot write {}", target.display());
        let name = target
            .file_name()
            .with_context(unwritable)?
            .to_string_lossy();
        let folder = target.parent().unwrap_or(Path::new(""));
        let part = folder.join(format!(".{name}.part"));
        fs::create_dir_all(folder_of(folder)).with_context(unwritable)?;
        let lock = match kind {
            Kind::File => File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&part)
                .with_context(unwritable)?,
            Kind::Folder => {
                fs::create_dir_all(&part).with_context(unwritable)?;
                File::open(&part).with_context(unwritable)?
            }
        };
        match lock.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => {
                bail!("another process is writing {}", target.display())
            }
            // File systems without locks are used without.
            Err(TryLockError::Error(_)) => (),
        }
        let partial = Self {
            target: target.to_owned(),
            part,
            lock,
            finished: false,
        };
        if kind == Kind::Folder {
            partial.clear().with_context(unwritable)?;
        }
        Ok(partial)
    }

    /// Where to write meanwhile.
    pub fn path(&self) -> &Path {
        &self.part
    }

    /// Gives it its name, once all of it is on the disk.
    pub fn finish(mut self) -> Result<()> {
        let named = || format!("cannot write {}", self.target.display());
        match self.lock.sync_all() {
            // Some file systems only find out now.
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                bail!(DiskFull(self.target.clone()))
            }
            synced => synced.with_context(named)?,
        }
        let old = self.part.with_extension("old");
        if self.target.is_dir() {
            fs::rename(&self.target, &old).with_context(named)?;
        }
        fs::rename(&self.part, &self.target).with_context(named)?;
        if old.is_dir() {
            fs::remove_dir_all(&old).with_context(named)?;
        }
        let folder = self.target.parent().unwrap_or(Path::new(""));
        File::open(folder_of(folder))
            .and_then(|folder| folder.sync_all())
            .with_context(named)?;
        self.finished = true;
        Ok(())
    }

    /// Removes what lies in the folder from an earlier run.
    fn clear(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.part)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        _ = if self.part.is_dir() {
            fs::remove_dir_all(&self.part)
        } else {
            fs::remove_file(&self.part)
        };
    }
}

/// The current folder has an empty path.
fn folder_of(path: &Path) -> &Path {
    if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_finished_stays() {
        let folder = tempfile::tempdir().unwrap();
        let list = || fs::read_dir(folder.path()).unwrap().count();
        let target = folder.path().join("out.mkv");

        let partial = Partial::begin(&target, Kind::File).unwrap();
        fs::write(partial.path(), "half").unwrap();
        let message = Partial::begin(&target, Kind::File).unwrap_err().to_string();
        assert!(message.contains("another process") && message.contains("out.mkv"));
        drop(partial);
        assert_eq!(list(), 0);

        // As a killed process leaves it.
        fs::write(
            folder.path().join(".out.mkv.part"),
            "half of something longer",
        )
        .unwrap();
        let partial = Partial::begin(&target, Kind::File).unwrap();
        fs::write(partial.path(), "whole").unwrap();
        partial.finish().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "whole");
        assert_eq!(list(), 1);
    }

    #[test]
    fn folders_take_the_place_of_older_ones() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("0000");
        for text in ["a", "b"] {
            let partial = Partial::begin(&target, Kind::Folder).unwrap();
            fs::write(partial.path().join(text), text).unwrap();
            partial.finish().unwrap();
        }
        assert!(target.join("b").is_file() && !target.join("a").exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
