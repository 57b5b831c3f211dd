//! A folder of frames in the making.
//!
//! Where there is no folder yet, the partial one gets its name in one step; a folder that this program made and in which nothing
//! else lies changes places with the new one. Any other folder (the user made it, something is mounted there, hidden files lie in
//! it) stays, and frames are moved into it one by one, after a manifest has said which will come: an interruption is made up for by
//! [`settle`].

use super::part::{self, Held};
use super::place::{Id, Place, is_mounted};
use super::prints::{Print, Written, entry};
use super::slot::Kind;
use super::{Writing, make_folder, rename, sync_folder, utf8};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What lies in a folder.
#[derive(Debug, Default)]
struct Survey {
    /// Names of this program's files.
    own: Vec<String>,
    /// There are hidden files of others.
    hidden: bool,
}

/// Looks at a folder.
///
/// # Errors
/// It holds something that this program did not write.
fn survey(place: &Place, own: &Written) -> Result<Survey> {
    let mut found = Survey::default();
    let part = part::within(place);
    for name in names(place.path(), place.shown())? {
        let path = place.path().join(&name);
        let known = name.to_str().filter(|name| own.names(name));
        if path == part {
            continue;
        }
        match known {
            Some(name) if own.owns(place.path(), name) => found.own.push(name.to_owned()),
            Some(name) => bail!(
                "{} has been changed since this program wrote it; move it or choose another folder",
                place.shown().join(name).display()
            ),
            None if name.as_encoded_bytes().starts_with(b".") || name == "lost+found" => {
                found.hidden = true;
            }
            None => bail!(
                "{} holds {}, which this program did not write; choose another folder",
                place.shown().display(),
                name.display()
            ),
        }
    }
    Ok(found)
}

fn names(folder: &Path, shown: &Path) -> Result<Vec<OsString>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", shown.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.writing(shown)?.file_name());
    }
    names.sort();
    Ok(names)
}

/// Fails where a folder may not be written.
pub fn check(place: &Place, overwrite: bool, own: &Written) -> Result<()> {
    let Ok(data) = fs::metadata(place.path()) else {
        return Ok(());
    };
    let shown = place.shown().display();
    ensure!(data.is_dir(), "{shown} is a file, not a folder");
    let found = survey(place, own)?;
    ensure!(
        overwrite || found.own.is_empty(),
        "{shown} is there already; --overwrite writes its frames anew"
    );
    Ok(())
}

/// How the frames get to their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Rename,
    Exchange,
    Move,
}

/// Frames in a partial folder, which is removed when this is dropped before they are finished.
#[derive(Debug)]
pub struct NewFolder {
    place: Place,
    part: PathBuf,
    held: Held,
    own: Written,
    how: How,
    /// Whatever happens, the rest is for the next run.
    settled: bool,
}

impl NewFolder {
    pub fn begin(place: &Place, own: &Written) -> Result<Self> {
        let how = match fs::metadata(place.path()) {
            Err(_) => How::Rename,
            Ok(_) => {
                let found = survey(place, own)?;
                let ours = own.made && !found.own.is_empty() && !found.hidden;
                match ours && !is_mounted(place.path()) {
                    true => How::Exchange,
                    false => How::Move,
                }
            }
        };
        let part = match how {
            How::Move => part::within(place),
            How::Rename | How::Exchange => part::beside(place),
        };
        make_folder(place.parent(), place.shown())?;
        let held = part::take(&part, Kind::Folder, place.shown())?;
        let new = Self {
            place: place.clone(),
            part,
            held,
            own: own.clone(),
            how,
            settled: false,
        };
        part::clear(&new.part).writing(place.shown())?;
        let left = names(&new.part, place.shown())?;
        ensure!(
            left.is_empty(),
            "{} holds other things than frames; move them away",
            new.part.display()
        );
        Ok(new)
    }

    pub fn path(&self) -> &Path {
        &self.part
    }

    pub fn is_locked(&self) -> bool {
        self.held.locked
    }

