//! A file in the making.

use super::part::{self, Held};
use super::place::{Id, Place, is_mounted};
use super::prints::{Print, Written};
use super::slot::Kind;
use super::{Writing, make_folder, rename, sync_folder};
use anyhow::{Result, anyhow, ensure};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Fails where a file may not be written.
pub fn check(place: &Place, overwrite: bool) -> Result<()> {
    let shown = place.shown().display();
    let Ok(data) = fs::metadata(place.path()) else {
        return Ok(());
    };
    ensure!(!data.is_dir(), "{shown} is a folder, not a file");
    ensure!(data.is_file(), "{shown} is no regular file");
    ensure!(
        !is_mounted(place.path()),
        "{shown} is mounted there, and no other file can take its place"
    );
    ensure!(
        overwrite,
        "{shown} is there already; --overwrite writes over it"
    );
    Ok(())
}

/// A file under its partial name, which is removed when this is dropped before it is finished.
#[derive(Debug)]
pub struct NewFile {
    place: Place,
    part: PathBuf,
    held: Held,
    /// The file that is given up for it.
    old: Option<Id>,
    finished: bool,
}

impl NewFile {
    pub fn begin(place: &Place, old: Option<Id>) -> Result<Self> {
        make_folder(place.parent(), place.shown())?;
        let part = part::beside(place);
        let held = part::take(&part, Kind::File, place.shown())?;
        let new = Self {
            place: place.clone(),
            part,
            held,
            old,
            finished: false,
        };
        // Another process may have finished it since.
        if Id::at(place.path()) != old {
            return Err(appeared(place.shown()));
        }
        // What a killed process left.
        new.held.file.set_len(0).writing(place.shown())?;
        Ok(new)
    }

    pub fn path(&self) -> &Path {
        &self.part
    }

    pub fn is_locked(&self) -> bool {
        self.held.locked
    }

    pub fn shown(&self) -> &Path {
        self.place.shown()
    }

    pub fn finish(mut self, record: &mut dyn FnMut(&Written) -> Result<()>) -> Result<()> {
        let (shown, target) = (self.place.shown().to_owned(), self.place.path().to_owned());
        // Some file systems only find out now that there is no room.
        self.held.file.sync_all().writing(&shown)?;
        let print = Print::of(&self.part).writing(&shown)?;
        record(&Written {
            files: [(String::new(), print)].into(),
            ..Written::default()
        })?;
        let named = match (self.old, Id::at(&target)) {
            (Some(old), Some(now)) if old == now => fs::rename(&self.part, &target),
            _ => rename::without_replacing(&self.part, &target),
        };
        match named {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(appeared(&shown));
            }
            named => named.writing(&shown)?,
        }
        self.finished = true;
        sync_folder(self.place.parent(), &shown)
    }
}

fn appeared(shown: &Path) -> anyhow::Error {
    anyhow!(
        "{} has appeared in the meantime and is left as it is",
        shown.display()
    )
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.finished {
            _ = fs::remove_file(&self.part);
        }
    }
}
