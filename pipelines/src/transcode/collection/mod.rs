//! Many clips: which there are, which are finished, whose turn it is.

mod claim;
pub mod list;
pub mod shard;
mod status;

use super::Ways;
use super::job::{self, Clip, Target};
use super::keeper::Keeper;
use super::manifest::{Done, Failed, Job, Manifest};
use super::options::Lens;
use super::report::{Count, Reporter};
use super::wishes::Options;
use crate::media::{Take, open};
use crate::output::{DiskFull, Inputs, Place, Slot, Written};
use crate::stop::{Stop, Stopped};
use anyhow::{Context, Result, bail, ensure};
use claim::Claim;
use list::{Format, Source};
use refvsr::DeviceChoice;
use shard::Shard;
use std::cell::OnceCell;
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
    ways: &'a Ways,
    options: &'a Options,
    model: String,
    words: Vec<String>,
    stop: &'a Stop,
    /// Loaded before the first clip that is to be done.
    keeper: OnceCell<Keeper>,
}

/// How a clip's turn ended.
enum Turn {
    Done(Vec<String>),
    /// It was finished before; its recordings lack these frames.
    Skipped(Vec<String>),
    /// Another process works on it.
    Taken,
    Failed,
}

/// Enlarges all clips that are this process's share.
pub fn run(
    collection: &CollectionOptions,
    output: &Path,
    options: &Options,
    ways: &Ways,
    stop: &Stop,
) -> Result<ExitCode> {
    let (sources, format) = collection.sources(output)?;
    refuse_inputs(collection, &sources, output)?;
    let device = options.network.device.parse::<DeviceChoice>()?.resolve()?;
    let work = Work {
        output,
        format,
        ways,
        options,
        model: options.network.model.digest(device)?,
        words: options.words(),
        stop,
        keeper: OnceCell::new(),
    };
    if collection.status {
        return work.status(&sources);
    }
    // No clip would do with another encoder or property than these.
    super::graph::element(&options.network)?;
    if let Target::Video(_, container) = format.target(format.path(output, "clip"))? {
        super::encoder::choose(&options.encoder, container.default_codec())
            .with_context(|| format!("cannot write into {}", output.display()))?;
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
    let mut reporter = Reporter::new(ways.json, turns.len());
    let mut count = Count::default();
    let mut ended = None;
    for place in turns {
        let name = &sources[place].name;
        let damage = match work.turn(&sources[place], &mut reporter) {
            Ok(Turn::Done(damage)) => {
                count.done += 1;
                damage
            }
            Ok(Turn::Skipped(damage)) => {
                count.skipped += 1;
                damage
            }
            Ok(Turn::Taken) => {
                count.skipped += 1;
                vec![]
            }
            Ok(Turn::Failed) => {
                count.failed += 1;
                vec![]
            }
            Err(error) => {
                // No other clip would fare better.
                reporter.failed(name, &error);
                count.failed += usize::from(!error.is::<Stopped>());
                ended = Some(error);
                break;
            }
        };
        if !damage.is_empty() {
            count.damaged += 1;
            reporter.damaged(name, &damage);
        }
    }
    reporter.end(count);
    let lacking = count.damaged > 0 && !options.accept_missing;
    Ok(match ended {
        Some(error) if error.is::<Stopped>() => ExitCode::from(crate::stop::EXIT_CODE),
        _ if count.failed > 0 || lacking => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

/// Fails where an output lies in the place of what is read, above or below it, before any work.
fn refuse_inputs(collection: &CollectionOptions, sources: &[Source], output: &Path) -> Result<()> {
    if let Some(tree) = &collection.tree {
        let (tree, place) = (Inputs::of([tree.as_path()]), Place::find(output)?);
        let mut folders = place.path().ancestors();
        if let Some(tree) = folders.find_map(|folder| tree.find(folder)) {
            bail!(
                "{} cannot be written: it lies in the data set {}, whose ground truth has the same names; choose another folder",
                output.display(),
                tree.display()
            )
        }
    }
    let inputs = Inputs::of(sources.iter().flat_map(Source::inputs));
    for source in sources {
        inputs
            .refuse(&Place::find(&source.output)?)
            .with_context(|| format!("clip {}", source.name))?;
    }
    Ok(())
}

impl Work<'_> {
    /// One clip's turn. Fails only where no other clip's would go better.
    fn turn(&self, source: &Source, reporter: &mut Reporter) -> Result<Turn> {
        self.stop.check()?;
        let job = self.job(source);
        if let Some(turn) = self.finished(source, &job, reporter) {
            return Ok(turn);
        }
        let Some(_claim) = Claim::take(self.output, &source.name)? else {
            reporter.skipped(&source.name);
            return Ok(Turn::Taken);
        };
        // Whoever had the claim before may have finished it.
        if let Some(turn) = self.finished(source, &job, reporter) {
            return Ok(turn);
        }
        let mut manifest = Manifest::read(self.output, &source.name);
        let slot = match self.slot(source, &manifest) {
            Ok(slot) => slot,
            Err(error) => {
                reporter.failed(&source.name, &error);
                return Ok(Turn::Failed);
            }
        };
        // The check has ended what an interruption left.
        if let Some(turn) = self.finished(source, &job, reporter) {
            return Ok(turn);
        }
        self.load()?;
        let start = std::time::Instant::now();
        let result = self.clip(source, slot).and_then(|clip| {
            let record = &mut |finished: &job::Finished, written: &_| {
                manifest.failed = None;
                manifest.done = Some(Done {
                    job: job.clone(),
                    frames: finished.frames,
                    seconds: start.elapsed().as_secs_f64(),
                    damage: finished.damage.clone(),
                    written: Written::clone(written),
                });
                manifest.write(self.output)
            };
            job::run(&clip, self.options, reporter, self.stop, record)
        });
        match result {
            Ok(finished) => Ok(Turn::Done(finished.damage)),
            Err(error) if error.is::<Stopped>() || error.is::<DiskFull>() => Err(error),
            Err(error) => {
                reporter.failed(&source.name, &error);
                // As it lies there: what was finished before stays known.
                let mut manifest = Manifest::read(self.output, &source.name);
                let error = format!("{error:#}");
                manifest.failed = Some(Failed { job, error });
                manifest.write(self.output)?;
                Ok(Turn::Failed)
            }
        }
    }

    /// A clip's job.
    fn job(&self, source: &Source) -> Job {
        Job::of(source.inputs(), &source.output, &self.model, &self.words)
    }

    /// The turn of a clip that this very job has finished.
    fn finished(&self, source: &Source, job: &Job, reporter: &mut Reporter) -> Option<Turn> {
        let manifest = Manifest::read(self.output, &source.name);
        let done = manifest.finished(job)?;
        reporter.skipped(&source.name);
        Some(Turn::Skipped(done.damage.clone()))
    }

    /// The place of a clip's output, if it may be written.
    fn slot(&self, source: &Source, manifest: &Manifest) -> Result<Slot> {
        let kind = self.format.target(source.output.clone())?.kind();
        let place = Place::find(&source.output)?;
        let mut inputs = Inputs::of(source.inputs());
        if place.path().exists() {
            inputs = inputs.with_files();
        }
        let overwrite = self.ways.overwrite;
        Slot::check(place, kind, overwrite, &inputs, manifest.written())
            .with_context(|| format!("clip {}", source.name))
    }

    /// Loads the model, once.
    fn load(&self) -> Result<()> {
        if self.keeper.get().is_none() {
            let keeper = Keeper::load(&self.options.network)?;
            _ = self.keeper.set(keeper);
        }
        Ok(())
    }

    /// Opens a clip's files.
    fn clip(&self, source: &Source, slot: Slot) -> Result<Clip> {
        let target = self.format.target(source.output.clone())?;
        let take = target.takes(self.options.no_sound);
        let ultrawide = open(&source.ultrawide, self.ways.framerate, take, self.stop)?;
        let mut references = Vec::new();
        for (lens, path) in &source.references {
            let footage = open(path, self.ways.framerate, Take::default(), self.stop)
                .with_context(|| {
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
            slot,
        })
    }

    /// Pictures of all cameras are numbered alike; where some are missing the user has to say what stands in for them.
    fn same_length(
        &self,
        ultrawide: &crate::media::Footage,
        other: &crate::media::Footage,
        lens: Lens,
    ) -> Result<()> {
        let said = self.options.has_stand_in();
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
}
