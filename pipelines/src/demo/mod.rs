//! `refvsr demo`: films real footage with two cameras that are not there, runs the element, and shows what came of it.

mod footage;
mod picture;
mod score;
mod triplet;

use crate::frames::{Reader, Writer};
use crate::gst::{self, Launch, Needed, Pipeline};
use crate::output::{Inputs, MANIFESTS, Partial, Shelf};
use crate::progress::Progress;
use crate::stop::Stop;
use anyhow::{Context, Result, ensure};
use footage::Footage;
use refvsr::Bundled;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tch::Tensor;
use triplet::{CAMERA, SCALE, TRUTH, WIDE};

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

const FRAMES_PER_SECOND: u32 = 30;

const ULTRAWIDE: &str = "ultrawide.mkv";
const WIDE_ANGLE: &str = "wide.mkv";
const PICTURE: &str = "side-by-side.png";

/// Arguments of `refvsr demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes into the output folder:
  ultrawide.mkv     what the ultra-wide camera saw (lossless)
  wide.mkv          what the wide camera saw: the middle half at twice the detail (lossless)
  MODEL-4x.mp4      the ultra-wide video, enlarged 4 times by the element with each model (H.264)
  side-by-side.png  bicubic, without the wide camera, with it, and the truth; the wide camera's field is marked

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
    /// Model file [default: both models that come with the element, one after the other]
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

    out!(
        "[1/4] Filming {frames} frames of {} with two cameras ({})",
        footage.name(),
        footage.credit
    );
    let (ultrawide, wide) = (shelf.path(ULTRAWIDE), shelf.path(WIDE_ANGLE));
    film(&footage, frames, &work, launch)?;
    for name in [ULTRAWIDE, WIDE_ANGLE] {
        let file = shelf.begin(name)?;
        encode(&work, name, file.path(), launch)?;
        shelf.finish(name, file)?;
    }
    out!(
        "      {} and {}, {CAMERA} each",
        ultrawide.display(),
        wide.display()
    );

    out!("[2/4] Enlarging {SCALE} times, to {TRUTH}");
    let mut small = Reader::open(&work.join("ultrawide.rgb"), CAMERA)?;
    let mut truth = Reader::open(&work.join("truth.rgb"), TRUTH)?;
    let base = score::score(&mut truth, &WIDE, |n| {
        stop.check()?;
        score::bicubic(&small.frame(n)?)
    })?;
    let mut scores = vec![("bicubic".to_owned(), base)];
    let mut watched = vec![];
    for model in &models {
        // What the wide camera gives is what changes where it is missing.
        for wide in [None, Some(&wide)] {
            let name = match wide {
                Some(_) => model.name.clone(),
                None => format!("{}, no wide camera", model.name),
            };
            let video = wide.map(|_| shelf.path(&model.video()));
            let raw = model.frames(&work, wide.is_some());
            let pipeline = |video: Option<&Path>| {
                enlarge(
                    model,
                    &args.device,
                    [Some(&ultrawide), wide.map(PathBuf::as_path)],
                    video,
                    &raw,
                    plugin_path.clone(),
                )
            };
            let shown = pipeline(video.as_deref()).command_line();
            out!("\n{name}:\n\n{shown}\n");
            let file = wide.map(|_| shelf.begin(&model.video())).transpose()?;
            let partial = file.as_ref().map(Partial::path);
            let seconds = watch(&pipeline(partial), &raw, frames as u64, launch)?;
            if let Some(file) = file {
                shelf.finish(&model.video(), file)?;
            }
            out!(
                "{:.2} seconds a frame ({frames} frames in {seconds:.1} s, start-up included)",
                seconds / frames as f64
            );
            let mut ours = Reader::open(&raw, TRUTH)?;
            ensure!(
                ours.len() == frames,
                "the element put out {} frames for {frames}; see {}",
                ours.len(),
                log.display()
            );
            let scored = score::score(&mut truth, &WIDE, |n| {
                stop.check()?;
                ours.frame(n)
            })?;
            scores.push((name, scored));
            watched.extend(video);
        }
    }

    out!("\n[3/4] PSNR / SSIM against the truth\n");
    out!("{:26}{:24}in the wide camera's field", "", "whole frames");
    for (name, scores) in &scores {
        out!("{name:26}{:24}{}", scores.whole.to_string(), scores.inside);
    }
    for (model, pair) in models.iter().zip(scores[1..].chunks_exact(2)) {
        out!(
            "The wide camera gives {} {:+.2} dB in its field.",
            model.name,
            pair[1].1.inside.psnr - pair[0].1.inside.psnr
        );
    }

    out!("\n[4/4] Drawing the side-by-side picture\n");
    let middle = frames / 2;
    let mut wide = Reader::open(&work.join("wide.rgb"), CAMERA)?;
    let shown = models.last().context("no model")?;
    let enlarged = |wide: bool| -> Result<Tensor> {
        Reader::open(&shown.frames(&work, wide), TRUTH)?.frame(middle)
    };
    let moment = picture::Moment {
        ultrawide: small.frame(middle)?,
        wide: wide.frame(middle)?,
        alone: enlarged(false)?,
        ours: enlarged(true)?,
        truth: truth.frame(middle)?,
    };
    let words = picture::Words {
        frame: middle,
        scores: &scores,
        credit: &footage.credit,
    };
    let picture = picture::draw(&moment, &WIDE, &words)?.png()?;
    let file = shelf.begin(PICTURE)?;
    file.write(&picture)?;
    shelf.finish(PICTURE, file)?;
    let watched: Vec<String> = watched.iter().map(|v| v.display().to_string()).collect();
    out!(
        "Watch {}, and look at {}",
        watched.join(" and "),
        shelf.path(PICTURE).display()
    );
    Ok(())
}

