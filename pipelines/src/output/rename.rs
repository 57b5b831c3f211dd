//! Names given to files: without writing over another one, or changing places with it.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Gives `from` the name `to`.
///
/// # Errors
/// `AlreadyExists` where something has that name.
pub fn without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(error) if unsupported(error) => (),
        done => return Ok(done?),
    }
    // Some network file systems have no such call; a hard link is not made over another file either.
    if from.is_file() {
        match fs::hard_link(from, to) {
            Ok(()) => return fs::remove_file(from),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(error),
            Err(_) => (),
        }
    }
    // Without hard links too, a file that appears between these two lines is replaced. A folder is not, unless it is empty.
    if fs::symlink_metadata(to).is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

/// `a` and `b` change places in one step. False where the file system has no such call.
pub fn exchange(a: &Path, b: &Path) -> io::Result<bool> {
    match renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE) {
        Err(error) if unsupported(error) => Ok(false),
        done => Ok(done.map(|()| true)?),
    }
}

fn unsupported(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP].contains(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        fs::write(&a, "a").unwrap();
        fs::write(&b, "b").unwrap();
        let error = without_replacing(&a, &b).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&b).unwrap(), "b");
        if exchange(&a, &b).unwrap() {
            assert_eq!(fs::read_to_string(&b).unwrap(), "a");
        }
        fs::remove_file(&b).unwrap();
        without_replacing(&a, &b).unwrap();
        assert!(b.exists() && !a.exists());
    }
}