    pub fn finish(mut self, record: &mut dyn FnMut(&Written) -> Result<()>) -> Result<()> {
        let shown = self.place.shown().to_owned();
        let written = self.sync()?;
        if self.how == How::Rename && fs::symlink_metadata(self.place.path()).is_ok() {
            return Err(appeared(&shown));
        }
        if self.how == How::Exchange {
            // Another file may have come into the folder since.
            let found = survey(&self.place, &self.own)?;
            ensure!(!found.hidden, appeared(&shown));
        }
        record(&written)?;
        match self.how {
            How::Rename => match rename::without_replacing(&self.part, self.place.path()) {
                Err(error) if taken(&error) => return Err(appeared(&shown)),
                renamed => renamed.writing(&shown)?,
            },
            How::Exchange => {
                if rename::exchange(&self.part, self.place.path()).writing(&shown)? {
                    self.settled = true;
                    sync_folder(self.place.parent(), &shown)?;
                    give_back(&self.part, self.place.path(), &self.own).writing(&shown)?;
                    return part::remove_folder(&self.part).writing(&shown);
                }
                self.settled = true;
                return move_all(&self.place, &self.part, &written);
            }
            How::Move => {
                self.settled = true;
                return move_all(&self.place, &self.part, &written);
            }
        }
        self.settled = true;
        sync_folder(self.place.parent(), &shown)
    }

    /// Brings the frames to the disk, then their folder. What the manifest has to say.
    fn sync(&self) -> Result<Written> {
        let shown = self.place.shown();
        let mut written = Written {
            made: self.how != How::Move,
            ..Written::default()
        };
        for name in names(&self.part, shown)? {
            let path = self.part.join(&name);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .writing(shown)?;
            let print = Print::of(&path).writing(shown)?;
            written.files.insert(utf8(&name)?.to_owned(), print);
        }
        sync_folder(&self.part, shown)?;
        if self.how != How::Rename {
            for name in survey(&self.place, &self.own)?.own {
                let print = Print::of(&self.place.path().join(&name)).writing(shown)?;
                written.replaced.insert(name, print);
            }
        }
        Ok(written)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.settled {
            _ = part::remove_folder(&self.part);
        }
    }
}

fn taken(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::AlreadyExists | ErrorKind::DirectoryNotEmpty | ErrorKind::NotADirectory
    )
}

fn appeared(shown: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} has appeared or changed in the meantime and is left as it is",
        shown.display()
    )
}

/// Moves what came into an old folder at the last moment and is not this program's into the new one.
fn give_back(old: &Path, new: &Path, own: &Written) -> std::io::Result<()> {
    for found in fs::read_dir(old)? {
        let name = found?.file_name();
        if !name.to_str().is_some_and(|name| own.owns(old, name)) {
            rename::without_replacing(&old.join(&name), &new.join(&name))?;
        }
    }
    Ok(())
}

/// Moves frames from a partial folder to their place, and removes older ones of this program.
fn move_all(place: &Place, part: &Path, written: &Written) -> Result<()> {
    let (target, shown) = (place.path(), place.shown());
    for (name, print) in &written.files {
        let (from, to) = (part.join(name), target.join(name));
        if !print.matches(&from) {
            // It was moved before an interruption.
            continue;
        }
        let moved = match fs::symlink_metadata(&to) {
            Ok(_) if written.owns(target, name) => fs::rename(&from, &to),
            _ => rename::without_replacing(&from, &to),
        };
        match moved {
            Err(error) if taken(&error) => return Err(appeared(&shown.join(name))),
            moved => moved.writing(shown)?,
        }
    }
    for (name, print) in &written.replaced {
        let old = entry(target, name);
        if !written.files.contains_key(name) && print.matches(&old) {
            fs::remove_file(&old).writing(shown)?;
        }
    }
    sync_folder(target, shown)?;
    part::remove_folder(part).writing(shown)
}

/// Ends what an interruption left, where a manifest says what was to come and all of it is on the disk.
pub fn settle(place: &Place, written: &Written) -> Result<()> {
    if !place.path().is_dir() {
        return Ok(());
    }
    for part in [part::within(place), part::beside(place)] {
        if Id::at(&part).is_none() {
            continue;
        }
        let _held = part::take(&part, Kind::Folder, place.shown())?;
        let mut files = written.files.iter();
        let whole = files.all(|(name, print)| {
            let mut ways = [&part, place.path()].into_iter();
            ways.any(|folder| print.matches(&folder.join(name)))
        });
        if whole && !written.files.is_empty() {
            move_all(place, &part, written)?;
        }
    }
    Ok(())
}
