//! What was made of a clip, with what: a small file beside the outputs, by which a finished clip is known again.

use super::list::Source;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of manifests and claims in the output folder.
pub const FOLDER: &str = ".refvsr";

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

/// How a clip ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done {
        frames: u64,
        seconds: f64,
        /// Recordings that lack frames, in words.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        damage: Vec<String>,
    },
    Failed {
        error: String,
    },
}

/// A clip's file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub clip: String,
    pub job: Job,
    pub outcome: Outcome,
}

impl Job {
    /// The job of a clip.
    pub fn of(source: &Source, model: &str, options: &[String]) -> Self {
        Self {
            model: model.to_owned(),
            options: options.to_vec(),
            inputs: source
                .inputs()
                .map(|path| (path.display().to_string(), size(path)))
                .collect(),
            output: source.output.display().to_string(),
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

impl Manifest {
    /// The file of a clip under the output folder.
    pub fn path(output: &Path, clip: &str) -> PathBuf {
        output.join(FOLDER).join(format!("{clip}.json"))
    }

    /// Reads a clip's; none where there is none that can be read.
    pub fn read(output: &Path, clip: &str) -> Option<Self> {
        serde_json::from_slice(&fs::read(Self::path(output, clip)).ok()?).ok()
    }

    /// Whether this very job was finished and what it wrote is still there.
    pub fn finished(&self, job: &Job) -> bool {
        self.job == *job
            && matches!(self.outcome, Outcome::Done { .. })
            && Path::new(&job.output).exists()
    }

    /// Which recordings lack frames.
    pub fn damage(&self) -> &[String] {
        match &self.outcome {
            Outcome::Done { damage, .. } => damage,
            Outcome::Failed { .. } => &[],
        }
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, output: &Path) -> Result<()> {
        let path = Self::path(output, &self.clip);
        let written = || format!("cannot write {}", path.display());
        let folder = path.parent().unwrap_or(output);
        fs::create_dir_all(folder).with_context(written)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).with_context(written)?;
        let mut text = serde_json::to_vec_pretty(self).with_context(written)?;
        text.push(b'\n');
        file.write_all(&text).with_context(written)?;
        file.as_file().sync_all().with_context(written)?;
        file.persist(&path).with_context(written)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_job_is_not_finished() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        for name in ["u", "w", "o"] {
            fs::write(file(name), name).unwrap();
        }
        let source = Source {
            name: "c".into(),
            ultrawide: file("u"),
            references: vec![(crate::transcode::options::Lens::Wide, file("w"))],
            output: file("o"),
        };
        let job = Job::of(&source, "m", &["--crf 20".into()]);
        let manifest = Manifest {
            clip: "c".into(),
            job: job.clone(),
            outcome: Outcome::Done {
                frames: 3,
                seconds: 1.5,
                damage: vec![],
            },
        };
        manifest.write(folder.path()).unwrap();
        let read = Manifest::read(folder.path(), "c").unwrap();
        assert_eq!(read, manifest);
        assert!(read.finished(&job));
        assert!(!read.finished(&Job::of(&source, "other", &["--crf 20".into()])));
        assert!(!read.finished(&Job::of(&source, "m", &[])));
        fs::write(file("w"), "longer").unwrap();
        assert!(!read.finished(&Job::of(&source, "m", &["--crf 20".into()])));
        fs::write(file("w"), "w").unwrap();
        fs::remove_file(file("o")).unwrap();
        assert!(!read.finished(&job));
        let failed = Outcome::Failed { error: "no".into() };
        assert!(
            !Manifest {
                outcome: failed,
                ..manifest
            }
            .finished(&job)
        );
    }
}
