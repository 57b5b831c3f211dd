//! What was made of a clip, with what: a small file beside the outputs, by which a finished clip and its files are known again.

use crate::output::{self, MANIFESTS, Place, Written};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Longer names of clips are cut in the names of their manifests; file names have at most 255 bytes.
const LONGEST: usize = 200;

/// All that decides what comes out. Another job is done anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// SHA-256 of the model's file.
    pub model: String,
    /// Options, as on the command line.
    pub options: Vec<String>,
    /// Inputs and their bytes.
    pub inputs: Vec<(String, u64)>,
    /// Where it was written.
    pub output: String,
}

/// A finished output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    pub job: Job,
    pub frames: u64,
    pub seconds: f64,
    /// Recordings that lack frames, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
    pub written: Written,
}

/// A job that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    pub job: Job,
    pub error: String,
}

/// A clip's file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub clip: String,
    /// What lies in the output's place, whatever failed later.
    #[serde(default)]
    pub done: Option<Done>,
    #[serde(default)]
    pub failed: Option<Failed>,
}

impl Job {
    /// The job of a clip.
    pub fn of<'a>(
        inputs: impl IntoIterator<Item = &'a Path>,
        output: &Path,
        model: &str,
        options: &[String],
    ) -> Self {
        let inputs = inputs.into_iter();
        Self {
            model: model.to_owned(),
            options: options.to_vec(),
            inputs: inputs
                .map(|path| (path.display().to_string(), size(path)))
                .collect(),
            output: output.display().to_string(),
        }
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

/// A file of a clip in the folder of manifests under the output folder.
pub fn file(output: &Path, clip: &str, extension: &str) -> PathBuf {
    let mut name = clip.to_owned();
    if name.len() > LONGEST {
        let digest = Sha256::digest(clip);
        name.truncate(name.floor_char_boundary(LONGEST));
        name.extend(digest[..8].iter().map(|byte| format!("{byte:02x}")));
    }
    output.join(MANIFESTS).join(format!("{name}.{extension}"))
}

impl Manifest {
    /// Reads a clip's; an empty one where there is none that can be read.
    pub fn read(output: &Path, clip: &str) -> Self {
        let text = fs::read(file(output, clip, "json")).ok();
        let read: Option<Self> = text.and_then(|text| serde_json::from_slice(&text).ok());
        read.filter(|manifest| manifest.clip == clip)
            .unwrap_or_else(|| Self {
                clip: clip.to_owned(),
                ..Self::default()
            })
    }

    /// How this very job ended, where what it wrote is still there.
    pub fn finished(&self, job: &Job) -> Option<&Done> {
        let place = Place::find(Path::new(&job.output)).ok()?;
        let done = self.done.as_ref().filter(|done| done.job == *job)?;
        output::is_finished(&place, &done.written).then_some(done)
    }

    /// Why this very job failed.
    pub fn failed(&self, job: &Job) -> Option<&str> {
        let failed = self.failed.as_ref().filter(|failed| failed.job == *job)?;
        Some(&failed.error)
    }

    /// What is this program's in the output.
    pub fn written(&self) -> Written {
        let done = self.done.as_ref();
        done.map(|done| done.written.clone()).unwrap_or_default()
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, output: &Path) -> Result<()> {
        let path = file(output, &self.clip, "json");
        let mut text = serde_json::to_vec_pretty(self)
            .with_context(|| format!("cannot write {}", path.display()))?;
        text.push(b'\n');
        output::write_own(&path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Inputs, Kind, Slot};

    #[test]
    fn another_job_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["u", "w"] {
            fs::write(at(name), name).unwrap();
        }
        let inputs = [at("u"), at("w")];
        let of = |model: &str, options: &[&str]| {
            let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
            Job::of(
                inputs.iter().map(PathBuf::as_path),
                &at("o"),
                model,
                &options,
            )
        };
        let job = of("m", &["--crf 20"]);
        let place = Place::find(&at("o")).unwrap();
        let slot = Slot::check(
            place,
            Kind::File,
            false,
            &Inputs::default(),
            Written::default(),
        );
        let partial = slot.unwrap().begin().unwrap();
        fs::write(partial.path(), "out").unwrap();
        let mut manifest = Manifest::read(folder.path(), "c");
        partial
            .finish(&mut |written| {
                manifest.done = Some(Done {
                    job: job.clone(),
                    frames: 3,
                    seconds: 1.5,
                    damage: vec![],
                    written: written.clone(),
                });
                assert!(manifest.finished(&job).is_none(), "it has no name yet");
                manifest.write(folder.path())
            })
            .unwrap();
        let read = Manifest::read(folder.path(), "c");
        assert_eq!(read, manifest);
        assert!(read.finished(&job).is_some());
        let finished = |model: &str, options: &[&str]| read.finished(&of(model, options)).is_some();
        assert!(!finished("other", &["--crf 20"]));
        assert!(!finished("m", &[]));
        fs::write(at("w"), "longer").unwrap();
        assert!(!finished("m", &["--crf 20"]));
        fs::write(at("w"), "w").unwrap();
        fs::write(at("o"), "another film of the user's").unwrap();
        assert!(!finished("m", &["--crf 20"]));
    }

    #[test]
    fn names_of_manifests_are_never_too_long() {
        let names = ["日", "é", "x"].map(|letter| letter.repeat(255 / letter.len()));
        for name in names {
            let path = file(Path::new("out"), &name, "json");
            assert!(path.file_name().unwrap().len() < 240);
            let manifest = Manifest {
                clip: name,
                ..Manifest::default()
            };
            let folder = tempfile::tempdir().unwrap();
            manifest.write(folder.path()).unwrap();
            assert_eq!(Manifest::read(folder.path(), &manifest.clip), manifest);
        }
    }
}
