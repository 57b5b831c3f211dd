//! Many clips: which there are, which are finished, whose turn it is.

mod claim;
pub mod list;
mod manifest;
pub mod shard;

use super::job::{self, Clip, DiskFull, Target};
use super::options::Lens;
use super::report::Reporter;
use super::wishes::Options;
use crate::media::open;
use crate::stop::{Stop, Stopped};
use anyhow::{Context, Result, bail, ensure};
use claim::Claim;
use list::{Format, Source};
use manifest::{Job, Manifest, Outcome};
use shard::Shard;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of collections.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Collections")]
pub struct CollectionOptions {
    /// All clips of a split of RealMCVSR, or of data in its layout (SPLIT/DENSITY/{UW,W,T}/CLIP/0000.png)
    #[arg(long, value_name = "FOLDER", conflicts_with = "ultrawide")]
    pub tree: Option<PathBuf>,
    /// Which clips of --tree
    #[arg(long, default_value = "test", value_name = "SPLIT", requires = "tree")]
    pub split: String,
    /// Which frames of --tree: LRx4 is what models of scale 4 enlarge to the size of the truth, HR what 8K models do
    #[arg(long, default_value = "LRx4", value_name = "HR|LRx2|LRx4")]
    pub density: String,
    /// Use the tele camera of --tree too
    #[arg(long, requires = "tree")]
    pub with_tele: bool,
    /// All recordings of a folder whose names follow --pattern
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["ultrawide", "tree"])]
    pub folder: Option<PathBuf>,
    /// Names in --folder; a lens is UW, W or T, or ultrawide, wide or tele
    #[arg(long, default_value = "{clip}_{lens}.mp4", value_name = "PATTERN")]
    pub pattern: String,
    /// What is written [default: PNG for --tree, Matroska for --folder]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Do the Ith of N shares of the clips [default: as Slurm, Kubernetes or GNU parallel say]
    #[arg(long, value_name = "I/N", value_parser = shard::parse)]
    pub shard: Option<Shard>,
    /// How many shares there are, where the scheduler only says which one this is (Kubernetes, GNU parallel)
    #[arg(
        long,
        env = "REFVSR_SHARDS",
        value_name = "N",
        conflicts_with = "shard"
    )]
    pub shards: Option<usize>,
    /// After its own share, help with those of others
    #[arg(long)]
    pub steal: bool,
    /// Only say which clips are finished, worked on, failed or left
    #[arg(long)]
    pub status: bool,
}

impl CollectionOptions {
    /// Whether a collection was asked for.
    pub fn given(&self) -> bool {
        self.tree.is_some() || self.folder.is_some()
    }

    fn sources(&self, output: &Path) -> Result<(Vec<Source>, Format)> {
        match (&self.tree, &self.folder) {
            (Some(tree), _) => {
                let format = self.format.unwrap_or(Format::Png);
                let sources = list::tree(
                    tree,
                    &self.split,
                    &self.density,
                    self.with_tele,
                    output,
                    format,
                )?;
                Ok((sources, format))
            }
            (None, Some(folder)) => {
                let format = self.format.unwrap_or(Format::Mkv);
                Ok((
                    list::pattern(folder, &self.pattern, output, format)?,
                    format,
                ))
            }
            (None, None) => bail!("--tree or --folder has to say where the clips are"),
        }
    }
}

/// What is known before a clip's turn comes.
struct Work<'a> {
    output: &'a Path,
    format: Format,
    framerate: gst::Fraction,
    options: &'a Options,
    model: String,
    words: Vec<String>,
    stop: &'a Stop,
}

/// How a clip's turn ended.
enum Turn {
    Done,
    Skipped,
    /// Another process works on it.
    Taken,
    Failed,
}

