//! The one place of this command that writes, renames and removes files.
//!
//! * An output is checked before any work ([`Slot`]): nothing that is read lies in its place, above or below it.
//! * It is written under a partial name in its own file system and gets its name when it is whole and on the disk ([`Partial`]).
//! * Only what is this program's own is replaced or removed: files that the user gave up by `--overwrite`, and in folders those that
//!   a manifest says it wrote ([`Written`]). Folders are not removed, but for those that it made and that are empty.

mod file;
mod folder;
mod inputs;
mod part;
mod place;
mod prints;
mod rename;
mod report;
mod shelf;
mod slot;

pub use inputs::Inputs;
pub use place::Place;
pub use prints::Written;
pub use report::Report;
pub use shelf::Shelf;
pub use slot::{Kind, Partial, Slot, is_being_written, is_finished};

use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The folder of manifests in an output folder.
pub const MANIFESTS: &str = ".refvsr";

/// The error of an output for which there is no room.
#[derive(Debug, Clone)]
pub struct DiskFull(pub PathBuf);

impl std::fmt::Display for DiskFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot write {}: the disk is full", self.0.display())
    }
}

impl std::error::Error for DiskFull {}

/// The error of an output that another process writes.
#[derive(Debug, Clone)]
pub struct Busy(pub PathBuf);

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "another process is writing {}", self.0.display())
    }
}

impl std::error::Error for Busy {}

/// Names the file in an error.
trait Writing<T> {
    fn writing(self, shown: &Path) -> Result<T>;
}

impl<T> Writing<T> for io::Result<T> {
    fn writing(self, shown: &Path) -> Result<T> {
        self.map_err(|error| match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                anyhow::Error::new(DiskFull(shown.to_owned()))
            }
            _ => anyhow::Error::new(error).context(format!("cannot write {}", shown.display())),
        })
    }
}

/// Writes a file of this program's own, such as a manifest: whole or not at all. Its folder is made where it is missing.
pub fn write_own(path: &Path, content: &[u8]) -> Result<()> {
    let slot = Slot::own_file(path)?;
    let partial = slot.begin()?;
    partial.write(content)?;
    partial.finish(&mut |_| Ok(()))
}

/// Removes a file of this program's own, where it is there.
pub fn remove_own(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.writing(path),
    }
}

/// A file in a folder of this program's own, for what is needed meanwhile.
pub fn scratch(path: &Path) -> Result<std::fs::File> {
    std::fs::File::create(path).writing(path)
}

/// Makes a folder and those above it, where they are missing.
fn make_folder(path: &Path, shown: &Path) -> Result<()> {
    std::fs::create_dir_all(path).writing(shown)
}

/// The pattern by which `multifilesink` names the frames of a folder. A percent sign of the folder's name stands for itself.
pub fn frame_pattern(folder: &Path) -> PathBuf {
    let mut bytes = Vec::new();
    for byte in folder.as_os_str().as_bytes() {
        bytes.push(*byte);
        if *byte == b'%' {
            bytes.push(b'%');
        }
    }
    Path::new(&OsString::from_vec(bytes)).join("%04d.png")
}

/// Whether a name is one that [`frame_pattern`] makes.
fn is_frame(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.strip_suffix(b".png")
        .is_some_and(|number| number.len() >= 4 && number.iter().all(u8::is_ascii_digit))
}

/// A frame that is being written: `multifilesink` (GLib's `g_file_set_contents`) puts six letters behind its name until it is whole.
fn is_unfinished_frame(name: &OsStr) -> bool {
    let mut parts = name.as_bytes().rsplitn(2, |byte| *byte == b'.');
    let (letters, frame) = (parts.next(), parts.next());
    letters.is_some_and(|it| it.len() == 6 && it.iter().all(u8::is_ascii_alphanumeric))
        && frame.is_some_and(|frame| is_frame(OsStr::from_bytes(frame)))
}

/// Brings the entries of a folder to the disk.
fn sync_folder(folder: &Path, shown: &Path) -> Result<()> {
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    match synced {
        // Some network file systems cannot do that for folders.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced.writing(shown),
    }
}

/// The name of an entry, where a manifest can hold it.
fn utf8(name: &OsStr) -> Result<&str> {
    name.to_str()
        .with_context(|| format!("{} is no UTF-8", name.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_of_folders_stand_for_themselves() {
        assert_eq!(
            frame_pattern(Path::new("100%done/take %d")),
            Path::new("100%%done/take %%d/%04d.png")
        );
        assert!(is_frame(OsStr::new("0001.png")) && is_frame(OsStr::new("10000.png")));
        assert!(is_unfinished_frame(OsStr::new("0001.png.7YX1Q2")));
        for other in ["0001.png", "0001.png.txt", "cover.png.7YX1Q2", "7YX1Q2"] {
            assert!(!is_unfinished_frame(OsStr::new(other)), "{other}");
        }
        for other in ["1.png", "a001.png", "0001.jpg", ".png", "0001.png.bak"] {
            assert!(!is_frame(OsStr::new(other)), "{other}");
        }
    }

    #[test]
    fn own_files_are_written_anew_and_leave_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.json");
        for text in ["1", "22"] {
            write_own(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(
            std::fs::read_dir(folder.path().join("a")).unwrap().count(),
            1
        );
    }
}
