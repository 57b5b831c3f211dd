//! An output from before the work until it has its name.

use super::Writing;
use super::file::{self, NewFile};
use super::folder::{self, NewFolder};
use super::inputs::Inputs;
use super::part;
use super::place::{Id, Place};
use super::prints::Written;
use anyhow::Result;
use std::fs::File;
use std::io;
use std::path::Path;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    /// A folder of frames, `0000.png` and so on.
    Folder,
}

/// An output that may be written.
#[derive(Debug)]
pub struct Slot {
    place: Place,
    kind: Kind,
    overwrite: bool,
    own: Written,
    /// The file that is given up for it.
    old: Option<Id>,
}

impl Slot {
    /// Checks an output before any work. `own` is what a manifest says of it; what an interruption left there is ended first.
    ///
    /// # Errors
    /// One message that says why it may not be written.
    pub fn check(
        place: Place,
        kind: Kind,
        overwrite: bool,
        inputs: &Inputs,
        own: Written,
    ) -> Result<Self> {
        inputs.refuse(&place)?;
        match kind {
            Kind::File => file::check(&place, overwrite)?,
            Kind::Folder => {
                folder::settle(&place, &own)?;
                folder::check(&place, overwrite, &own)?;
            }
        }
        Ok(Self {
            kind,
            overwrite,
            own,
            old: Id::at(place.path()),
            place,
        })
    }

    /// A file that only this program writes.
    pub fn own_file(path: &Path) -> Result<Self> {
        let place = Place::find(path)?;
        Self::check(
            place,
            Kind::File,
            true,
            &Inputs::default(),
            Written::default(),
        )
    }

    /// Where it lies.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Begins to write it, under its partial name.
    ///
    /// # Errors
    /// The place cannot be written, or another process writes the same output.
    pub fn begin(&self) -> Result<Partial> {
        Ok(match self.kind {
            Kind::File => Partial::File(NewFile::begin(&self.place, self.old)?),
            Kind::Folder => {
                // Another process may have finished it since.
                folder::check(&self.place, self.overwrite, &self.own)?;
                Partial::Folder(NewFolder::begin(&self.place, &self.own)?)
            }
        })
    }
}

/// Whether some process writes an output at this moment.
pub fn is_being_written(place: &Place) -> bool {
    part::is_taken(&part::beside(place)) || part::is_taken(&part::within(place))
}

/// Whether an output is there as a manifest says.
pub fn is_finished(place: &Place, written: &Written) -> bool {
    written.is_there(place.path()) && !part::within(place).exists()
}

/// An output in the making. What is not finished is removed when this is dropped; what a killed process left is written over by the
/// next one.
#[derive(Debug)]
pub enum Partial {
    File(NewFile),
    Folder(NewFolder),
}

impl Partial {
    /// Where to write meanwhile.
    pub fn path(&self) -> &Path {
        match self {
            Self::File(file) => file.path(),
            Self::Folder(folder) => folder.path(),
        }
    }

    /// Whether no other process can write the same output meanwhile.
    pub fn is_locked(&self) -> bool {
        match self {
            Self::File(file) => file.is_locked(),
            Self::Folder(folder) => folder.is_locked(),
        }
    }

    /// Writes all of a file.
    pub fn write(&self, content: &[u8]) -> Result<()> {
        let shown = match self {
            Self::File(file) => file.shown(),
            Self::Folder(_) => self.path(),
        };
        std::fs::write(self.path(), content).writing(shown)
    }

    /// Changes a file that is written but for that.
    pub fn edit<T>(&self, change: impl FnOnce(&mut File) -> io::Result<T>) -> Result<T> {
        let shown = match self {
            Self::File(file) => file.shown(),
            Self::Folder(_) => self.path(),
        };
        let file = File::options().read(true).write(true).open(self.path());
        file.and_then(|mut file| change(&mut file)).writing(shown)
    }

    /// Gives it its name, once all of it is on the disk and `record` has noted what is to come.
    ///
    /// # Errors
    /// The disk is full; something has appeared in its place, which is left as it is.
    pub fn finish(self, record: &mut dyn FnMut(&Written) -> Result<()>) -> Result<()> {
        match self {
            Self::File(file) => file.finish(record),
            Self::Folder(folder) => folder.finish(record),
        }
    }
}
