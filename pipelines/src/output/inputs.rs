//! What is read, in whose place nothing is written.

use super::place::{Id, Place};
use anyhow::{Result, bail};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Inputs, known by device and inode. What is not there is told when it is opened.
#[derive(Debug, Default)]
pub struct Inputs {
    own: HashMap<Id, PathBuf>,
    /// The folders above each.
    above: HashMap<Id, PathBuf>,
}

impl Inputs {
    /// These files and folders.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let mut inputs = Self::default();
        for path in paths {
            inputs.add(path);
        }
        inputs
    }

    fn add(&mut self, path: &Path) {
        if let Some(id) = Id::at(path) {
            self.own.entry(id).or_insert_with(|| path.to_owned());
        }
        let Ok(real) = path.canonicalize() else {
            return;
        };
        for folder in real.ancestors().skip(1) {
            let Some(id) = Id::at(folder) else { continue };
            // All that is above a folder that is known is known as well.
            if self.above.insert(id, path.to_owned()).is_some() {
                break;
            }
        }
    }

    /// Adds the files in folders, which may be links into other folders.
    pub fn with_files(mut self) -> Self {
        let folders: Vec<PathBuf> = self.own.values().cloned().collect();
        for entry in folders
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten()
            .flatten()
        {
            self.add(&entry.path());
        }
        self
    }

    /// The input that a file is, if it is one.
    pub fn find(&self, path: &Path) -> Option<&Path> {
        Some(self.own.get(&Id::at(path)?)?)
    }

    /// Fails where an output is, holds or lies in an input.
    pub fn refuse(&self, output: &Place) -> Result<()> {
        let shown = output.shown().display();
        if let Some(input) = self.find(output.path()) {
            bail!(
                "{} is both read and written, which --overwrite does not allow either",
                input.display()
            )
        }
        if let Some(input) = Id::at(output.path()).and_then(|id| self.above.get(&id)) {
            bail!(
                "{shown} cannot be written: {}, which is read, lies in it; choose another place",
                input.display()
            )
        }
        let mut folders = output.path().ancestors().skip(1);
        if let Some(input) = folders.find_map(|folder| self.find(folder)) {
            bail!(
                "{shown} cannot be written: it lies in {}, which is read; choose another place",
                input.display()
            )
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn outputs_in_place_of_inputs_are_refused_however_they_are_spelt() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("trip/day1/UW")).unwrap();
        fs::write(path("trip/day1/UW/0000.png"), "x").unwrap();
        fs::write(path("trip/w.mp4"), "x").unwrap();
        symlink("trip", path("link")).unwrap();
        symlink("trip/day1/UW", path("uw")).unwrap();
        fs::hard_link(path("trip/w.mp4"), path("hard.mp4")).unwrap();
        let inputs = [path("uw"), path("trip/w.mp4")];
        let inputs = Inputs::of(inputs.iter().map(PathBuf::as_path)).with_files();
        let said = |name: &str| {
            let place = Place::find(&path(name)).unwrap();
            inputs.refuse(&place).err().map(|e| e.to_string())
        };
        for same in [
            "uw",
            "trip/day1/UW",
            "link/day1/../day1/UW/",
            "hard.mp4",
            "link/w.mp4",
        ] {
            assert!(
                said(same).unwrap().contains("both read and written"),
                "{same}"
            );
        }
        assert!(
            said("uw/0000.png")
                .unwrap()
                .contains("both read and written")
        );
        for above in ["trip", "link", "trip/day1", "."] {
            assert!(said(above).unwrap().contains("lies in it"), "{above}");
        }
        for below in ["uw/out", "link/day1/UW/a/b"] {
            assert!(said(below).unwrap().contains("it lies in"), "{below}");
        }
        for good in ["trip/out.mkv", "trip/day1/out", "other/trip"] {
            assert_eq!(said(good), None, "{good}");
        }
    }
}
