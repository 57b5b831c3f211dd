//! `refvsr preview`: what each model makes of three moments of recordings, what was found in them, and what the whole job takes.

pub mod candidate;
mod found;
mod page;
pub mod sheet;
pub mod view;

use crate::gst::quoted;
use crate::output::{Inputs, Kind, Place, Slot, Written};
use crate::stop::Stop;
use crate::transcode::cameras::{Cameras, Scene};
use crate::transcode::container::Container;
use crate::transcode::encoder::EncoderOptions;
use crate::transcode::estimate::{self, Cost, Estimate, Form};
use crate::transcode::graph::NetworkOptions;
use crate::transcode::lineup;
use crate::transcode::moment::{Moment, frames as count, interval};
use crate::transcode::wishes::Options;
use anyhow::{Context, Result, ensure};
use candidate::Candidate;
use found::Found;
use refvsr::{DeviceChoice, Precision};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use tch::Device;
use view::View;

/// Arguments of `refvsr preview`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  refvsr preview -u ultrawide.mp4 -w wide.mp4
  refvsr preview -u UW.mov -w W.mov -t T.mov -o trip.html --from 0:10 --to 1:20 --codec h265
  refvsr preview -u UW.mov -w W.mov --model adapted.safetensors

Where neither --offset nor --sync says when a camera started, its sound does, if it has any in common with the ultra-wide camera's;
the line for `refvsr transcode` at the end has what was found.")]
pub struct Args {
    #[command(flatten)]
    cameras: Cameras,
    /// Page to write; the same as one picture goes beside it, FILE.png
    #[arg(short, long, value_name = "FILE.html", default_value = "preview.html")]
    output: PathBuf,
    /// Write over a page and picture that are there
    #[arg(long)]
    overwrite: bool,
    /// Show this model beside the bundled ones; may be repeated
    #[arg(long, value_name = "FILE")]
    model: Vec<PathBuf>,
    /// Where to compute
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda|cuda:N")]
    device: String,
    #[command(flatten)]
    encoder: EncoderOptions,
}

/// Where in the part that is asked for the moments lie.
const MOMENTS: [f64; 3] = [1.0 / 6.0, 0.5, 5.0 / 6.0];

/// What the job takes with one model.
#[derive(Debug)]
pub struct Offer {
    pub model: String,
    pub estimate: Estimate,
}

/// Everything that is shown.
#[derive(Debug)]
pub struct Preview {
    pub found: Found,
    pub views: Vec<View>,
    pub frames: u64,
    pub offers: Vec<Offer>,
    /// The command that does the job.
    pub command: String,
}

/// Writes the page and the picture.
pub fn run(args: &Args) -> Result<()> {
    crate::element::init_gstreamer()?;
    let stop = Stop::on_signals()?;
    let device = args.device.parse::<DeviceChoice>()?.resolve()?;
    let [page, picture] = outputs(args)?;
    let options = Options {
        encoder: args.encoder.clone(),
        ..args.cameras.timing.options(&NetworkOptions::default())?
    };
    let candidates = Candidate::all(&args.model, device)?;
    let scene = args.cameras.open(&stop)?;
    let (page, picture) = (page.begin()?, picture.begin()?);
    let preview = look(args, &scene, &candidates, options, device, &stop)?;
    let sheet = sheet::draw("refvsr preview", &lines(&preview), &preview.views)?;
    picture.write(&sheet.png()?)?;
    page.write(page::text(&preview)?.as_bytes())?;
    picture.finish(&mut |_| Ok(()))?;
    page.finish(&mut |_| Ok(()))?;
    tell(&preview);
    let written = args.output.display();
    out!("{written} and {} show it", beside(args).display());
    Ok(())
}

/// The picture's place.
fn beside(args: &Args) -> PathBuf {
    args.output.with_extension("png")
}

/// The page and the picture, if they may be written.
fn outputs(args: &Args) -> Result<[Slot; 2]> {
    let ending = args.output.extension().unwrap_or_default();
    ensure!(
        ending == "html" || ending == "htm",
        "{} does not say that a page is to be written; its name ends in .html",
        args.output.display()
    );
    let read = args
        .cameras
        .paths()
        .chain(args.model.iter().map(PathBuf::as_path));
    let inputs = Inputs::of(read).with_files();
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
    Ok([slot(args.output.clone())?, slot(beside(args))?])
}

