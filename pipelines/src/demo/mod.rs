//! `refvsr demo`: films real footage with two cameras that are not there, runs the element, and shows what came of it.

mod footage;
mod model;
mod picture;
mod score;
mod studio;
mod take;
mod triplet;

use crate::gst::{self, Launch, Needed};
use crate::output::{Inputs, MANIFESTS, Shelf};
use crate::stop::Stop;
use anyhow::{Result, ensure};
use footage::Footage;
use model::Model;
use std::path::PathBuf;
use studio::{PICTURE, Studio, ULTRAWIDE, WIDE_ANGLE};
use take::Take;
use triplet::SCALE;

/// Elements the demonstration needs besides `refvsr`, and their Debian packages (with `gstreamer1.0-tools` and [`footage::PACKAGE`]).
const NEEDED: [Needed; 9] = [
    ("filesrc", "libgstreamer1.0-0"),
    ("decodebin", "gstreamer1.0-plugins-base"),
    ("videoconvert", "gstreamer1.0-plugins-base"),
    ("matroskamux", "gstreamer1.0-plugins-good"),
    ("mp4mux", "gstreamer1.0-plugins-good"),
    ("rawvideoparse", "gstreamer1.0-plugins-base"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("avenc_ffv1", "gstreamer1.0-libav"),
];

/// Arguments of `refvsr demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes into the output folder:
  ultrawide.mkv     what the ultra-wide camera saw (lossless)
  wide.mkv          what the wide camera saw: the middle half at twice the detail (lossless)
  MODEL-4x.mp4      the ultra-wide video, enlarged 4 times by the element with each model (H.264)
  side-by-side.png  bicubic, without the wide camera, with it, and the truth; the wide camera's field is marked
  still-...         the same of a tripod shot with sensor noise, whose cameras record H.264

The footage is a phone clip from the Debian package forensics-samples-files, by Joao Eriberto Mota Filho, CC-BY-SA-4.0;
the files written are adapted from it and fall under the same licence.")]
pub struct Args {
    /// Folder to write into; made where it is missing
    #[arg(short, long, default_value = "target/demo")]
    output: PathBuf,
    /// Write over files of these names that an earlier demonstration did not write
    #[arg(long)]
    overwrite: bool,
    /// Frames to enlarge
    #[arg(short = 'n', long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    frames: u16,
    /// A video of yours to film instead (16:9, best 1080p or larger)
    #[arg(long, value_name = "VIDEO")]
    footage: Option<PathBuf>,
    /// Model file [default: the models that come with the element, one after the other]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Where to compute
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda|cuda:N")]
    device: String,
}

/// Runs the demonstration.
pub fn run(args: &Args) -> Result<()> {
    let frames = usize::from(args.frames);
    if let Some(model) = &args.model {
        let scale = refvsr::checkpoint::Checkpoint::read(model)?.config.scale;
        ensure!(
            scale == SCALE,
            "{} enlarges {scale} times; the demonstration needs a model that enlarges {SCALE} times",
            model.display()
        );
    }
    gst::check(&NEEDED)?;
    let plugin_path = gst::find_refvsr()?;
    let footage = Footage::find(args.footage.as_deref())?;
    let models = Model::of(args);
    let mut shelf = shelf(args, &models, &footage)?;
    let work = shelf.work().to_owned();
    let log = args.output.join(MANIFESTS).join("gst-launch.log");
    let stop = Stop::on_signals()?;
    let launch = Launch {
        log: &log,
        stop: &stop,
    };
    let mut source = footage.decode(frames, &work, launch)?;
    let mut watched = vec![];
    for take in Take::ALL {
        out!("{}, {}\n", footage.name(), take.title());
        let studio = Studio {
            take,
            frames,
            device: &args.device,
            models: &models,
            credit: &footage.credit,
            work: &work,
            plugin_path: plugin_path.clone(),
            launch,
        };
        watched.extend(studio.show(&mut source, &mut shelf)?);
        out!("");
    }
    let watched: Vec<String> = watched.iter().map(|v| v.display().to_string()).collect();
    let pictures = Take::ALL.map(|take| shelf.path(&take.file(PICTURE)).display().to_string());
    out!(
        "Watch {}, and look at {}",
        watched.join(", "),
        pictures.join(" and ")
    );
    Ok(())
}

/// The files of the output folder, if they may be written.
fn shelf<'a>(args: &'a Args, models: &[Model], footage: &Footage) -> Result<Shelf<'a>> {
    let mut each: Vec<String> = models.iter().map(Model::video).collect();
    each.extend([ULTRAWIDE, WIDE_ANGLE, PICTURE].map(str::to_owned));
    let of_take = |take: Take| each.iter().map(move |name| take.file(name));
    let names: Vec<String> = Take::ALL.into_iter().flat_map(of_take).collect();
    let inputs = [args.model.as_deref(), Some(footage.path())];
    let inputs = Inputs::of(inputs.into_iter().flatten());
    Shelf::open(&args.output, &names, args.overwrite, inputs)
}
