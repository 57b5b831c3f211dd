//! `cargo xtask env`: prints the export lines that put a shell in the project's environment.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Result, bail};

use crate::project::{Libtorch, Project};
use crate::run::quote;

/// The lines, one `export` each. A shell that reads them twice is no different from one that did once.
pub fn lines(project: &Project) -> Result<String> {
    let mut lines = String::new();
    let mut export = |name: &str, value: &OsStr| match value.to_str() {
        Some(value) => {
            lines += &format!("export {name}={}\n", quote(value));
            Ok(())
        }
        None => bail!(
            "{name} would hold {value:?}, which is not UTF-8; move the checkout to a path that is"
        ),
    };
    let plugins = with_front(
        &project.target.join("release"),
        std::env::var_os("GST_PLUGIN_PATH"),
    )?;
    export("GST_PLUGIN_PATH", &plugins)?;
    let presets = with_front(
        &project.root.join("plugin/presets"),
        std::env::var_os("GST_PRESET_PATH"),
    )?;
    export("GST_PRESET_PATH", &presets)?;
    export(
        "LD_LIBRARY_PATH",
        &with_front(&project.libtorch_lib()?, project.user_library_path())?,
    )?;
    match project.libtorch() {
        Libtorch::Project(folder) | Libtorch::Named(folder) => {
            export("LIBTORCH", folder.as_os_str())?
        }
        Libtorch::Python => export("LIBTORCH_USE_PYTORCH", OsStr::new("1"))?,
    }
    Ok(lines)
}

/// A search path with `folder` first, and only there.
pub fn with_front(folder: &Path, path: Option<OsString>) -> Result<OsString> {
    let rest = path.unwrap_or_default();
    let rest = std::env::split_paths(&rest)
        .filter(|entry| entry != folder && !entry.as_os_str().is_empty());
    match std::env::join_paths(std::iter::once(folder.to_path_buf()).chain(rest)) {
        Ok(path) => Ok(path),
        Err(_) => bail!(
            "{} holds a colon, which separates the entries of a search path; move the checkout",
            folder.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_first_and_once() {
        let path = with_front(Path::new("/new"), Some("/a:/new::/b".into())).unwrap();
        assert_eq!(path, "/new:/a:/b");
        assert_eq!(with_front(Path::new("/new"), None).unwrap(), "/new");
        assert!(with_front(Path::new("/with:colon"), None).is_err());
    }
}
