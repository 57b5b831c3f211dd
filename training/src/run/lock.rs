//! One run a folder at a time.

use anyhow::{Context, Result, bail};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Write, stderr},
    path::Path,
};

/// The file that is locked while a run is trained. It stays; its lock ends with the process, however it ends.
const LOCK: &str = "run.lock";

/// Keeps others out of a run's folder as long as it lives.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Of a folder that is there. Where its file system has no locks that is said, and nobody is kept out.
    ///
    /// # Errors
    /// Where another process trains in the folder, or the lock's file cannot be written.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => (),
            Err(TryLockError::WouldBlock) => bail!(
                "another process trains in {} now; wait for it, or name another folder with --run",
                folder.display()
            ),
            Err(TryLockError::Error(error)) => {
                // Nothing is lost where nobody reads it.
                let _ = writeln!(
                    stderr(),
                    "{} cannot be locked ({error}): nothing keeps a second process out of this run",
                    path.display()
                );
            }
        }
        Ok(Self { _file: file })
    }
}