fn look(
    args: &Args,
    scene: &Scene,
    candidates: &[Candidate],
    mut options: Options,
    device: Device,
    stop: &Stop,
) -> Result<Preview> {
    let heard = lineup::listen(scene, &mut options, stop)?;
    let mut say = |text: &str| err!("note: {text}");
    let offsets = lineup::offsets(
        &scene.ultrawide,
        &scene.references,
        &options,
        &mut say,
        stop,
    )?;
    let frames = count(&scene.ultrawide, &options).with_context(|| {
        let path = scene.ultrawide.path().display();
        format!("{path} does not say how long it is, or holds no frame of that part")
    })?;
    let step = interval(&scene.ultrawide, options.framerate)?;
    let from = options.from.map_or(0, |from| from.nseconds() as i64);
    let around = candidates.iter().map(Candidate::around).max().unwrap_or(0);
    let read = |share: &f64| {
        let at = from + (share * frames as f64) as i64 * step;
        let cameras = (&scene.ultrawide, scene.references.as_slice());
        Moment::read(cameras, &offsets, at, around, &options, stop)
    };
    let moments = MOMENTS.iter().map(read).collect::<Result<Vec<_>>>()?;
    let middle = moments.get(MOMENTS.len() / 2).context("no moment")?;
    let costs = costs(candidates, middle, (&options, step), stop)?;
    let offer = |(candidate, (enlarging, coding)): (&Candidate, &(f64, Cost))| Offer {
        model: candidate.name.clone(),
        estimate: Estimate::new(frames, device, *enlarging, *coding),
    };
    let offers = candidates.iter().zip(&costs).map(offer).collect();
    let mut views = Vec::new();
    for (n, moment) in moments.iter().enumerate() {
        let mut say = |model: &str| err!("moment {} of {}: {model}", n + 1, MOMENTS.len());
        let seconds = costs.iter().map(|(seconds, _)| *seconds);
        let shown = candidates.iter().zip(seconds);
        views.push(View::make(moment, shown, &mut say, stop)?);
    }
    Ok(Preview {
        found: Found::of(scene, &options, &offsets, &heard, &moments, &views)?,
        command: command(args, scene, &offsets),
        views,
        frames,
        offers,
    })
}

/// Seconds that each model takes for a frame, and what encoding takes, by the frames of a moment.
fn costs(
    candidates: &[Candidate],
    moment: &Moment,
    (options, step): (&Options, i64),
    stop: &Stop,
) -> Result<Vec<(f64, Cost)>> {
    let (shown, form) = (&moment.triplets, Form::Video(Container::Matroska));
    let mut codings = BTreeMap::new();
    let cost = |candidate: &Candidate| {
        let enlarging = estimate::enlarging(&candidate.network, Precision::Auto, shown, stop)?;
        let coding = match codings.entry(candidate.scale()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let scale = candidate.scale();
                let encoder = &options.encoder;
                *new.insert(estimate::coding(shown, scale, form, encoder, step, stop)?)
            }
        };
        Ok((enlarging, coding))
    };
    candidates.iter().map(cost).collect()
}

/// The command that does the whole job as it was previewed.
fn command(args: &Args, scene: &Scene, offsets: &[i64]) -> String {
    let mut words: Vec<String> = ["refvsr", "transcode"].map(str::to_owned).into();
    let mut add = |name: &str, value: String| words.extend([name.to_owned(), value]);
    let (cameras, timing) = (&args.cameras, &args.cameras.timing);
    add("-u", cameras.ultrawide.display().to_string());
    add("-w", cameras.wide.display().to_string());
    if let Some(tele) = &cameras.tele {
        add("-t", tele.display().to_string());
    }
    for ((lens, _), offset) in scene.references.iter().zip(offsets) {
        if *offset != 0 {
            add(
                "--offset",
                format!("{}={}", lens.name(), (*offset as f64 / 1e5).round() / 1e4),
            );
        }
    }
    let time = |time: gst::ClockTime| (time.nseconds() as f64 / 1e9).to_string();
    if let Some(from) = timing.from {
        add("--from", time(from));
    }
    if let Some(to) = timing.to {
        add("--to", time(to));
    }
    add("-o", "out.mp4".to_owned());
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// What is written over the pictures.
fn lines(preview: &Preview) -> Vec<String> {
    let found = preview.found.rows.iter();
    let found = found.map(|(what, text)| format!("{what}: {text}"));
    let offers = preview.offers.iter().map(|offer| {
        let words = Estimate::words(offer.estimate.seconds, offer.estimate.bytes);
        format!("{}: {words} for all {} frames", offer.model, preview.frames)
    });
    found.chain(offers).collect()
}

/// Says what was found.
fn tell(preview: &Preview) {
    for (what, text) in &preview.found.rows {
        out!("{what:22} {text}");
    }
    for Offer { model, estimate } in &preview.offers {
        let words = Estimate::words(estimate.seconds, estimate.bytes);
        out!(
            "{:22} {words} for {} frames",
            format!("with {model}"),
            preview.frames
        );
    }
    out!("{:22} {}", "the whole job", preview.command);
}
