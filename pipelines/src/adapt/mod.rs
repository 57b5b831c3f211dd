//! `refvsr adapt`: a bundled model learns from a user's own cameras. Frames of all recordings are reduced, registered as in use, and the
//! enlarged ultra-wide frame has to become the one that was filmed. The training is `refvsr-train`'s.

mod frames;
mod outcome;
mod trainer;

use crate::model::Model;
use crate::output::{self, Inputs, Kind, Place, Slot, Written};
use crate::stop::Stop;
use crate::transcode::cameras::{Cameras, Scene};
use crate::transcode::graph::NetworkOptions;
use crate::transcode::lineup;
use crate::transcode::wishes::Options;
use anyhow::{Context, Result, ensure};
use frames::Frames;
use outcome::Outcome;
use refvsr::config::Variant;
use refvsr::{DeviceChoice, ModelConfig};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use tch::Device;
use trainer::{Lesson, Trainer};

/// Arguments of `refvsr adapt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  refvsr adapt -u ultrawide.mp4 -w wide.mp4
  refvsr adapt -u UW.mov -w W.mov -t T.mov --model quality -o phone.safetensors --from 0:10 --to 1:20
  refvsr transcode -u trip_UW.mov -w trip_W.mov -o trip.mp4 --model own.safetensors

A minute of hand-held everyday footage does. Where neither --offset nor --sync says when a camera started, its sound does. The work lies
in a folder beside the model (own.adapt): the same command goes on where it was stopped, other recordings or options begin anew.")]
pub struct Args {
    #[command(flatten)]
    cameras: Cameras,
    /// Model file to write; a picture before and after goes beside it, FILE.png
    #[arg(
        short,
        long,
        value_name = "FILE.safetensors",
        default_value = "own.safetensors"
    )]
    output: PathBuf,
    /// Write over a model and picture that are there
    #[arg(long)]
    overwrite: bool,
    /// The model to begin with; auto is the bundled one that suits the device
    #[arg(long, default_value = "auto", value_name = "auto|quality|light|FILE")]
    model: Model,
    /// How many steps to learn for
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: u64,
    /// Where to compute
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda|cuda:N")]
    device: String,
}

/// Learns.
pub fn run(args: &Args) -> Result<()> {
    crate::element::init_gstreamer()?;
    let stop = Stop::on_signals()?;
    let trainer = Trainer::find()?;
    let device = args.device.parse::<DeviceChoice>()?.resolve()?;
    let (model, picture) = outputs(args)?;
    let start = begin_with(&args.model, device)?;
    let mut options = args.cameras.timing.options(&NetworkOptions::default())?;
    let scene = args.cameras.open(&stop)?;
    let offsets = line_up(&scene, &mut options, &stop)?;

    // Nobody else writes the same model meanwhile, and so nobody works in the same folder.
    let place = model.place().clone();
    let (model, picture) = (model.begin()?, picture.begin()?);
    let folder = folder(&place, &identity(args, &options, device, &stop)?);
    let weights = folder.join("start.safetensors");
    if !weights.exists() {
        output::write_own(&weights, &content(&args.model, device)?)?;
    }
    let cameras = (&scene.ultrawide, scene.references.as_slice());
    let frames = Frames::read(&folder, cameras, &offsets, &options, &stop)?;
    let lesson = Lesson {
        folder: &folder,
        config: &start,
        patch: frames.patch(),
        held_back: frames.held_back().len(),
        steps: args.steps,
        device: &args.device,
    };
    trainer.teach(&lesson, &stop)?;
    trainer.export(&folder, &stop)?;

    let learnt = folder.join(trainer::EXPORTED);
    let name = args.model.name(device)?;
    let outcome = Outcome::of(&frames, (&name, &weights), &learnt, device, &stop)?;
    picture.write(&outcome.sheet(&args.cameras)?.png()?)?;
    let learnt = std::fs::read(&learnt).with_context(|| learnt.display().to_string())?;
    model.write(&learnt)?;
    picture.finish(&mut |_| Ok(()))?;
    model.finish(&mut |_| Ok(()))?;
    for line in outcome.lines() {
        out!("{line}");
    }
    if !outcome.gains() {
        err!("note: nothing was gained; {name} itself is better for these cameras");
    }
    out!(
        "{} is the model, {} shows it; {} can be removed",
        args.output.display(),
        beside(args).display(),
        args.output.with_extension("adapt").display()
    );
    Ok(())
}

