//! `refvsr compare`: how far two videos, folders of pictures, or trees of them lie apart.

mod pairs;
mod strip;

use crate::media::decoded::Frames;
use crate::output::{Inputs, Report};
use crate::stop::Stop;
use anyhow::{Result, bail, ensure};
use refvsr::metrics::{psnr, ssim};
use refvsr_tools::figures::mean_psnr;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `refvsr compare`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A and B are two videos, two folders of numbered PNG files, or two trees, in which what lies at the same place is compared. Frames are
compared one by one, in their order; the exit code is 1 where one side has frames or clips that the other lacks.

Examples:
  refvsr compare out.mkv truth.mkv --worst 5 --strip worst.png
  refvsr compare out/test/HR/UW RealMCVSR/test/HR/UW --json scores.json")]
pub struct Args {
    /// Video file, or folder
    a: PathBuf,
    /// What to compare it with
    b: PathBuf,
    /// How many of the worst frames to name
    #[arg(long, default_value_t = 3, value_name = "N")]
    worst: usize,
    /// Draw the worst frames into a PNG file: A, B, and their difference, eight times as strong
    #[arg(long, value_name = "FILE")]
    strip: Option<PathBuf>,
    /// Write the figures of all frames as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A frame's figures. Equal frames have a PSNR of infinity, `null` in JSON.
#[derive(Debug, Clone, Serialize)]
struct Score {
    clip: String,
    frame: usize,
    psnr: f64,
    ssim: f64,
}

/// A frame to show.
struct Picture {
    score: Score,
    a: tch::Tensor,
    b: tch::Tensor,
}

/// Compares.
pub fn run(args: &Args) -> Result<ExitCode> {
    crate::element::init_gstreamer()?;
    let stop = Stop::on_signals()?;
    let [strip, json] = Report::begin_all(
        [args.strip.as_ref(), args.json.as_ref()],
        &Inputs::of([args.a.as_path(), &args.b]),
    )?;
    let (pairs, mut wrong) = pairs::pairs(&args.a, &args.b)?;
    let (mut scores, mut worst) = (Vec::new(), Vec::new());
    for pair in &pairs {
        let first = scores.len();
        if let Err(error) = compare(pair, args.worst, &mut scores, &mut worst, &stop) {
            if error.is::<crate::stop::Stopped>() {
                return Err(error);
            }
            wrong.push(format!("{error:#}"));
        }
        if let Some(mean) = mean(&scores[first..]) {
            out!("{}: {mean}", pair.name);
        }
    }
    if let (Some(mean), 2..) = (mean(&scores), pairs.len()) {
        out!("all frames: {mean}");
    }
    for picture in &worst {
        let Score {
            clip,
            frame,
            psnr,
            ssim,
        } = &picture.score;
        out!("worst: {clip} frame {frame}, {psnr:.2} dB / {ssim:.4}");
    }
    if let Some(strip) = strip {
        strip.write(&strip::draw(&worst)?.png()?)?;
    }
    if let Some(json) = json {
        json.write((serde_json::to_string_pretty(&scores)? + "\n").as_bytes())?;
    }
    for text in &wrong {
        err!("refvsr: {text}");
    }
    ensure!(
        !scores.is_empty() || !wrong.is_empty(),
        "there is nothing to compare"
    );
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn compare(
    pair: &pairs::Pair,
    keep: usize,
    scores: &mut Vec<Score>,
    worst: &mut Vec<Picture>,
    stop: &Stop,
) -> Result<()> {
    let (mut a, mut b) = (Frames::open(&pair.a)?, Frames::open(&pair.b)?);
    for frame in 0.. {
        stop.check()?;
        let (x, y) = match (a.next()?, b.next()?) {
            (Some(x), Some(y)) => (x, y),
            (None, None) => break,
            (x, _) => {
                let (short, long): (&Path, &Path) = match x {
                    Some(_) => (&pair.b, &pair.a),
                    None => (&pair.a, &pair.b),
                };
                bail!(
                    "{} ends after {frame} frames, {} does not",
                    short.display(),
                    long.display()
                )
            }
        };
        if x.size() != y.size() {
            let size = |t: &tch::Tensor| format!("{}x{}", t.size()[3], t.size()[2]);
            bail!(
                "{} is {}, {} is {}",
                pair.a.display(),
                size(&x),
                pair.b.display(),
                size(&y)
            )
        }
        let score = Score {
            clip: pair.name.clone(),
            frame,
            psnr: psnr(&x, &y)?,
            ssim: ssim(&x, &y)?,
        };
        scores.push(score.clone());
        worst.push(Picture { score, a: x, b: y });
        worst.sort_by(|p, q| p.score.psnr.total_cmp(&q.score.psnr));
        worst.truncate(keep);
    }
    Ok(())
}

/// The mean in words; none of none.
fn mean(scores: &[Score]) -> Option<String> {
    let n = scores.len();
    let psnr = mean_psnr(scores.iter().map(|score| score.psnr));
    let ssim = scores.iter().map(|score| score.ssim).sum::<f64>() / n as f64;
    let equal = scores.iter().filter(|s| s.psnr.is_infinite()).count();
    let equal = match equal {
        0 => String::new(),
        all if all == n => String::new(),
        equal => format!(" ({equal} of them equal, which are not in the mean PSNR)"),
    };
    (n > 0).then(|| format!("{psnr:.2} dB / {ssim:.4} over {n} frames{equal}"))
}