/// Enlarges all clips that are this process's share.
pub fn run(
    collection: &CollectionOptions,
    output: &Path,
    options: &Options,
    framerate: gst::Fraction,
    json: bool,
    stop: &Stop,
) -> Result<ExitCode> {
    let (sources, format) = collection.sources(output)?;
    let work = Work {
        output,
        format,
        framerate,
        options,
        model: manifest::model(options.network.model.as_deref())?,
        words: options.words(),
        stop,
    };
    if collection.status {
        return work.status(&sources);
    }
    let variable = |name: &str| std::env::var(name).ok();
    let shard = match collection.shard {
        None => Shard::from_environment(collection.shards, variable)?,
        given => given,
    };
    let own = |place: &usize| shard.is_none_or(|shard| shard.has(*place));
    let (mut turns, others): (Vec<usize>, Vec<usize>) = (0..sources.len()).partition(own);
    if collection.steal {
        turns.extend(others);
    }
    let mut reporter = Reporter::new(json, turns.len());
    let (mut done, mut skipped, mut failed) = (0, 0, 0);
    let mut ended = None;
    for place in turns {
        match work.turn(&sources[place], &mut reporter) {
            Ok(Turn::Done) => done += 1,
            Ok(Turn::Skipped | Turn::Taken) => skipped += 1,
            Ok(Turn::Failed) => failed += 1,
            Err(error) => {
                // No other clip would fare better.
                reporter.failed(&sources[place].name, &error);
                failed += usize::from(!error.is::<Stopped>());
                ended = Some(error);
                break;
            }
        }
    }
    reporter.end(done, skipped, failed);
    Ok(match ended {
        Some(error) if error.is::<Stopped>() => ExitCode::from(crate::stop::EXIT_CODE),
        _ if failed > 0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

impl Work<'_> {
    /// One clip's turn. Fails only where no other clip's would go better.
    fn turn(&self, source: &Source, reporter: &mut Reporter) -> Result<Turn> {
        self.stop.check()?;
        let job = Job::of(source, &self.model, &self.words);
        let finished = || {
            Manifest::read(self.output, &source.name)
                .is_some_and(|manifest| manifest.finished(&job))
        };
        if finished() {
            reporter.skipped(&source.name);
            return Ok(Turn::Skipped);
        }
        let Some(claim) = Claim::take(self.output, &source.name)? else {
            reporter.skipped(&source.name);
            return Ok(Turn::Taken);
        };
        // Whoever had the claim before may have finished it.
        if finished() {
            reporter.skipped(&source.name);
            return Ok(Turn::Skipped);
        }
        let start = std::time::Instant::now();
        let result = self
            .clip(source)
            .and_then(|clip| job::run(&clip, self.options, reporter, self.stop));
        let (turn, outcome) = match result {
            Ok(frames) => {
                let seconds = start.elapsed().as_secs_f64();
                (Turn::Done, Outcome::Done { frames, seconds })
            }
            Err(error) if error.is::<Stopped>() || error.is::<DiskFull>() => return Err(error),
            Err(error) => {
                reporter.failed(&source.name, &error);
                let error = format!("{error:#}");
                (Turn::Failed, Outcome::Failed { error })
            }
        };
        let manifest = Manifest {
            clip: source.name.clone(),
            job,
            outcome,
        };
        manifest.write(self.output)?;
        drop(claim);
        Ok(turn)
    }

    /// Opens a clip's files.
    fn clip(&self, source: &Source) -> Result<Clip> {
        let target = self.format.target(source.output.clone())?;
        let sound = matches!(target, Target::Video(..));
        let ultrawide = open(&source.ultrawide, self.framerate, sound, self.stop)?;
        let mut references = Vec::new();
        for (lens, path) in &source.references {
            let footage = open(path, self.framerate, false, self.stop).with_context(|| {
                format!("clip {} has no {} recording", source.name, lens.name())
            })?;
            self.same_length(&ultrawide, &footage, *lens)?;
            references.push((*lens, footage));
        }
        Ok(Clip {
            name: source.name.clone(),
            ultrawide,
            references,
            output: target,
        })
    }

    /// Pictures of all cameras are numbered alike; where some are missing the user has to say what stands in for them.
    fn same_length(
        &self,
        ultrawide: &crate::media::Footage,
        other: &crate::media::Footage,
        lens: Lens,
    ) -> Result<()> {
        let said = self
            .options
            .network
            .properties
            .iter()
            .any(|(name, _)| name == "on-missing-reference");
        let (Some(a), Some(b), false) = (ultrawide.pictures(), other.pictures(), said) else {
            return Ok(());
        };
        ensure!(
            a.files().len() == b.files().len(),
            "{} has {} frames, {} has {} ({} camera; --set on-missing-reference=repeat uses the last one again)",
            a.path().display(),
            a.files().len(),
            b.path().display(),
            b.files().len(),
            lens.name()
        );
        Ok(())
    }

    /// Sums up the manifests of all shares.
    fn status(&self, sources: &[Source]) -> Result<ExitCode> {
        let (mut done, mut failed, mut now, mut left, mut frames, mut seconds) =
            (0, 0, 0, 0, 0, 0.0);
        for source in sources {
            let job = Job::of(source, &self.model, &self.words);
            let manifest =
                Manifest::read(self.output, &source.name).filter(|manifest| manifest.job == job);
            match manifest.map(|manifest| (manifest.finished(&job), manifest.outcome)) {
                _ if Claim::is_taken(self.output, &source.name) => {
                    println!("{}: being worked on", source.name);
                    now += 1;
                }
                Some((
                    true,
                    Outcome::Done {
                        frames: n,
                        seconds: s,
                    },
                )) => {
                    done += 1;
                    frames += n;
                    seconds += s;
                }
                Some((_, Outcome::Failed { error })) => {
                    println!("{}: {error}", source.name);
                    failed += 1;
                }
                _ => left += 1,
            }
        }
        println!(
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
