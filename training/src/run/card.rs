//! Cards of model files, which people edit: an edited one is never written over.

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// The last line of a card that nobody has edited holds its digest.
const MARK: &str = "<!-- Written by refvsr-train export; an edited card is kept. ";

fn mark(text: &str) -> String {
    let digest = Sha256::digest(text);
    let digest: String = digest[..8].iter().map(|b| format!("{b:02x}")).collect();
    format!("{MARK}{digest} -->\n")
}

/// Whether nobody has edited a card, or there is none.
fn is_ours(path: &Path) -> Result<bool> {
    if !path.exists() {
        return Ok(true);
    }
    let card = fs::read(path).with_context(|| path.display().to_string())?;
    let card = String::from_utf8_lossy(&card);
    Ok(card
        .rfind(MARK)
        .is_some_and(|end| card[end..] == mark(&card[..end])))
}

/// Writes a card whole; beside one that was edited (`.new.md`). Its path.
///
/// # Errors
/// Where it cannot be written; both were edited.
pub fn write(path: &Path, text: &str) -> Result<PathBuf> {
    let path = match is_ours(path)? {
        true => path.to_owned(),
        false => path.with_extension("new.md"),
    };
    ensure!(
        is_ours(&path)?,
        "{} was edited, as was the card that it was to replace; move one of them",
        path.display()
    );
    let write = || -> Result<()> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let mut part = tempfile::Builder::new()
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        part.write_all((text.to_owned() + &mark(text)).as_bytes())?;
        part.as_file().sync_all()?;
        part.persist(&path)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edited_cards_stay() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("own.md");
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        for text in ["first\n", "second\n"] {
            assert_eq!(write(&card, text).unwrap(), card);
            assert!(read(&card).starts_with(text));
        }
        let edited = read(&card).replace("second", "Data: my holidays, CC0");
        fs::write(&card, &edited).unwrap();
        for text in ["third\n", "fourth\n"] {
            let new = write(&card, text).unwrap();
            assert_eq!(new, folder.path().join("own.new.md"));
            assert!(read(&new).starts_with(text));
        }
        assert_eq!(read(&card), edited);
        fs::write(folder.path().join("own.new.md"), "edited too").unwrap();
        assert!(write(&card, "fifth\n").is_err());
        // A card of an earlier version has no mark.
        let older = folder.path().join("older.md");
        fs::write(&older, "# older\n").unwrap();
        assert_ne!(write(&older, "new\n").unwrap(), older);
        assert_eq!(read(&older), "# older\n");
    }
}
