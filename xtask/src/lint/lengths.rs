//! Files over the length that they may have.

use std::path::Path;

use anyhow::{Context, Result};

/// Folders with the most lines that a file in them may have, tests apart.
const LIMITS: [(&str, usize); 7] = [
    ("src", 400),
    ("plugin/src", 350),
    ("pipelines/src", 400),
    ("training/src", 400),
    ("tools/src", 400),
    ("fuzz/src", 400),
    ("xtask/src", 400),
];

/// A line for each file that is too long.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut faults = vec![];
    for (folder, limit) in LIMITS {
        let mut open = vec![root.join(folder)];
        while let Some(folder) = open.pop() {
            let entries = std::fs::read_dir(&folder)
                .with_context(|| format!("cannot read the folder {}", folder.display()))?;
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    open.push(path);
                    continue;
                }
                let code = ["rs", "h", "cpp"];
                let is_code = path
                    .extension()
                    .is_some_and(|e| code.iter().any(|c| e == *c));
                if !is_code || path.file_stem().is_some_and(|stem| stem == "tests") {
                    continue;
                }
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let lines = text.lines().count();
                let short = path.strip_prefix(root).unwrap_or(&path);
                if lines > limit {
                    faults.push(format!(
                        "{} has {lines} lines, at most {limit} are allowed; split it by job",
                        short.display()
                    ));
                }
            }
        }
    }
    faults.sort();
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_over_its_limit_is_named() {
        let root = tempfile::tempdir().unwrap();
        for (folder, _) in LIMITS {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let write = |file: &str, lines: usize| {
            fs::write(root.path().join(file), "//\n".repeat(lines)).unwrap();
        };
        write("src/long.rs", 401);
        write("src/right.rs", 400);
        write("src/tests.rs", 900);
        write("plugin/src/long.rs", 351);
        let faults = check(root.path()).unwrap();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("plugin/src/long.rs has 351 lines, at most 350"));
        assert!(faults[1].contains("src/long.rs has 401 lines, at most 400"));
    }
}
