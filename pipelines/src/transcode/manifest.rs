//! What was made of a clip, with what: a small file beside the outputs, by which a finished clip and its files are known again.

use crate::output::{self, MANIFESTS, Place, Slot, Written};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longer names of outputs are cut in the names of their manifests; file names have at most 255 bytes.
const LONGEST: usize = 200;

/// All that decides what comes out. Another job is done anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// SHA-256 of the model's file.
    pub model: String,
    /// Options, as on the command line.
    pub options: Vec<String>,
    /// Inputs, without links, and their bytes.
    pub inputs: Vec<(String, u64)>,
}

/// A finished output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub job: Job,
    /// Where it was written.
    #[serde(default)]
    pub output: String,
    pub frames: u64,
    pub seconds: f64,
    /// Recordings that lack frames, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
    pub written: Written,
}

/// A job that cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub job: Job,
    pub error: String,
}

impl Job {
    /// The job of a clip.
    pub fn of<'a>(
        inputs: impl IntoIterator<Item = &'a Path>,
        model: &str,
        options: &[String],
    ) -> Self {
        let named = |path: &Path| {
            let real = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
            let real = real.unwrap_or_else(|_| path.to_owned());
            (real.display().to_string(), size(path))
        };
        Self {
            model: model.to_owned(),
            options: options.to_vec(),
            inputs: inputs.into_iter().map(named).collect(),
        }
    }

    /// How this job is other than another one, in words: it was made with ….
    pub fn differs_from(&self, other: &Self) -> String {
        let only = |a: &Self, b: &Self| {
            let lacks = |option: &&String| !b.options.contains(option);
            let options: Vec<_> = a.options.iter().filter(lacks).cloned().collect();
            Some(options.join(", ")).filter(|options| !options.is_empty())
        };
        let options = match (only(self, other), only(other, self)) {
            (Some(own), _) => Some(format!("\"{own}\"")),
            (None, lacking) => lacking.map(|lacking| format!("no \"{lacking}\"")),
        };
        let model = (self.model != other.model).then(|| "another model".to_owned());
        let inputs = (self.inputs != other.inputs).then(|| "other inputs".to_owned());
        let words: Vec<_> = [model, inputs, options].into_iter().flatten().collect();
        words.join(", ")
    }
}

/// Bytes of a file, or of all files of a folder; 0 for what is not there.
fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::metadata(path).map_or(0, |data| data.len());
    };
    entries
        .flatten()
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}

/// Where is written what became of an output.
#[derive(Debug, Clone)]
pub struct Ledger {
    done: PathBuf,
    failed: PathBuf,
}

impl Ledger {
    /// Of the output `name` in `folder`; the name may lead through several folders.
    pub fn of(folder: &Path, name: &Path) -> Self {
        let base = folder.join(MANIFESTS).join(name);
        let short = short(base.file_name().unwrap_or_default());
        let file = |extension: &str| {
            let mut name = short.clone();
            name.push(extension);
            base.with_file_name(name)
        };
        Self {
            done: file(".json"),
            failed: file(".error"),
        }
    }

    /// What lies in the output's place, whatever failed later; none where nothing is written that can be read.
    pub fn done(&self) -> Option<Done> {
        read::<Page>(&self.done)?.done
    }

    /// What is this program's in the output.
    pub fn written(&self) -> Written {
        self.done().map(|done| done.written).unwrap_or_default()
    }

    /// Fails where it could not be written when the work is done.
    pub fn check(&self) -> Result<()> {
        Slot::own_file(&self.done).map(|_| ())
    }

    /// How this very job ended, where what it wrote is still there.
    pub fn finished(&self, place: &Place, job: &Job) -> Option<Done> {
        let done = self.done().filter(|done| done.job == *job)?;
        output::is_finished(place, &done.written).then_some(done)
    }

    /// Why this very job failed.
    pub fn failed(&self, job: &Job) -> Option<String> {
        let failed = read::<Failed>(&self.failed)?;
        (failed.job == *job).then_some(failed.error)
    }

    /// Writes what is done, before the output gets its name.
    pub fn write_done(&self, done: Done) -> Result<()> {
        write(&self.done, &Page { done: Some(done) })?;
        output::remove_own(&self.failed)
    }

    /// Writes why a job failed.
    pub fn write_failed(&self, failed: &Failed) -> Result<()> {
        write(&self.failed, failed)
    }
}

