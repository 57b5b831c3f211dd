//! Files of results.

use super::Writing;
use super::inputs::Inputs;
use super::place::Place;
use super::prints::Written;
use super::slot::{Kind, Partial, Slot};
use anyhow::Result;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file of results: begun before the work, which a mistake in its name should not cost, and written at the end. An older one is
/// replaced as a whole.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    way: Way,
}

#[derive(Debug)]
enum Way {
    File(Partial),
    /// A pipe or device, such as `/dev/stdout`.
    Stream(File),
}

impl Report {
    /// Begins a file.
    ///
    /// # Errors
    /// It cannot be written, or is one of the inputs.
    pub fn begin(path: &Path, inputs: &Inputs) -> Result<Self> {
        let special = fs::metadata(path).is_ok_and(|data| !data.is_file() && !data.is_dir());
        let way = if special || path.starts_with("/dev") || path.starts_with("/proc") {
            Way::Stream(File::options().append(true).open(path).writing(path)?)
        } else {
            let (place, none) = (Place::find(path)?, Written::default());
            Way::File(Slot::check(place, Kind::File, true, inputs, none)?.begin()?)
        };
        Ok(Self {
            path: path.to_owned(),
            way,
        })
    }

    /// Begins those that are asked for.
    pub fn begin_all<const N: usize>(
        paths: [Option<&PathBuf>; N],
        inputs: &Inputs,
    ) -> Result<[Option<Self>; N]> {
        let mut reports = [const { None }; N];
        for (report, path) in reports.iter_mut().zip(paths) {
            *report = path.map(|path| Self::begin(path, inputs)).transpose()?;
        }
        Ok(reports)
    }

    /// Writes it.
    pub fn write(self, content: &[u8]) -> Result<()> {
        match self.way {
            Way::Stream(mut stream) => stream.write_all(content).writing(&self.path),
            Way::File(partial) => {
                partial.write(content)?;
                partial.finish(&mut |_| Ok(()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_file_stays_until_the_end_and_inputs_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "old").unwrap();
        let none = Inputs::default();
        drop(Report::begin(&path, &none).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let report = Report::begin(&path, &none).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert!(
            Report::begin(&path, &none).is_err(),
            "two reports of one name"
        );
        report.write(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let inputs = Inputs::of([path.as_path()]);
        assert!(Report::begin(&path, &inputs).is_err());
        Report::begin(Path::new("/dev/null"), &none)
            .unwrap()
            .write(b"x")
            .unwrap();
    }
}
