//! What targets are fed, and what they say of it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// What is kept for a target: `fuzz/corpus/NAME`, in the order of the names.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = root().join("fuzz/corpus").join(name);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect()
}

/// Those of a target, and the recordings of the command's tests with these names.
pub fn recordings(target: &str, names: &[&str]) -> Vec<Vec<u8>> {
    let folder = root().join("pipelines/tests/media");
    let own = names
        .iter()
        .filter_map(|name| fs::read(folder.join(name)).ok());
    own.chain(corpus(target)).collect()
}

/// Where readers of files find the input.
static FOLDER: LazyLock<Option<tempfile::TempDir>> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let folder = tempfile::Builder::new();
    match memory.is_dir() {
        true => folder.tempdir_in(memory).ok(),
        false => folder.tempdir().ok(),
    }
});

/// What `read` says of a file that holds the input.
pub fn as_file(name: &str, input: &[u8], read: impl FnOnce(&Path) -> String) -> String {
    let path = FOLDER
        .as_ref()
        .map_or_else(std::env::temp_dir, |folder| folder.path().to_owned())
        .join(name);
    match fs::write(&path, input) {
        Ok(()) => read(&path),
        Err(error) => panic!("cannot write {}: {error}", path.display()),
    }
}

/// An answer in words.
pub fn told<T, E: std::fmt::Display>(read: Result<T, E>) -> String {
    match read {
        Ok(_) => "it is read".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}
