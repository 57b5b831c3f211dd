//! Many clips: which there are, which are finished, whose turn it is.

mod auto;
mod crew;
pub mod list;
mod names;
pub mod shard;
mod states;
mod work;

use super::Ways;
use super::graph;
use super::job::Target;
use super::report::Reporter;
use super::turn::{Sum, Turn};
use super::wishes::Options;
use super::worker;
use crate::output::{Inputs, Place};
use crate::stop::Stop;
use anyhow::{Context, Result, anyhow, bail};
use auto::Auto;
use crew::Crew;
use list::{Format, Source};
use shard::Shard;
use states::Form;
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use work::Work;

/// Options of collections.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Collections")]
pub struct CollectionOptions {
    /// All clips of a split of RealMCVSR, or of data in its layout (SPLIT/DENSITY/{UW,W,T}/CLIP/0000.png)
    #[arg(
        long,
        value_name = "FOLDER",
        group = "clips",
        conflicts_with = "ultrawide"
    )]
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
    #[arg(
        long,
        value_name = "FOLDER",
        group = "clips",
        conflicts_with = "ultrawide"
    )]
    pub folder: Option<PathBuf>,
    /// Names in --folder; a lens is UW, W or T, or ultrawide, wide or tele
    #[arg(long, default_value = "{clip}_{lens}.mp4", value_name = "PATTERN")]
    pub pattern: String,
    /// What is written [default: PNG for --tree, Matroska for --folder]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,
    /// Only this clip; may be repeated
    #[arg(long, value_name = "CLIP", requires = "clips")]
    pub only: Vec<String>,
    /// Only the Ith of N shares of the clips: every Nth one
    #[arg(long, value_name = "I/N", value_parser = shard::parse, requires = "clips", conflicts_with = "only")]
    pub shard: Option<Shard>,
    /// Only list the clips, with their states and what does each of them
    #[arg(
        long,
        value_name = "FORM",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "json",
        requires = "clips",
        conflicts_with = "status"
    )]
    pub list: Option<Form>,
    /// Only say how many clips are finished, worked on, failed or left
    #[arg(long, requires = "clips")]
    pub status: bool,
    /// What auto stands for, model=light or precision=bf16, so that all processes of a job agree (--list says it)
    #[arg(long, value_name = "NAME=VALUE", value_parser = super::options::pair, requires = "clips")]
    pub auto: Vec<(String, String)>,
}

impl CollectionOptions {
    /// Whether a collection was asked for.
    pub fn given(&self) -> bool {
        self.tree.is_some() || self.folder.is_some()
    }

    /// Those of the clips that are asked for.
    fn choose<'a>(&self, all: &'a [Source]) -> Result<Vec<&'a Source>> {
        for name in &self.only {
            if !all.iter().any(|source| source.name == *name) {
                bail!("there is no clip {name} (--only); --list names those that there are")
            }
        }
        let named = |source: &Source| self.only.is_empty() || self.only.contains(&source.name);
        let shared = |place| self.shard.is_none_or(|shard| shard.has(place));
        let all = all.iter().enumerate();
        Ok(all
            .filter(|(place, source)| shared(*place) && named(source))
            .map(|(_, source)| source)
            .collect())
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

/// Enlarges all clips that are asked for.
pub fn run(
    collection: &CollectionOptions,
    output: &Path,
    options: &Options,
    ways: &Ways,
    stop: &Stop,
) -> Result<ExitCode> {
    let (all, format) = collection.sources(output)?;
    let chosen = collection.choose(&all)?;
    refuse_inputs(collection, &all, &chosen, output)?;
    let auto = Auto::of(&options.network, &collection.auto)?;
    let words = options.words();
    let options = &Options {
        network: auto.apply(&options.network),
        ..options.clone()
    };
    let work = Work {
        output,
        format,
        overwrite: ways.overwrite,
        options,
        // Whatever the device is: `auto` is no more.
        model: options.network.model.digest(tch::Device::Cpu)?,
        words,
        stop,
        keeper: OnceCell::new(),
    };
    if let Some(form) = collection.list {
        return work.list(form, &chosen, &arguments(&auto)?);
    }
    if collection.status {
        return work.status(&chosen);
    }
    if ways.worker {
        worker::serve(stop, |name, reporter| {
            match chosen.iter().find(|source| source.name == name) {
                Some(source) => work.turn(source, reporter),
                None => {
                    reporter.failed(name, &anyhow!("clip {name} has gone"));
                    Turn::Failed { again: false }
                }
            }
        });
        return Ok(ExitCode::SUCCESS);
    }
    // No clip would do with another encoder or property than these.
    graph::element(&options.network)?;
    if let Target::Video(_, container) = format.target(format.path(output, "clip"))? {
        super::encoder::choose(&options.encoder, container.default_codec())
            .with_context(|| format!("cannot write into {}", output.display()))?;
    }
    let mut reporter = Reporter::new(ways.json, chosen.len());
    let (mut sum, mut crew) = (Sum::default(), Crew::new(&work, auto.arguments()));
    for source in chosen {
        sum.add(crew.turn(source, &mut reporter));
        if sum.ended {
            break;
        }
    }
    drop(crew);
    reporter.end(sum.count);
    Ok(ExitCode::from(sum.exit_code(options.accept_missing)))
}

/// This process's command line without what chooses clips or lists them, and with what `auto` stands for.
fn arguments(auto: &Auto) -> Result<Vec<String>> {
    let mut all = std::env::args_os().map(|word| {
        let word = word.into_string();
        word.map_err(|word| anyhow!("cannot list: {} is no UTF-8", word.display()))
    });
    let program = all.next().context("a process without a name")??;
    let mut arguments = vec![match program.contains('/') {
        true => std::path::absolute(&program)?.display().to_string(),
        false => program,
    }];
    while let Some(word) = all.next() {
        let word = word?;
        let (name, value) = word
            .split_once('=')
            .map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        match name {
            "--list" | "--status" => (),
            "--only" | "--shard" | "--auto" => {
                if value.is_none() {
                    all.next();
                }
            }
            _ => arguments.push(word),
        }
    }
    arguments.extend(auto.arguments());
    Ok(arguments)
}

/// Fails where an output lies in the place of what is read, above or below it, before any work.
fn refuse_inputs(
    collection: &CollectionOptions,
    all: &[Source],
    chosen: &[&Source],
    output: &Path,
) -> Result<()> {
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
    // What another clip reads can only be in the way where there is something; of many thousand clips each is not looked at for
    // nothing.
    let inputs = match chosen.iter().any(|source| source.output.exists()) {
        true => Inputs::of(all.iter().flat_map(Source::inputs)),
        false => Inputs::of(chosen.iter().flat_map(|source| source.inputs())),
    };
    for source in chosen {
        inputs
            .refuse(&Place::find(&source.output)?)
            .with_context(|| format!("clip {}", source.name))?;
    }
    Ok(())
}
