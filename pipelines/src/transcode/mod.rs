//! `refvsr transcode`: recordings in, enlarged recordings out.

mod attachments;
mod camera;
pub mod cameras;
mod check;
mod collection;
pub mod container;
mod damage;
pub mod encoder;
pub mod estimate;
mod extras;
mod format;
pub mod graph;
mod job;
mod keeper;
mod knobs;
pub mod lineup;
mod manifest;
mod meeting;
pub mod moment;
pub mod options;
mod report;
mod room;
mod sound;
pub mod sync;
mod text;
mod trial;
mod turn;
mod usage;
mod watch;
pub mod wishes;
mod worker;

use crate::element;
use crate::exit;
use crate::media::{Take, open};
use crate::output::{Inputs, Kind, Place, Slot};
use crate::stop::{Stop, Stopped};
use anyhow::{Context, Result, ensure};
use cameras::Timing;
use collection::CollectionOptions;
use job::{Clip, Target};
use manifest::{Done, Job, Ledger};
use options::Lens;
use report::Reporter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use turn::{Sum, Turn};
use worker::{Ended, Worker};

/// Arguments of `refvsr transcode`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  refvsr transcode -u ultrawide.mp4 -w wide.mp4 -o out.mp4
  refvsr transcode -u UW.mov -w W.mov -t T.mov -o out.mkv --codec h265 --crf 16 --sync audio --from 0:10 --to 0:20
  refvsr transcode -u test/LRx4/UW/0010 -w test/LRx4/W/0010 -o out/0010/
  refvsr transcode --tree RealMCVSR --split test -o out
  refvsr transcode --folder recordings --pattern '{clip}_{lens}.mp4' -o out --only beach
  refvsr transcode --tree RealMCVSR -o out --list

Sound is copied as it is from the ultra-wide recording, with its tags; frames keep their times, depth and colorimetry. The output
is written under a temporary name and renamed at the end.

Exit codes:
  0    everything is done, or was before
  1    an input cannot be used, is damaged or lacks frames, or an output is in the way: another attempt ends the same way
  2    the command line is wrong
  75   try again: the disk is full, memory ran out, the device failed, another process writes the same output
  129, 130, 143   stopped by SIGHUP, Ctrl-C (SIGINT) or SIGTERM; nothing unfinished is left behind")]
pub struct Args {
    /// The ultra-wide camera's recording, or a folder of numbered PNG files
    #[arg(short, long, value_name = "FILE", requires = "wide", required_unless_present_any = ["tree", "folder"])]
    ultrawide: Option<PathBuf>,
    /// The wide camera's
    #[arg(short, long, value_name = "FILE", requires = "ultrawide")]
    wide: Option<PathBuf>,
    /// The tele camera's
    #[arg(short, long, value_name = "FILE", requires = "ultrawide")]
    tele: Option<PathBuf>,
    /// Video file to write (.mkv, .mp4, .mov, .webm, .ts), or a folder for PNG files (ends in /); for a collection, its folder
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Write over an output that is there
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    timing: Timing,
    /// Leave the sound out
    #[arg(long)]
    no_sound: bool,
    /// Exit with 0 although recordings lack frames or have damaged ones, which is told in any case
    #[arg(long)]
    accept_missing: bool,
    /// Events as JSON, one a line, in place of messages
    #[arg(long)]
    json: bool,
    /// Enlarge for another process of this command, which tells the user
    #[arg(long, hide = true)]
    worker: bool,
    #[command(flatten)]
    collection: CollectionOptions,
    #[command(flatten)]
    network: graph::NetworkOptions,
    #[command(flatten)]
    encoder: encoder::EncoderOptions,
}

/// Transcodes.
pub fn run(args: &Args) -> Result<ExitCode> {
    element::init()?;
    let stop = Stop::on_signals()?;
    let options = options(args)?;
    if args.collection.given() {
        let (collection, output) = (&args.collection, &args.output);
        let ways = Ways {
            overwrite: args.overwrite,
            json: args.json,
            worker: args.worker,
        };
        return collection::run(collection, output, &options, &ways, &stop);
    }
    if args.worker {
        worker::serve(&stop, |_, reporter| turn(args, &options, reporter, &stop));
        return Ok(ExitCode::SUCCESS);
    }
    let mut reporter = Reporter::new(args.json, 1);
    let mut sum = Sum::default();
    sum.add(order(args, &stop, &mut reporter));
    reporter.end(sum.count);
    Ok(ExitCode::from(sum.exit_code(options.accept_missing)))
}

/// Has the clip done by a worker.
fn order(args: &Args, stop: &Stop, reporter: &mut Reporter) -> Turn {
    let clip: Vec<_> = args
        .inputs()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let ended =
        Worker::start(&[]).and_then(|mut worker| worker.order(&clip.join(", "), stop, reporter));
    let error = match ended {
        Ok(Ended::Turn(turn)) => return turn,
        Ok(Ended::Died(error)) => {
            // What it left. Whatever goes wrong here is for the next attempt to tell.
            _ = place(args).and_then(|(_, slot)| slot.begin());
            error
        }
        Err(error) => error,
    };
    failed(args, &error, reporter)
}