/// The files of the output folder, if they may be written.
fn shelf<'a>(args: &'a Args, models: &[Model], footage: &Footage) -> Result<Shelf<'a>> {
    let mut names: Vec<String> = models.iter().map(Model::video).collect();
    names.extend([ULTRAWIDE, WIDE_ANGLE, PICTURE].map(str::to_owned));
    let inputs = [args.model.as_deref(), Some(footage.path())];
    let inputs = Inputs::of(inputs.into_iter().flatten());
    Shelf::open(&args.output, &names, args.overwrite, inputs)
}

/// A model to enlarge with.
struct Model {
    name: String,
    /// The element's property that chooses it, and its value.
    choice: (&'static str, String),
}

impl Model {
    /// The one that was asked for, else those that come with the element, the better one last.
    fn of(args: &Args) -> Vec<Self> {
        let Some(file) = &args.model else {
            let bundled = Bundled::ALL.into_iter().rev();
            return bundled
                .filter(|model| model.content().is_some())
                .map(|model| Self {
                    name: model.name().to_owned(),
                    choice: ("model", model.name().to_owned()),
                })
                .collect();
        };
        let stem = file.file_stem().unwrap_or(file.as_os_str());
        vec![Self {
            name: stem.to_string_lossy().into_owned(),
            choice: ("model-file", file.to_string_lossy().into_owned()),
        }]
    }

    /// The name of the enlarged video.
    fn video(&self) -> String {
        format!("{}-4x.mp4", self.name)
    }

    /// Where its frames are kept until they are compared.
    fn frames(&self, folder: &Path, wide: bool) -> PathBuf {
        let with = if wide { "with" } else { "without" };
        folder.join(format!("{}-{with}-wide.rgb", self.name))
    }
}

/// Makes `ultrawide.rgb`, `wide.rgb` and `truth.rgb` in `folder`.
fn film(footage: &Footage, frames: usize, folder: &Path, launch: Launch) -> Result<()> {
    let mut source = footage.decode(frames, folder, launch)?;
    let file = |name| Writer::create(&folder.join(name));
    let (mut ultrawide, mut wide, mut truth) = (
        file("ultrawide.rgb")?,
        file("wide.rgb")?,
        file("truth.rgb")?,
    );
    for n in 0..frames {
        launch.stop.check()?;
        let shot = triplet::shoot(&source.frame(n)?, &WIDE)?;
        ultrawide.push(&shot.ultrawide)?;
        wide.push(&shot.wide)?;
        truth.push(&shot.truth)?;
    }
    ultrawide.finish()?;
    wide.finish()?;
    truth.finish()
}

/// Turns `<name>.rgb` in `folder` into a video file without loss.
fn encode(folder: &Path, name: &str, video: &Path, launch: Launch) -> Result<()> {
    let raw = folder.join(name).with_extension("rgb");
    let (width, height) = (CAMERA.width.to_string(), CAMERA.height.to_string());
    Pipeline::new(None)
        .line(
            "filesrc location={} ! rawvideoparse format=rgb",
            &[&raw.to_string_lossy()],
        )
        .line(
            "width={} height={} framerate={}/1",
            &[&width, &height, &FRAMES_PER_SECOND.to_string()],
        )
        // FFV1 has no RGB without a fourth channel; as alpha it is opaque, as padding it would be 0 and players show nothing.
        .line(
            "! videoconvert ! video/x-raw,format=BGRA ! avenc_ffv1 ! matroskamux",
            &[],
        )
        .line("! filesink location={}", &[&video.to_string_lossy()])
        .run(launch, || ())
        .with_context(|| format!("cannot write {}", video.display()))
}

/// A pipeline of the demonstration: one or two files in, raw frames for the comparison out, and a
/// video file where one is wanted.
fn enlarge(
    model: &Model,
    device: &str,
    [ultrawide, wide]: [Option<&Path>; 2],
    video: Option<&Path>,
    raw: &Path,
    plugin_path: Option<OsString>,
) -> Pipeline {
    let camera =
        "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format=RGB ! queue ! sr.";
    let mut pipeline = Pipeline::new(plugin_path);
    for (name, file) in [("ultrawide", ultrawide), ("wide", wide)] {
        if let Some(file) = file {
            pipeline = pipeline.line(&format!("{camera}{name}"), &[&file.to_string_lossy()]);
        }
    }
    let (property, value) = &model.choice;
    let pipeline = pipeline.line(
        &format!(
            "refvsr name=sr device={{}} {property}={{}} ! video/x-raw,format=RGB ! tee name=t"
        ),
        &[device, value],
    );
    let pipeline = match video {
        // By default the encoder holds frames back, so that its file would wait for more while the other file's first frame waits for it.
        // (async=false on the sinks is no way out: next to decodebin, GStreamer 1.22 then loses the end of the stream now and then.)
        Some(video) => pipeline
            .line(
                "t. ! queue ! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency pass=quant quantizer=16 ! h264parse ! mp4mux",
                &[],
            )
            .line("! filesink location={}", &[&video.to_string_lossy()]),
        None => pipeline,
    };
    pipeline.line(
        "t. ! queue ! filesink location={}",
        &[&raw.to_string_lossy()],
    )
}

/// Runs the pipeline while showing how many frames are in the file `raw`; gives the seconds it took.
fn watch(pipeline: &Pipeline, raw: &Path, frames: u64, launch: Launch) -> Result<f64> {
    let mut progress = Progress::new(frames, "frame", "loading the model");
    let start = Instant::now();
    let result = pipeline.run(launch, || {
        if let Ok(file) = std::fs::metadata(raw) {
            progress.set((file.len() / TRUTH.bytes()).min(frames));
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    progress.finish();
    result.map(|()| seconds)
}
