//! A file that says by its lock that a process is at work.

use super::place::Id;
use super::{Writing, make_folder};
use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// A locked file, removed when this is dropped.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Locks a file, which is made; none where another process has it.
    pub fn take(path: &Path) -> Result<Option<Self>> {
        make_folder(path.parent().unwrap_or(path), path)?;
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
                .writing(path)?;
            match file.try_lock() {
                Ok(()) => (),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
            // The one who had it before may have removed the file between opening and locking.
            let mine = Id::of(&file.metadata().writing(path)?);
            if Id::at(path) == Some(mine) {
                return Ok(Some(Self {
                    path: path.to_owned(),
                    _file: file,
                }));
            }
        }
    }

    /// Whether some process has it.
    pub fn is_taken(path: &Path) -> bool {
        File::open(path)
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.path);
    }
}
