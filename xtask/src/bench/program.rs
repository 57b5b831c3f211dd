//! The measuring program: how it is built, started and understood.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::project::Project;
use crate::run::{run, shown};

/// A case as the program lists it.
#[derive(Clone, Deserialize)]
pub struct Case {
    pub case: String,
    pub what: String,
    /// Frames that are measured in one run.
    pub frames: usize,
    /// Whether it is measured where no case is named.
    pub usual: bool,
    /// The forms it can be computed in here, the plain one first.
    pub forms: Vec<String>,
}

/// GFLOP/s of matrix products.
#[derive(Clone, Default, Deserialize, Serialize)]
pub struct Rates {
    pub fp32: f64,
    /// None where the processor has no instructions for it.
    pub bf16: Option<f64>,
}

/// One run of one form.
#[derive(Deserialize)]
pub struct Run {
    /// Seconds a frame.
    pub seconds: Vec<f64>,
    pub frames: usize,
    /// Processor time of all frames.
    pub user: f64,
    pub system: f64,
    pub peak_mib: f64,
    pub stages: Vec<Stage>,
    /// Operations of libtorch's, a frame. Programs of older checkouts do not tell.
    pub operations: Option<f64>,
    /// The longest time between two looks at the stopper, in seconds.
    pub longest_piece: Option<f64>,
}

/// What a stage takes, a frame.
#[derive(Clone, Deserialize, Serialize)]
pub struct Stage {
    pub name: String,
    pub seconds: f64,
    pub gflop: f64,
}

/// A built measuring program.
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// Builds this checkout's.
    pub fn build(project: &Project) -> Result<Self> {
        let words = ["build", "--release", "-p", "refvsr", "--example", "bench"];
        run(&mut project.cargo(&words))?;
        Ok(Self {
            path: project.target.join("release/examples/bench"),
        })
    }

    /// Another checkout's, which must have been built.
    pub fn of_checkout(folder: &Path) -> Result<Self> {
        let path = folder.join("target/release/examples/bench");
        ensure!(
            path.is_file(),
            "{} is not there; run `cargo build --release -p refvsr --example bench` in {}",
            path.display(),
            folder.display()
        );
        Ok(Self { path })
    }

    pub fn list(&self) -> Result<Vec<Case>> {
        self.answer(&["list"])
    }

    pub fn machine(&self) -> Result<Rates> {
        self.answer(&["machine"])
    }

    pub fn run(&self, case: &str, form: &str, footage: &Path, frames: usize) -> Result<Run> {
        let footage = footage.to_string_lossy();
        self.answer(&["run", case, form, &footage, &frames.to_string()])
    }

    fn answer<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let mut command = Command::new(&self.path);
        command.args(words).stderr(Stdio::inherit());
        let output = command
            .output()
            .with_context(|| format!("cannot start `{}`", shown(&command)))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("`{}` failed ({}): {text}", shown(&command), output.status);
        }
        serde_json::from_str(&text)
            .with_context(|| format!("`{}` answered {text:?}", shown(&command)))
    }
}
