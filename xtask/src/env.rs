//! `cargo xtask env`: the export lines that put a shell in the project's environment.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Result, bail};

use crate::project::{Libtorch, Project};

/// The lines, one `export` each. Asking twice in one shell changes nothing the second time.
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

/// The word as a POSIX shell reads it back unchanged.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_needed() {
        assert_eq!(
            quote("/home/me/refvsr/target-2/release"),
            "/home/me/refvsr/target-2/release"
        );
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("$HOME;`rm`"), "'$HOME;`rm`'");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("~"), "'~'");
    }

    #[test]
    fn a_shell_reads_the_quoted_word_back() {
        for word in [
            "plain",
            "two words",
            "it's",
            "\"$x\" `y` \\ *",
            "line\nbreak",
            "",
        ] {
            let script = format!("printf %s {}", quote(word));
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }

    #[test]
    fn a_folder_comes_first_and_once() {
        let path = with_front(Path::new("/new"), Some("/a:/new::/b".into())).unwrap();
        assert_eq!(path, "/new:/a:/b");
        assert_eq!(with_front(Path::new("/new"), None).unwrap(), "/new");
        assert!(with_front(Path::new("/with:colon"), None).is_err());
    }
}
