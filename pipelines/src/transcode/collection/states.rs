//! How far the work is: the manifests of all processes that share it.

use super::list::Source;
use super::work::Work;
use crate::output::{self, Place};
use crate::transcode::manifest::Done;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

/// What has become of a clip.
enum State {
    Done(Done),
    /// A process writes its output.
    Running,
    Failed(String),
    Left,
}

/// How `--list` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// One JSON object a line: clip, state, inputs, output, run (the arguments that do it)
    Json,
    /// A shell's command line for each clip that is not done
    Commands,
}

/// A clip in `--list`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    clip: &'a str,
    state: &'a str,
    inputs: BTreeMap<&'a str, &'a Path>,
    output: &'a Path,
    #[serde(skip_serializing_if = "Option::is_none")]
    frames: Option<u64>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    damage: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    run: &'a [String],
}

impl Work<'_> {
    fn state(&self, source: &Source) -> Result<State> {
        let (place, job) = (Place::find(&source.output)?, self.job(source));
        let ledger = self.ledger(source)?;
        Ok(if let Some(done) = ledger.finished(&place, &job) {
            State::Done(done)
        } else if output::is_being_written(&place) {
            State::Running
        } else if let Some(error) = ledger.failed(&job) {
            State::Failed(error)
        } else {
            State::Left
        })
    }

    /// Lists clips, with what does each of them: these arguments, and `--only`.
    pub fn list(&self, form: Form, sources: &[&Source], run: &[String]) -> Result<ExitCode> {
        let folder = std::env::current_dir().context("cannot find the folder of this process")?;
        for source in sources {
            let state = self.state(source)?;
            let mut run = run.to_vec();
            run.push(format!("--only={}", source.name));
            match form {
                Form::Commands if matches!(state, State::Done(_)) => (),
                Form::Commands => out!("{}", command(&folder, &run)?),
                Form::Json => {
                    let line = line(source, &state, &run);
                    out!("{}", serde_json::to_string(&line)?);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Sums up.
    pub fn status(&self, sources: &[&Source]) -> Result<ExitCode> {
        let (mut done, mut failed, mut now, mut left, mut frames, mut seconds) =
            (0, 0, 0, 0, 0, 0.0);
        for source in sources {
            match self.state(source)? {
                State::Done(finished) => {
                    for text in &finished.damage {
                        out!("{}: {text}", source.name);
                    }
                    done += 1;
                    frames += finished.frames;
                    seconds += finished.seconds;
                }
                State::Running => {
                    out!("{}: being worked on", source.name);
                    now += 1;
                }
                State::Failed(error) => {
                    out!("{}: {error}", source.name);
                    failed += 1;
                }
                State::Left => left += 1,
            }
        }
        out!(
            "{done} of {} clips finished ({frames} frames, {seconds:.0} s of work), {now} being worked on, {failed} failed, {left} left",
            sources.len()
        );
        Ok(if done == sources.len() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn line<'a>(source: &'a Source, state: &'a State, run: &'a [String]) -> Line<'a> {
    let references = source.references.iter();
    let others = references.map(|(lens, path)| (lens.name(), path.as_path()));
    let ultrawide = ("ultrawide", source.ultrawide.as_path());
    Line {
        clip: &source.name,
        state: match state {
            State::Done(_) => "done",
            State::Running => "running",
            State::Failed(_) => "failed",
            State::Left => "left",
        },
        inputs: std::iter::once(ultrawide).chain(others).collect(),
        output: &source.output,
        frames: match state {
            State::Done(done) => Some(done.frames),
            _ => None,
        },
        damage: match state {
            State::Done(done) => &done.damage,
            _ => &[],
        },
        error: match state {
            State::Failed(error) => Some(error),
            _ => None,
        },
        run,
    }
}

/// A line for a shell, which takes the place of its process.
fn command(folder: &Path, run: &[String]) -> Result<String> {
    let folder = folder
        .to_str()
        .context("the folder of this process is no UTF-8")?;
    let words = run.iter().map(String::as_str);
    let quote = |word: &str| shlex::try_quote(word).map(|word| word.into_owned());
    let line = words.map(quote).collect::<Result<Vec<_>, _>>();
    let line = line
        .context("a shell cannot be told such a name")?
        .join(" ");
    let line = format!("cd {} && exec {line}", quote(folder)?);
    anyhow::ensure!(
        !line.contains('\n'),
        "a name with a line break has no place in a list of commands: {line:?}"
    );
    Ok(line)
}