/// The picture's place.
fn beside(args: &Args) -> PathBuf {
    args.output.with_extension("png")
}

/// The model and the picture, if they may be written.
fn outputs(args: &Args) -> Result<(Slot, Slot)> {
    let ending = args.output.extension().unwrap_or_default();
    ensure!(
        ending == "safetensors",
        "{} does not say that a model is to be written; its name ends in .safetensors",
        args.output.display()
    );
    let inputs = Inputs::of(args.cameras.paths().chain(args.model.file())).with_files();
    let slot = |path: PathBuf| {
        let place = Place::find(&path)?;
        Slot::check(
            place,
            Kind::File,
            args.overwrite,
            &inputs,
            Written::default(),
        )
    };
    Ok((slot(args.output.clone())?, slot(beside(args))?))
}

/// What kind of network it begins with.
fn begin_with(model: &Model, device: Device) -> Result<ModelConfig> {
    let config = model.checkpoint(device)?.config;
    let name = model
        .file()
        .map_or_else(|| model.name(device), |file| Ok(file.display().to_string()))?;
    ensure!(
        config.variant == Variant::Registered,
        "{name} is a {:?} network; quality, light, or a model that was made of them expected (`refvsr-train adapt` trains RefVSR's)",
        config.variant
    );
    ensure!(
        config.scale == 4,
        "{name} enlarges {} times; a model that enlarges 4 times expected",
        config.scale
    );
    Ok(config)
}

/// The model's file.
fn content(model: &Model, device: Device) -> Result<Vec<u8>> {
    if let Some(path) = model.file() {
        return std::fs::read(path)
            .with_context(|| format!("cannot read the model {}", path.display()));
    }
    let bundled = match model {
        Model::Bundled(bundled) => *bundled,
        _ => refvsr::Bundled::choose(None, device)?,
    };
    let content = bundled.content().map(<[u8]>::to_vec);
    content.with_context(|| format!("{} is not part of this build", bundled.name()))
}

/// When each camera started, as it is asked for, or by its sound.
fn line_up(scene: &Scene, options: &mut Options, stop: &Stop) -> Result<Vec<i64>> {
    let asked = options.offsets.clone();
    for (lens, heard) in lineup::listen(scene, options, stop)? {
        let name = lens.name();
        let said = options.sync.is_some() || asked.iter().any(|(own, _)| *own == lens);
        match heard {
            _ if said => (),
            Ok(offset) => err!(
                "note: the {name} camera started {:+.4} s after the ultra-wide one, by their sound",
                offset as f64 / 1e9
            ),
            Err(error) => err!(
                "note: the {name} camera is taken to have started with the ultra-wide one ({error:#}); --offset and --sync say otherwise"
            ),
        }
    }
    let mut say = |text: &str| err!("note: {text}");
    lineup::offsets(&scene.ultrawide, &scene.references, options, &mut say, stop)
}

/// The folder of the work on a model: beside it, one for every other beginning.
fn folder(model: &Place, identity: &str) -> PathBuf {
    let all = model.path().with_extension("adapt");
    all.join(&identity[..16])
}

/// What makes it another run: what the recordings hold, the model, and what is done with them.
fn identity(args: &Args, options: &Options, device: Device, stop: &Stop) -> Result<String> {
    let mut words = options.words();
    words.push(format!("steps {}", args.steps));
    words.push(format!("model {}", args.model.digest(device)?));
    for path in args.cameras.paths() {
        words.push(format!("recording {}", contents(path, stop)?));
    }
    words.push(frames::HOW.to_owned());
    Ok(hex(&Sha256::digest(words.join("\n"))))
}

/// SHA-256 of a recording, or of the files in a folder.
fn contents(path: &Path, stop: &Stop) -> Result<String> {
    let unreadable = |path: &Path| format!("cannot read {}", path.display());
    let mut digest = Sha256::new();
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| unreadable(path))?;
        let entries = entries.collect::<Result<Vec<_>, _>>();
        let entries = entries.with_context(|| unreadable(path))?;
        files = entries.iter().map(|entry| entry.path()).collect();
        files.retain(|file| file.is_file());
        files.sort();
    }
    for file in &files {
        stop.check()?;
        let mut own = Sha256::new();
        let mut file_open = std::fs::File::open(file).with_context(|| unreadable(file))?;
        std::io::copy(&mut file_open, &mut own).with_context(|| unreadable(file))?;
        digest.update(own.finalize());
    }
    Ok(hex(&digest.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
