//! `refvsr transcode`: recordings in, enlarged recordings out.

mod camera;
mod check;
mod collection;
mod container;
mod damage;
mod encoder;
mod extras;
mod format;
mod graph;
mod job;
mod keeper;
mod knobs;
mod manifest;
mod meeting;
mod options;
mod report;
mod room;
mod sound;
mod sync;
mod text;
mod trial;
mod usage;
mod watch;
mod wishes;

use crate::element;
use crate::media::{Take, open};
use crate::output::{Inputs, Place, Slot};
use crate::stop::{Stop, Stopped};
use anyhow::{Context, Result, ensure};
use collection::CollectionOptions;
use job::{Clip, Target};
use manifest::{Done, Job, Manifest};
use options::Lens;
use report::{Count, Reporter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `refvsr transcode`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  refvsr transcode -u ultrawide.mp4 -w wide.mp4 -o out.mp4
  refvsr transcode -u UW.mov -w W.mov -t T.mov -o out.mkv --codec h265 --crf 16 --sync audio --from 0:10 --to 0:20
  refvsr transcode -u test/LRx4/UW/0010 -w test/LRx4/W/0010 -o out/0010/
  refvsr transcode --tree RealMCVSR --split test -o out
  refvsr transcode --folder recordings --pattern '{clip}_{lens}.mp4' -o out --shard 1/4 --steal

Sound is copied as it is from the ultra-wide recording, with its tags; frames keep their times, depth and colorimetry. The output
is written under a temporary name and renamed at the end.")]
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
    /// Start here in the ultra-wide recording: seconds, M:SS or H:MM:SS
    #[arg(long, value_name = "TIME", value_parser = options::time)]
    from: Option<gst::ClockTime>,
    /// End before this moment
    #[arg(long, value_name = "TIME", value_parser = options::time)]
    to: Option<gst::ClockTime>,
    /// How many seconds later than the ultra-wide camera another one started (wide=0.4); may be repeated
    #[arg(long, value_name = "LENS=SECONDS", value_parser = options::offset)]
    offset: Vec<(Lens, i64)>,
    /// Find out when the other cameras started, where --offset does not say
    #[arg(long, value_name = "HOW")]
    sync: Option<sync::Sync>,
    /// Frames a second of PNG files, and of recordings that do not say when their frames are
    #[arg(long, default_value = "30", value_name = "N|N/D", value_parser = options::framerate)]
    framerate: gst::Fraction,
    /// Leave the sound out
    #[arg(long)]
    no_sound: bool,
    /// Make whole pictures of interlaced recordings, one of each first field
    #[arg(long)]
    deinterlace: bool,
    /// Exit with 0 although recordings lack frames or have damaged ones, which is told in any case
    #[arg(long)]
    accept_missing: bool,
    /// Events as JSON, one a line, in place of messages
    #[arg(long)]
    json: bool,
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
            framerate: args.framerate,
            overwrite: args.overwrite,
            json: args.json,
        };
        return collection::run(collection, output, &options, &ways, &stop);
    }
    let mut reporter = Reporter::new(args.json, 1);
    let outcome =
        clip(args, &stop).and_then(|clip| single(&clip, args, &options, &mut reporter, &stop));
    let name = args.output.display().to_string();
    let mut count = Count::default();
    match &outcome {
        Ok(finished) => {
            count.done = 1;
            if !finished.damage.is_empty() {
                count.damaged = 1;
                reporter.damaged(&name, &finished.damage);
            }
        }
        Err(error) => {
            count.failed = 1;
            reporter.failed(&name, error);
        }
    }
    reporter.end(count);
    Ok(match outcome {
        Ok(_) if count.damaged > 0 && !options.accept_missing => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) if error.is::<Stopped>() => ExitCode::from(crate::stop::EXIT_CODE),
        Err(_) => ExitCode::FAILURE,
    })
}

fn options(args: &Args) -> Result<wishes::Options> {
    ensure!(
        args.to.is_none_or(|to| to > args.from.unwrap_or_default()),
        "--to has to lie after --from"
    );
    Ok(wishes::Options {
        network: args.network.clone(),
        encoder: args.encoder.clone(),
        offsets: args.offset.clone(),
        sync: args.sync,
        from: args.from,
        to: args.to,
        accept_missing: args.accept_missing,
        no_sound: args.no_sound,
        deinterlace: args.deinterlace,
        framerate: args.framerate,
    })
}

/// Opens the files.
fn clip(args: &Args, stop: &Stop) -> Result<Clip> {
    let output = Target::of(&args.output)?;
    let inputs = args.inputs();
    let place = Place::find(output.path())?;
    let own = ledger(&place, &output).1.written();
    let inputs = Inputs::of(inputs.iter().map(PathBuf::as_path)).with_files();
    let slot = Slot::check(place, output.kind(), args.overwrite, &inputs, own)?;
    let (ultrawide, wide) = args
        .ultrawide
        .as_ref()
        .zip(args.wide.as_ref())
        .context("no files are named")?;
    let footage = |path: &Path, take: Take| open(path, args.framerate, take, stop);
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

/// The folder of a single output's manifest, and the manifest: beside a folder of frames, or in it where the user made it.
fn ledger(place: &Place, output: &Target) -> (PathBuf, Manifest) {
    let name = place.name().to_string_lossy();
    let beside = Manifest::read(place.parent(), &name);
    match (output, place.path().is_dir() && beside.done.is_none()) {
        (Target::Pictures(_), true) => {
            (place.path().to_owned(), Manifest::read(place.path(), &name))
        }
        _ => (place.parent().to_owned(), beside),
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
    let (folder, mut manifest) = ledger(&place, &clip.output);
    let inputs = args.inputs();
    let inputs = inputs.iter().map(PathBuf::as_path);
    let job = Job::of(inputs, place.path(), "", &options.words());
    job::run(clip, options, reporter, stop, &mut |finished, written| {
        if matches!(clip.output, Target::Video(..)) {
            return Ok(());
        }
        manifest.done = Some(Done {
            job: job.clone(),
            frames: finished.frames,
            seconds: start.elapsed().as_secs_f64(),
            damage: finished.damage.clone(),
            written: written.clone(),
        });
        manifest.write(&folder)
    })
}

/// How the work is done, whatever comes out.
#[derive(Debug, Clone, Copy)]
struct Ways {
    /// Of PNG files.
    framerate: gst::Fraction,
    overwrite: bool,
    json: bool,
}
