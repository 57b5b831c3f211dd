//! Who works on a clip: a locked file. The lock goes with its process, however that ends, so a killed one claims nothing.

use crate::transcode::manifest;
use anyhow::{Context, Result};
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A clip that is this process's, as long as this lives.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _lock: File,
}

impl Claim {
    /// Claims a clip; none where another process has it.
    pub fn take(output: &Path, clip: &str) -> Result<Option<Self>> {
        let path = path(output, clip);
        let claimed = || format!("cannot write {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(output)).with_context(claimed)?;
        loop {
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .with_context(claimed)?;
            match file.try_lock() {
                Ok(()) => (),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error).with_context(claimed),
            }
            // The one who had it before may have removed the file between opening and locking.
            let here = fs::metadata(&path).map(|data| data.ino());
            let mine = file.metadata().with_context(claimed)?.ino();
            if here.is_ok_and(|here| here == mine) {
                return Ok(Some(Self { path, _lock: file }));
            }
        }
    }

    /// Whether some process works on a clip.
    pub fn is_taken(output: &Path, clip: &str) -> bool {
        File::open(path(output, clip))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.path);
    }
}

fn path(output: &Path, clip: &str) -> PathBuf {
    manifest::file(output, clip, "claim")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_claimed_once_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let take = || Claim::take(folder.path(), "c").unwrap();
        assert!(!Claim::is_taken(folder.path(), "c"));
        let claim = take().unwrap();
        assert!(take().is_none() && Claim::is_taken(folder.path(), "c"));
        drop(claim);
        assert!(!Claim::is_taken(folder.path(), "c"));
        assert!(take().is_some());
        assert_eq!(
            fs::read_dir(folder.path().join(manifest::FOLDER))
                .unwrap()
                .count(),
            0
        );
    }

    #[test]
    fn of_many_threads_one_at_a_time_holds_a_clip() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, held) = (
            std::sync::atomic::AtomicUsize::new(0),
            std::sync::atomic::AtomicUsize::new(0),
        );
        let ordering = std::sync::atomic::Ordering::SeqCst;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Some(claim) = Claim::take(folder.path(), "c").unwrap() {
                            assert_eq!(inside.fetch_add(1, ordering), 0);
                            held.fetch_add(1, ordering);
                            inside.fetch_sub(1, ordering);
                            drop(claim);
                        }
                    }
                });
            }
        });
        assert!(held.load(ordering) > 0);
    }
}
