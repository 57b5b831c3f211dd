//! What lies on the disk before and after a run: nothing that is not the command's own may change.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files and folders, with what makes them the same ones.
#[derive(Debug)]
pub struct Snapshot {
    root: PathBuf,
    files: BTreeMap<PathBuf, Seen>,
    /// What manifests say the command wrote.
    own: Vec<PathBuf>,
}

/// Device, inode, bytes, and the time of the last change; of folders the inode alone.
type Seen = (u64, u64, Option<(u64, i64, i64)>);

impl Snapshot {
    /// Everything under a folder.
    pub fn of(root: &Path) -> Self {
        let mut snapshot = Self {
            root: root.to_owned(),
            files: BTreeMap::new(),
            own: vec![],
        };
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let Ok(data) = std::fs::symlink_metadata(&path) else {
                    continue;
                };
                let content =
                    (!data.is_dir()).then(|| (data.len(), data.mtime(), data.mtime_nsec()));
                if data.is_dir() {
                    folders.push(path.clone());
                }
                if path.ancestors().any(|folder| folder.ends_with(".refvsr")) {
                    snapshot.own.extend(named(&path));
                }
                snapshot
                    .files
                    .insert(path, (data.dev(), data.ino(), content));
            }
        }
        snapshot
    }

    /// That everything is as it was, but for what is the command's own and these files, which it was told to write.
    #[track_caller]
    pub fn check(&self, told: &[PathBuf]) {
        let now = Self::of(&self.root);
        for (path, seen) in &self.files {
            let own = self.own.iter().chain(told).any(|own| own == path)
                || path.iter().any(|part| {
                    let part = part.to_string_lossy();
                    part == ".refvsr" || part.starts_with(".refvsr-") || part.ends_with(".adapt")
                });
            assert!(
                own || now.files.get(path) == Some(seen),
                "{} was changed: {seen:?}, now {:?}",
                path.display(),
                now.files.get(path)
            );
        }
    }
}

/// What a manifest says the command wrote.
fn named(manifest: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(manifest).unwrap_or_default();
    let Ok(all) = serde_json::from_slice::<serde_json::Value>(&text) else {
        return vec![];
    };
    let output = all["done"]["output"].as_str().unwrap_or_default();
    let written = &all["done"]["written"];
    let mut paths = vec![];
    for files in [&written["files"], &written["replaced"]] {
        for name in files.as_object().into_iter().flat_map(|files| files.keys()) {
            paths.push(match name.as_str() {
                "" => output.into(),
                name => Path::new(output).join(name),
            });
        }
    }
    if written["made"] == true {
        paths.push(output.into());
    }
    paths
}

/// The files that a command line says to write, where they may be replaced.
fn told(arguments: &[&str]) -> Vec<PathBuf> {
    let after = |options: &[&str]| -> Vec<PathBuf> {
        let pairs = arguments.windows(2);
        pairs
            .filter(|pair| options.contains(&pair[0]))
            .map(|pair| pair[1].into())
            .collect()
    };
    let mut told = after(&["--json", "--csv", "--markdown", "--report", "--strip"]);
    let single = arguments.contains(&"-u") && arguments.contains(&"--overwrite");
    let mut output = after(&["-o"]);
    // The picture that goes beside it.
    let command = arguments.first();
    if command.is_some_and(|command| ["adapt", "preview"].contains(command)) {
        output.extend(after(&["-o"]).iter().map(|path| path.with_extension("png")));
    }
    let output = output
        .into_iter()
        .filter_map(|path| path.canonicalize().ok());
    told.extend(output.filter(|path| single && path.is_file()));
    told
}

/// Runs something that a test's folder is handed to by these arguments, and sees to it that it changes nothing of others.
#[track_caller]
pub fn watched<T>(arguments: &[&str], run: impl FnOnce() -> T) -> T {
    let base = std::env::temp_dir();
    let inside = arguments
        .iter()
        .filter_map(|argument| Path::new(argument).strip_prefix(&base).ok());
    let mut roots: Vec<PathBuf> = inside
        .filter_map(|path| path.iter().next())
        .map(|first| base.join(first))
        // A checkout may lie there, too.
        .filter(|root| !Path::new(env!("CARGO_MANIFEST_DIR")).starts_with(root))
        .collect();
    roots.dedup();
    let told = told(arguments);
    let before: Vec<_> = roots.iter().map(|root| Snapshot::of(root)).collect();
    let result = run();
    before.iter().for_each(|snapshot| snapshot.check(&told));
    result
}
