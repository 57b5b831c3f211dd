//! What this program wrote, so that it knows it again.

use super::place::Id;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

/// Bytes at either end of a file by which it is known. They hold the container's headers and index.
const END: u64 = 64 << 10;

/// A file's size and a digest of its ends. Unlike times, they are the same after a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print(u64, String);

/// What changes with every change of a file.
#[derive(Debug, PartialEq, Eq, Hash)]
struct State {
    file: Id,
    bytes: u64,
    /// Its last change, in seconds and nanoseconds, which no program can set.
    changed: (i64, i64),
}

/// Prints of files that were read.
static KNOWN: LazyLock<Mutex<HashMap<State, Print>>> = LazyLock::new(Mutex::default);

/// Two changes within one tick of a file system's clock cannot be told apart; none ticks slower than FAT, every two seconds.
const TICK: i64 = 2;

impl State {
    fn of(data: &Metadata) -> Self {
        Self {
            file: Id::of(data),
            bytes: data.len(),
            changed: (data.ctime(), data.ctime_nsec()),
        }
    }

    /// Whether the next change will be told from the last one.
    fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.is_ok_and(|now| now.as_secs() as i64 > self.changed.0 + TICK)
    }
}

impl Print {
    /// The print of a regular file. A file that stays as it is is read once a process.
    pub fn of(path: &Path) -> io::Result<Self> {
        let data = std::fs::symlink_metadata(path)?;
        if !data.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let state = State::of(&data);
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(print) = known().get(&state) {
            return Ok(print.clone());
        }
        let print = Self::read(path)?;
        if state.is_settled() && State::of(&std::fs::symlink_metadata(path)?) == state {
            known().insert(state, print.clone());
        }
        Ok(print)
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let mut digest = Sha256::new();
        let mut end = Vec::new();
        (&mut file).take(END).read_to_end(&mut end)?;
        file.seek(SeekFrom::Start(bytes.saturating_sub(END).max(END)))?;
        file.take(END).read_to_end(&mut end)?;
        digest.update(&end);
        let digest = digest.finalize();
        Ok(Self(
            bytes,
            digest[..16]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        ))
    }

    /// Whether the file at a path is still the one.
    pub fn matches(&self, path: &Path) -> bool {
        Self::of(path).is_ok_and(|print| print == *self)
    }
}

/// Files by their names in the output's folder; the empty name is the output itself.
pub type Prints = BTreeMap<String, Print>;

/// What a manifest says of an output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What was written.
    pub files: Prints,
    /// Older files of this program in whose place it came, of which an interruption may have left some.
    #[serde(default, skip_serializing_if = "Prints::is_empty")]
    pub replaced: Prints,
    /// The folder is this program's too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made: bool,
}

impl Written {
    /// Whether this program wrote the file of that name and it is unchanged.
    pub fn owns(&self, output: &Path, name: &str) -> bool {
        let prints = [&self.files, &self.replaced].map(|files| files.get(name));
        let mut prints = prints.into_iter().flatten().peekable();
        prints.peek().is_some()
            && Print::of(&entry(output, name))
                .is_ok_and(|found| prints.any(|print| *print == found))
    }

    /// Whether a file of that name may be this program's.
    pub fn names(&self, name: &str) -> bool {
        self.files.contains_key(name) || self.replaced.contains_key(name)
    }

    /// Whether the output is there. The first and the last file stand for all: an output comes as a whole.
    pub fn is_there(&self, output: &Path) -> bool {
        let ends = [self.files.iter().next(), self.files.iter().next_back()];
        ends.iter()
            .all(|end| end.is_some_and(|(name, print)| print.matches(&entry(output, name))))
    }
}

/// A file of an output.
pub fn entry(output: &Path, name: &str) -> PathBuf {
    match name {
        "" => output.to_owned(),
        name => output.join(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_size_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        for size in [0, 10, 70_000, 140_000, 300_000] {
            let mut bytes = vec![7; size];
            std::fs::write(&path, &bytes).unwrap();
            let print = Print::of(&path).unwrap();
            assert!(print.matches(&path));
            if let Some(last) = bytes.last_mut() {
                *last = 8;
                std::fs::write(&path, &bytes).unwrap();
                assert!(!print.matches(&path), "{size}");
            }
            bytes.push(7);
            std::fs::write(&path, &bytes).unwrap();
            assert!(!print.matches(&path), "{size}");
        }
        assert!(Print::of(folder.path()).is_err());
    }

    #[test]
    fn a_file_is_read_once_until_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "first").unwrap();
        let state = || State::of(&std::fs::metadata(&path).unwrap());
        let is_known = || KNOWN.lock().unwrap().contains_key(&state());
        let print = Print::of(&path).unwrap();
        assert!(!is_known(), "it may change within the clock's tick");
        while !state().is_settled() {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        assert!(print.matches(&path) && is_known());
        std::fs::write(&path, "other").unwrap();
        assert!(!is_known() && !print.matches(&path));
    }
}
