//! A folder of files that are made one after the other.

use super::inputs::Inputs;
use super::part::{self, Held};
use super::place::Place;
use super::prints::Written;
use super::slot::{Kind, Partial, Slot};
use super::{MANIFESTS, Writing, make_folder, write_own};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Files by name. One that is there needs `--overwrite`, unless a manifest says that this program wrote it.
#[derive(Debug)]
pub struct Shelf<'a> {
    folder: &'a Path,
    overwrite: bool,
    inputs: Inputs,
    written: Written,
    work: PathBuf,
    /// The folder of what is needed meanwhile.
    _held: Held,
}

impl<'a> Shelf<'a> {
    /// Makes the folder where it is missing, and checks that files of these names may be written.
    pub fn open(
        folder: &'a Path,
        names: &[String],
        overwrite: bool,
        inputs: Inputs,
    ) -> Result<Self> {
        let manifests = folder.join(MANIFESTS);
        make_folder(&manifests, folder)?;
        let work = manifests.join("work.part");
        let held = part::take(&work, Kind::Folder, folder)?;
        clear(&work).writing(folder)?;
        let text = fs::read(manifest(folder)).unwrap_or_default();
        let shelf = Self {
            folder,
            overwrite,
            inputs,
            written: serde_json::from_slice(&text).unwrap_or_default(),
            work,
            _held: held,
        };
        for name in names {
            shelf.slot(name)?;
        }
        Ok(shelf)
    }

    /// Where a file lies once it is finished.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A folder for what is needed meanwhile.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Begins a file, under its partial name.
    pub fn begin(&self, name: &str) -> Result<Partial> {
        self.slot(name)?.begin()
    }

    /// Gives a file its name.
    pub fn finish(&mut self, name: &str, file: Partial) -> Result<()> {
        file.finish(&mut |written| {
            for print in written.files.values() {
                let old = self.written.files.insert(name.to_owned(), print.clone());
                self.written
                    .replaced
                    .extend(old.map(|old| (name.to_owned(), old)));
            }
            let path = manifest(self.folder);
            let text = serde_json::to_vec_pretty(&self.written)
                .with_context(|| format!("cannot write {}", path.display()))?;
            write_own(&path, &text)
        })
    }

    fn slot(&self, name: &str) -> Result<Slot> {
        let overwrite = self.overwrite || self.written.owns(self.folder, name);
        let place = Place::find(&self.path(name))?;
        Slot::check(
            place,
            Kind::File,
            overwrite,
            &self.inputs,
            Written::default(),
        )
    }
}

impl Drop for Shelf<'_> {
    fn drop(&mut self) {
        _ = clear(&self.work).and_then(|()| fs::remove_dir(&self.work));
    }
}

fn manifest(folder: &Path) -> PathBuf {
    folder.join(MANIFESTS).join("shelf.json")
}

fn clear(work: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(work)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_others_need_overwrite_and_own_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a".to_owned(), "b".to_owned()];
        let open = |overwrite| Shelf::open(folder.path(), &names, overwrite, Inputs::default());
        for text in ["1", "2"] {
            let mut shelf = open(false).unwrap();
            assert!(open(false).is_err(), "one at a time");
            fs::write(shelf.work().join("raw"), "x").unwrap();
            let file = shelf.begin("a").unwrap();
            fs::write(file.path(), text).unwrap();
            shelf.finish("a", file).unwrap();
            assert_eq!(fs::read_to_string(shelf.path("a")).unwrap(), text);
        }
        assert!(!folder.path().join(MANIFESTS).join("work.part").exists());
        fs::write(folder.path().join("b"), "another's").unwrap();
        let message = open(false).unwrap_err().to_string();
        assert!(
            message.contains("b is there already; --overwrite"),
            "{message}"
        );
        fs::remove_file(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("a"), "changed by the user").unwrap();
        assert!(open(false).is_err() && open(true).is_ok());
    }
}
