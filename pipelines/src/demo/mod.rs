//! `refvsr demo`: films real footage with two cameras that are not there, runs the element, and shows what came of it.

mod footage;
mod picture;
mod score;
mod triplet;

use crate::frames::{Reader, Writer};
use crate::gst::{self, Needed, Pipeline};
use crate::progress::Progress;
use anyhow::{Context, Result, ensure};
use footage::Footage;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;
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

/// Arguments of `refvsr demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Writes into the output folder:
  ultrawide.mkv     what the ultra-wide camera saw (lossless)
  wide.mkv          what the wide camera saw: the middle half at twice the detail (lossless)
  refvsr-4x.mp4     the ultra-wide video, enlarged 4 times by the element (H.264)
  side-by-side.png  nearest, bicubic, refvsr and the truth; the wide camera's field is marked

The footage is a phone clip from the Debian package forensics-samples-files, by Joao Eriberto Mota Filho, CC-BY-SA-4.0;
the files written are adapted from it and fall under the same licence.")]
pub struct Args {
    /// Folder to write into; made where it is missing
    #[arg(short, long, default_value = "target/demo")]
    output: PathBuf,
    /// Frames to enlarge
    #[arg(short = 'n', long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    frames: u16,
    /// A video of yours to film instead (16:9, best 1080p or larger)
    #[arg(long, value_name = "VIDEO")]
    footage: Option<PathBuf>,
    /// Model file [default: the element's own]
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
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot make the folder {}", args.output.display()))?;
    let work = tempfile::tempdir_in(&args.output)
        .with_context(|| format!("cannot write into {}", args.output.display()))?;

    let log = args.output.join("gst-launch.log");

    println!(
        "[1/4] Filming {frames} frames of {} with two cameras ({})",
        footage.name(),
        footage.credit
    );
    let (ultrawide, wide) = (
        args.output.join("ultrawide.mkv"),
        args.output.join("wide.mkv"),
    );
    film(&footage, frames, work.path(), &log)?;
    encode(work.path(), "ultrawide", &ultrawide, &log)?;
    encode(work.path(), "wide", &wide, &log)?;
    println!(
        "      {} and {}, {CAMERA} each",
        ultrawide.display(),
        wide.display()
    );

    let video = args.output.join("refvsr-4x.mp4");
    let raw = args.output.join("refvsr-4x.rgb");
    let pipeline = enlarge(&ultrawide, &wide, &video, &raw, args, plugin_path);
    println!(
        "[2/4] Enlarging {SCALE} times, to {TRUTH}:\n\n{}\n",
        pipeline.command_line()
    );
    let seconds = watch(&pipeline, &raw, frames as u64, &log)?;

    println!("[3/4] Comparing with the truth");
    let mut small = Reader::open(&work.path().join("ultrawide.rgb"), CAMERA)?;
    let mut truth = Reader::open(&work.path().join("truth.rgb"), TRUTH)?;
    let mut ours = Reader::open(&raw, TRUTH)?;
    ensure!(
        ours.len() == frames,
        "the element put out {} frames for {frames}; see {}",
        ours.len(),
        log.display()
    );
    let scores = score::score(&mut small, &mut ours, &mut truth, &WIDE)?;

    println!("[4/4] Drawing the side-by-side picture\n");
    let middle = frames / 2;
    let mut wide = Reader::open(&work.path().join("wide.rgb"), CAMERA)?;
    let moment = picture::Moment {
        ultrawide: small.frame(middle)?,
        wide: wide.frame(middle)?,
        ours: ours.frame(middle)?,
        truth: truth.frame(middle)?,
    };
    let words = picture::Words {
        frame: middle,
        scores: &scores,
        credit: &footage.credit,
    };
    let png = args.output.join("side-by-side.png");
    picture::draw(&moment, &WIDE, &words)?.save(&png)?;
    drop(ours);
    std::fs::remove_file(&raw).with_context(|| format!("cannot remove {}", raw.display()))?;

    println!("PSNR / SSIM                       bicubic             refvsr              gain");
    println!("whole frames                      {}", scores.whole);
    println!("inside the wide camera's field    {}", scores.inside);
    println!(
        "{:.2} seconds a frame ({frames} frames in {seconds:.1} s, start-up included)\n",
        seconds / frames as f64
    );
    println!("Watch {} and look at {}", video.display(), png.display());
    Ok(())
}

/// Makes `ultrawide.rgb`, `wide.rgb` and `truth.rgb` in `folder`.
fn film(footage: &Footage, frames: usize, folder: &Path, log: &Path) -> Result<()> {
    let mut source = footage.decode(frames, folder, log)?;
    let file = |name| Writer::create(&folder.join(name));
    let (mut ultrawide, mut wide, mut truth) = (
        file("ultrawide.rgb")?,
        file("wide.rgb")?,
        file("truth.rgb")?,
    );
    for n in 0..frames {
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
fn encode(folder: &Path, name: &str, video: &Path, log: &Path) -> Result<()> {
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
        .run(log, || ())
        .with_context(|| format!("cannot write {}", video.display()))
}

/// The pipeline of the demonstration: two files in, a video file out, and the same frames untouched for the comparison.
fn enlarge(
    ultrawide: &Path,
    wide: &Path,
    video: &Path,
    raw: &Path,
    args: &Args,
    plugin_path: Option<OsString>,
) -> Pipeline {
    let camera =
        "filesrc location={} ! decodebin ! videoconvert ! video/x-raw,format=RGB ! queue ! sr.";
    let model = args.model.as_ref().map(|file| file.to_string_lossy());
    let element = format!(
        "refvsr name=sr device={}{}",
        args.device,
        if model.is_some() {
            " model-file={}"
        } else {
            ""
        }
    );
    let file = Path::to_string_lossy;
    Pipeline::new(plugin_path)
        .line(&format!("{camera}ultrawide"), &[&file(ultrawide)])
        .line(&format!("{camera}wide"), &[&file(wide)])
        .line(&format!("{element} ! video/x-raw,format=RGB ! tee name=t"), model.as_deref().as_slice())
        // By default the encoder holds frames back, so that its file would wait for more while the other file's first frame waits for it.
        // (async=false on the sinks is no way out: next to decodebin, GStreamer 1.22 then loses the end of the stream now and then.)
        .line(
            "t. ! queue ! videoconvert ! video/x-raw,format=I420 ! x264enc tune=zerolatency pass=quant quantizer=16 ! h264parse ! mp4mux",
            &[],
        )
        .line("! filesink location={}", &[&file(video)])
        .line("t. ! queue ! filesink location={}", &[&file(raw)])
}

/// Runs the pipeline while showing how many frames are in the file `raw`; gives the seconds it took.
fn watch(pipeline: &Pipeline, raw: &Path, frames: u64, log: &Path) -> Result<f64> {
    let mut progress = Progress::new(frames);
    // A file of an earlier run would look like progress.
    if raw.exists() {
        std::fs::remove_file(raw).with_context(|| format!("cannot remove {}", raw.display()))?;
    }
    let start = Instant::now();
    let result = pipeline.run(log, || {
        if let Ok(file) = std::fs::metadata(raw) {
            progress.set((file.len() / TRUTH.bytes()).min(frames));
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    progress.finish();
    result.map(|()| seconds)
}
