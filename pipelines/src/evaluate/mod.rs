//! `refvsr evaluate`: how near models come to the truth of RealMCVSR.

mod columns;
mod data;
mod method;
mod outputs;
mod report;
mod tables;

use crate::model::Model;
use crate::output::{Inputs, Report};
use crate::peak;
use crate::stop::Stop;
use anyhow::{Context, Result, bail, ensure};
use columns::columns;
use data::{Clip, Lens};
use indicatif::{ProgressBar, ProgressStyle};
use method::Method;
use outputs::{Located, Outputs};
use refvsr::{DeviceChoice, Precision};
use refvsr_tools::figures::{self, Steps, View};
use refvsr_tools::picture::tensor;
use report::Gallery;
use std::path::PathBuf;
use tables::{MethodSummary, Record, Results};
use tch::Device;

/// Arguments of `refvsr evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every clip runs as a stream, as in the element, in 32-bit floats unless --precision says otherwise. Figures are taken over RGB values in 0 to 1, not rounded to codes;
all means are over frames. Models for full-resolution input (8K) have no truth: they run on the HR frames, as the authors of RefVSR
run them, and only time and memory are told (refvsr transcode --tree DATA --density HR writes their pictures).

Examples:
  refvsr evaluate RealMCVSR
  refvsr evaluate RealMCVSR --model a.safetensors --model b.pytorch --json scores.json --csv scores.csv
  refvsr evaluate RealMCVSR --model auto --outputs BasicVSR=results/basicvsr --y-channel --border 4")]
pub struct Args {
    /// Folder with SPLIT/{HR,LRx2,LRx4}/{UW,W,T}/CLIP/0000.png
    data: PathBuf,
    /// Part of the data set
    #[arg(long, default_value = "test")]
    split: String,
    /// A bundled model, or a model file; may be repeated [default: auto, or none with --outputs]
    #[arg(long, value_name = "auto|quality|light|live|FILE")]
    model: Vec<Model>,
    /// What another method made of the split, beside the models: folders of PNG files or videos with the clips'
    /// names in FOLDER; may be repeated
    #[arg(long, value_name = "NAME=FOLDER")]
    outputs: Vec<Outputs>,
    /// Leave out so many pixels at each edge, in all figures but the fields of view
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    border: i64,
    /// Take figures of the brightness alone (Y of BT.601, as MATLAB has it)
    #[arg(long)]
    y_channel: bool,
    /// Which references the models get
    #[arg(long, default_value = "both", value_enum)]
    references: Which,
    /// Let models see the tele camera too
    #[arg(long)]
    with_tele: bool,
    /// At most so many clips
    #[arg(long, value_name = "N")]
    clips: Option<usize>,
    /// At most so many frames of each clip, from the first
    #[arg(long, value_name = "N")]
    frames: Option<usize>,
    /// Frames of look-ahead, in place of the models' own
    #[arg(long, value_name = "N")]
    look_ahead: Option<usize>,
    /// Number format to compute in: fp32, or what the device is fastest with (auto)
    #[arg(long, default_value = "fp32", value_name = "auto|fp32|...")]
    precision: Precision,
    /// Where to compute: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: String,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the figures of each frame as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the tables as Markdown; they are printed in any case
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write a page (HTML) with the tables, plots, and pictures to compare; it needs no network
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Frames of each clip whose pictures are in the report [default: 8, or fewer where the page would grow too large]
    #[arg(long, value_name = "N")]
    report_frames: Option<usize>,
}

/// Which references models get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    /// With and without
    Both,
    With,
    Without,
}

/// Evaluates.
pub fn run(args: &Args) -> Result<()> {
    let stop = Stop::on_signals()?;
    let device = args.device.parse::<DeviceChoice>()?.resolve()?;
    let mut clips = data::clips(&args.data, &args.split)?;
    clips.truncate(args.clips.unwrap_or(usize::MAX));
    ensure!(
        !clips.is_empty() && args.frames != Some(0),
        "no frames were asked for"
    );
    let models = match args.model.is_empty() && args.outputs.is_empty() {
        true => vec![Model::Auto],
        false => args.model.clone(),
    };
    let located = args.outputs.iter();
    let located = located.map(|outputs| outputs.locate(&args.split, &clips));
    let located: Vec<Located> = located.collect::<Result<_>>()?;
    if !located.is_empty() {
        crate::element::init_gstreamer()?;
    }
    let [json, csv, markdown, report] = Report::begin_all(
        [&args.json, &args.csv, &args.markdown, &args.report].map(Option::as_ref),
        &inputs(args, &located),
    )?;
    let mut results = Results {
        data: args.data.join(&args.split).display().to_string(),
        device: format!("{device:?}"),
        view: View {
            border: args.border,
            y_channel: args.y_channel,
        },
        ..Results::default()
    };
    let frames: usize = clips.iter().map(|clip| frames_of(clip, args)).sum();
    let columns = columns(args, &models, &located, &clips, device)?;
    let pictures = match args.report {
        Some(_) => args.report_frames,
        None => Some(0),
    };
    let mut gallery = Gallery::new(pictures, clips.len(), columns.len());
    let progress = ProgressBar::new((columns.len() * frames) as u64);
    progress.set_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {pos}/{len} frames, {eta} left",
    )?);
    for column in columns {
        let mut method = column.open(device, args)?;
        progress.set_message(method.name());
        evaluate(
            &mut method,
            &clips,
            args,
            device,
            &mut results,
            &mut gallery,
            || {
                progress.inc(1);
                stop.check()
            },
        )?;
    }
    progress.finish_and_clear();
    let text = results.markdown();
    crate::say::out(format_args!("{text}"));
    if let Some(markdown) = markdown {
        markdown.write(text.as_bytes())?;
    }
    if let Some(csv) = csv {
        csv.write(results.csv().as_bytes())?;
    }
    if let Some(report) = report {
        report.write(gallery.page(&results, args.with_tele)?.as_bytes())?;
        let (shown, albums) = gallery.shown();
        if args.report_frames.is_none() {
            err!(
                "note: the report shows {shown} frames of {albums} of the {} clips; --report-frames says how many of each",
                clips.len()
            );
        }
    }
    if let Some(json) = json {
        json.write((serde_json::to_string_pretty(&results)? + "\n").as_bytes())?;
    }
    Ok(())
}

