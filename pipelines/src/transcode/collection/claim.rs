//! Who works on a clip: a locked file. The lock goes with its process, however that ends, so a killed one claims nothing.

use crate::output::Lock;
use crate::transcode::manifest;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// A clip that is this process's, as long as this lives.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held")] Lock);

impl Claim {
    /// Claims a clip; none where another process has it.
    pub fn take(output: &Path, clip: &str) -> Result<Option<Self>> {
        Ok(Lock::take(&path(output, clip))?.map(Self))
    }

    /// Whether some process works on a clip.
    pub fn is_taken(output: &Path, clip: &str) -> bool {
        Lock::is_taken(&path(output, clip))
    }
}

fn path(output: &Path, clip: &str) -> PathBuf {
    manifest::file(output, clip, "claim")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
            fs::read_dir(folder.path().join(crate::output::MANIFESTS))
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