/// What is in a file of what is done.
#[derive(Debug, Serialize, Deserialize)]
struct Page {
    done: Option<Done>,
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a file, whole or not at all.
fn write(path: &Path, content: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(content)
        .with_context(|| format!("cannot write {}", path.display()))?;
    text.push(b'\n');
    output::write_own(path, &text)
}

/// A name that leaves room for an ending.
fn short(name: &OsStr) -> OsString {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let digest = Sha256::digest(name.as_bytes());
    let mut text = name.to_string_lossy().into_owned();
    text.truncate(text.floor_char_boundary(LONGEST));
    text.extend(digest[..8].iter().map(|byte| format!("{byte:02x}")));
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Inputs, Kind};

    #[test]
    fn another_job_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["u", "w"] {
            fs::write(at(name), name).unwrap();
        }
        let of = |model: &str, options: &[&str], folder: &Path| {
            let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
            let inputs = ["u", "w"].map(|name| folder.join(name));
            Job::of(inputs.iter().map(PathBuf::as_path), model, &options)
        };
        let job = of("m", &["crf 20"], folder.path());
        let place = Place::find(&at("o")).unwrap();
        let slot = Slot::check(
            place.clone(),
            Kind::File,
            false,
            &Inputs::default(),
            Written::default(),
        );
        let partial = slot.unwrap().begin().unwrap();
        fs::write(partial.path(), "out").unwrap();
        let ledger = Ledger::of(folder.path(), Path::new("o"));
        let failed = Failed {
            job: job.clone(),
            error: "no disk".into(),
        };
        ledger.write_failed(&failed).unwrap();
        assert_eq!(ledger.failed(&job).as_deref(), Some("no disk"));
        assert_eq!(ledger.failed(&of("m", &[], folder.path())), None);
        partial
            .finish(&mut |written| {
                ledger.write_done(Done {
                    job: job.clone(),
                    output: "o".into(),
                    frames: 3,
                    seconds: 1.5,
                    damage: vec![],
                    written: written.clone(),
                })?;
                assert!(
                    ledger.finished(&place, &job).is_none(),
                    "it has no name yet"
                );
                Ok(())
            })
            .unwrap();
        assert_eq!(ledger.finished(&place, &job).unwrap().frames, 3);
        assert_eq!(ledger.failed(&job), None, "that was before");
        let finished = |job: &Job| ledger.finished(&place, job).is_some();
        assert!(!finished(&of("other", &["crf 20"], folder.path())));
        assert!(!finished(&of("m", &[], folder.path())));
        std::os::unix::fs::symlink(folder.path(), at("link")).unwrap();
        assert!(finished(&of("m", &["crf 20"], &at("link/link"))));
        fs::write(at("w"), "longer").unwrap();
        assert!(!finished(&of("m", &["crf 20"], folder.path())));
        fs::write(at("w"), "w").unwrap();
        fs::write(at("o"), "another film of the user's").unwrap();
        assert!(!finished(&job));
    }

    #[test]
    fn what_differs_is_told() {
        let job = |model: &str, options: &[&str]| Job {
            model: model.into(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            inputs: vec![],
        };
        let plain = job("a", &["framerate 30/1"]);
        let said = |earlier: &Job| earlier.differs_from(&plain);
        assert_eq!(said(&job("b", &["framerate 30/1"])), "another model");
        let crf = job("a", &["framerate 30/1", "crf 18"]);
        assert_eq!(said(&crf), "\"crf 18\"");
        assert_eq!(said(&job("b", &[])), "another model, no \"framerate 30/1\"");
        assert_eq!(said(&job("a", &["framerate 25/1"])), "\"framerate 25/1\"");
    }

    #[test]
    fn names_of_manifests_are_never_too_long() {
        let names = ["日", "é", "x"].map(|letter| letter.repeat(255 / letter.len()));
        for name in names {
            let folder = tempfile::tempdir().unwrap();
            let ledger = Ledger::of(folder.path(), &Path::new("test/HR").join(&name));
            assert!(ledger.done.file_name().unwrap().len() < 240);
            let failed = Failed {
                job: Job::of([], "m", &[]),
                error: "e".into(),
            };
            ledger.write_failed(&failed).unwrap();
            assert!(ledger.failed(&failed.job).is_some() && ledger.done().is_none());
        }
    }
}