/// Does the clip.
fn turn(args: &Args, options: &wishes::Options, reporter: &mut Reporter, stop: &Stop) -> Turn {
    let outcome = clip(args, stop).and_then(|clip| single(&clip, args, options, reporter, stop));
    match outcome {
        Ok(finished) => {
            let damaged = !finished.damage.is_empty();
            if damaged {
                reporter.damaged(&args.output.display().to_string(), &finished.damage);
            }
            Turn::Done { damaged }
        }
        Err(error) => failed(args, &error, reporter),
    }
}

fn failed(args: &Args, error: &anyhow::Error, reporter: &mut Reporter) -> Turn {
    reporter.failed(&args.output.display().to_string(), error);
    match error.downcast_ref() {
        Some(Stopped(code)) => Turn::Stopped(*code),
        None => Turn::Failed {
            again: exit::may_pass(error),
        },
    }
}

fn options(args: &Args) -> Result<wishes::Options> {
    let tele = args.tele.is_some() || args.collection.given();
    ensure!(
        tele || args
            .timing
            .offset
            .iter()
            .all(|(lens, _)| *lens != Lens::Tele),
        "--offset tele=... needs the tele camera's recording (--tele)"
    );
    Ok(wishes::Options {
        encoder: args.encoder.clone(),
        accept_missing: args.accept_missing,
        no_sound: args.no_sound,
        ..args.timing.options(&args.network)?
    })
}

/// Where the output goes, if it may be written.
fn place(args: &Args) -> Result<(Target, Slot)> {
    let output = Target::of(&args.output)?;
    let inputs = args.inputs();
    let place = Place::find(output.path())?;
    let ledger = ledger(&place, &output);
    if output.kind() == Kind::Folder {
        ledger.check()?;
    }
    let own = ledger.written();
    let inputs = Inputs::of(inputs.iter().map(PathBuf::as_path)).with_files();
    let slot = Slot::check(place, output.kind(), args.overwrite, &inputs, own)?;
    Ok((output, slot))
}

/// Opens the files.
fn clip(args: &Args, stop: &Stop) -> Result<Clip> {
    let (output, slot) = place(args)?;
    let (ultrawide, wide) = args
        .ultrawide
        .as_ref()
        .zip(args.wide.as_ref())
        .context("no files are named")?;
    let footage = |path: &Path, take: Take| open(path, args.timing.framerate, take, stop);
    let mut references = vec![(Lens::Wide, wide)];
    references.extend(args.tele.as_ref().map(|tele| (Lens::Tele, tele)));
    Ok(Clip {
        name: ultrawide.display().to_string(),
        ultrawide: footage(ultrawide, output.takes(args.no_sound))?,
        references: references
            .into_iter()
            .map(|(lens, path)| Ok((lens, footage(path, Take::default())?)))
            .collect::<Result<_>>()?,
        output,
        slot,
    })
}

impl Args {
    /// The recordings that are named.
    fn inputs(&self) -> Vec<PathBuf> {
        let all = [&self.ultrawide, &self.wide, &self.tele];
        all.into_iter().flatten().cloned().collect()
    }
}

/// Where is written what became of a single output: beside a folder of frames, or in it where the user made it.
fn ledger(place: &Place, output: &Target) -> Ledger {
    let name = Path::new(place.name());
    let beside = Ledger::of(place.parent(), name);
    match (output, place.path().is_dir() && beside.done().is_none()) {
        (Target::Pictures(_), true) => Ledger::of(place.path(), name),
        _ => beside,
    }
}

/// Enlarges one clip. A file is given up by `--overwrite` alone; of folders a manifest says which frames are this program's.
fn single(
    clip: &Clip,
    args: &Args,
    options: &wishes::Options,
    reporter: &mut Reporter,
    stop: &Stop,
) -> Result<job::Finished> {
    let start = std::time::Instant::now();
    let place = Place::find(clip.output.path())?;
    let ledger = ledger(&place, &clip.output);
    let inputs = args.inputs();
    let inputs = inputs.iter().map(PathBuf::as_path);
    let job = Job::of(inputs, "", &options.words());
    job::run(clip, options, reporter, stop, &mut |finished, written| {
        if matches!(clip.output, Target::Video(..)) {
            return Ok(());
        }
        ledger.write_done(Done {
            job: job.clone(),
            output: place.path().display().to_string(),
            frames: finished.frames,
            seconds: start.elapsed().as_secs_f64(),
            damage: finished.damage.clone(),
            written: written.clone(),
        })
    })
}

/// How the work is done, whatever comes out.
#[derive(Debug, Clone, Copy)]
struct Ways {
    overwrite: bool,
    json: bool,
    worker: bool,
}
