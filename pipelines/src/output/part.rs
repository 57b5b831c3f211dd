//! Partial names: where an output lies until it is whole. They are short, whatever the output's name is, and always the same, so
//! that the next run finds what a killed one left.

use super::place::{Id, Place};
use super::slot::Kind;
use super::{Busy, Writing, is_frame, is_unfinished_frame};
use anyhow::{Result, bail};
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

fn name(place: &Place) -> String {
    let digest = Sha256::digest(place.name().as_bytes());
    let digest: String = digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!(".refvsr-{digest}.part")
}

/// Beside the output.
pub fn beside(place: &Place) -> PathBuf {
    place.parent().join(name(place))
}

/// Inside the output, a folder that is there already.
pub fn within(place: &Place) -> PathBuf {
    place.path().join(name(place))
}

/// A partial file or folder that is this process's as long as this lives.
#[derive(Debug)]
pub struct Held {
    pub file: File,
    /// No other process can have it. Some file systems have no locks.
    pub locked: bool,
}

/// How long a process that was killed may take to let go of what it wrote.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes a partial file or folder, or takes the one that was left, and locks it, so that two processes do not write the same thing.
///
/// # Errors
/// [`Busy`] where another process has it.
pub fn take(part: &Path, kind: Kind, shown: &Path) -> Result<Held> {
    let begin = Instant::now();
    loop {
        let file = open(part, kind).writing(shown)?;
        let locked = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            Err(TryLockError::WouldBlock) => bail!(Busy(shown.to_owned())),
            Err(TryLockError::Error(_)) => false,
        };
        // The one who had it before may have renamed or removed it between opening and locking.
        let mine = Id::of(&file.metadata().writing(shown)?);
        if Id::at(part) == Some(mine) {
            return Ok(Held { file, locked });
        }
    }
}

/// Whether some process has a partial file or folder.
pub fn is_taken(part: &Path) -> bool {
    File::open(part)
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

fn open(part: &Path, kind: Kind) -> std::io::Result<File> {
    if kind == Kind::Folder {
        match fs::create_dir(part) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (),
            made => made?,
        }
    }
    let flags = match kind {
        Kind::File => OFlags::NOFOLLOW,
        Kind::Folder => OFlags::NOFOLLOW | OFlags::DIRECTORY,
    };
    File::options()
        .read(kind == Kind::Folder)
        .write(kind == Kind::File)
        .create(kind == Kind::File)
        .custom_flags(flags.bits() as i32)
        .open(part)
}

/// Removes the frames in a partial folder, unfinished ones too.
pub fn clear(part: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(part)? {
        let entry = entry?;
        let name = entry.file_name();
        if (is_frame(&name) || is_unfinished_frame(&name)) && !entry.file_type()?.is_dir() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes a partial folder. One that holds anything but frames stays.
pub fn remove_folder(part: &Path) -> std::io::Result<()> {
    clear(part)?;
    fs::remove_dir(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_of_the_outputs_file_system() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "a.mkv".to_owned(),
            "x".repeat(251) + ".mkv",
            "日".repeat(83),
        ] {
            let place = Place::find(&folder.path().join(name)).unwrap();
            let part = beside(&place);
            assert_eq!(part.parent(), Some(place.parent()));
            assert!(part.file_name().unwrap().len() < 40);
            let held = take(&part, Kind::File, place.shown()).unwrap();
            assert!(held.locked && is_taken(&part));
            drop(held);
            assert!(!is_taken(&part));
        }
    }

    #[test]
    fn one_at_a_time_holds_it() {
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
        let folder = tempfile::tempdir().unwrap();
        let place = Place::find(&folder.path().join("a")).unwrap();
        let take = || take(&beside(&place), Kind::Folder, place.shown());
        let (inside, held) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let Ok(part) = take() else { continue };
                        assert_eq!(inside.fetch_add(1, SeqCst), 0);
                        held.fetch_add(1, SeqCst);
                        inside.fetch_sub(1, SeqCst);
                        _ = remove_folder(&beside(&place));
                        drop(part);
                    }
                });
            }
        });
        assert!(held.load(SeqCst) > 0);
        let _held = take().unwrap();
        assert!(take().unwrap_err().is::<Busy>());
    }

    #[test]
    fn a_link_in_the_partial_files_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::find(&folder.path().join("a.mkv")).unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "x").unwrap();
        std::os::unix::fs::symlink(&precious, beside(&place)).unwrap();
        assert!(take(&beside(&place), Kind::File, place.shown()).is_err());
    }
}