/// What is read: models, the frames of the split, and other methods' outputs.
fn inputs(args: &Args, outputs: &[Located]) -> Inputs {
    let split = args.data.join(&args.split);
    let frames = ["HR", "LRx2", "LRx4"].map(|density| split.join(density));
    let models = args.model.iter().filter_map(Model::file);
    let outputs = outputs.iter().flat_map(Located::paths);
    let read = frames.iter().map(PathBuf::as_path).chain(models);
    Inputs::of(read.chain(outputs))
}

fn frames_of(clip: &Clip, args: &Args) -> usize {
    clip.len.min(args.frames.unwrap_or(usize::MAX))
}

fn evaluate(
    method: &mut Method,
    clips: &[Clip],
    args: &Args,
    device: Device,
    results: &mut Results,
    gallery: &mut Gallery,
    tick: impl Fn() -> Result<()>,
) -> Result<()> {
    let name = method.name();
    let (mut state_bytes, first) = (method.memory(), results.frames.len());
    peak::reset();
    for (place, clip) in clips.iter().enumerate() {
        let truth = match method.has_truth() {
            true => Some(clip.files("HR", Lens::Ultrawide)?),
            false => None,
        };
        let mut steps = Steps::default();
        method.run(clip, frames_of(clip, args), device, |method, enlarged| {
            state_bytes = state_bytes.max(method.memory());
            let (index, view) = (enlarged.index, results.view);
            let channels = view.channels(&enlarged.picture)?;
            let mut truth_inner = None;
            let figures = match &truth {
                Some(files) => {
                    let truth = tensor(&files[index], Device::Cpu)?;
                    let [found, expected] = [&enlarged.picture, &truth].map(size);
                    let file = files[index].display();
                    if found != expected {
                        bail!(
                            "frame {index} of {} by {name} is {found}, {file} is {expected}",
                            clip.name
                        )
                    }
                    let truth_channels = view.channels(&truth)?;
                    let figures = figures::measure_in(view, &channels, &truth_channels);
                    let figures = figures.with_context(|| format!("cannot compare with {file}"))?;
                    truth_inner = Some(view.inner(&truth_channels)?);
                    let pixels = truth.numel() / 3;
                    if gallery.wants(place, index, frames_of(clip, args), pixels) {
                        gallery.add(&clip.name, index, "truth", &truth)?;
                        gallery.add(&clip.name, index, &name, &enlarged.picture)?;
                        if let Some(map) = method.confidence(clip, index, device)? {
                            gallery.add_confidence(&clip.name, index, &name, &map)?;
                        }
                    }
                    Some(figures)
                }
                None => None,
            };
            let step = steps.next(&view.inner(&channels)?, truth_inner.as_ref())?;
            results.frames.push(Record {
                clip: clip.name.clone(),
                frame: enlarged.index,
                method: name.clone(),
                seconds: enlarged.seconds,
                step: step.map(|step| step.own),
                truth_step: step.and_then(|step| step.truth),
                step_error: step.and_then(|step| step.error),
                figures,
            });
            tick()
        })?;
    }
    let own = &results.frames[first..];
    let seconds: Option<f64> = own.iter().map(|record| record.seconds).sum();
    let summary = MethodSummary {
        seconds_per_frame: seconds.map(|seconds| seconds / own.len().max(1) as f64),
        scale: method.scale(),
        state_bytes,
        peak_bytes: peak::bytes().filter(|_| state_bytes.is_some()),
        mean: results.mean(None, &name),
        over_time: results.curve(&name),
        step_ratio: results.step_ratio(&name, |record| record.step),
        truth_step_ratio: results.step_ratio(&name, |record| record.truth_step),
        step_error: results.step_error(&name),
        name,
    };
    results.methods.push(summary);
    Ok(())
}

fn size(picture: &tch::Tensor) -> String {
    let size = picture.size();
    format!("{}x{}", size[3], size[2])
}
