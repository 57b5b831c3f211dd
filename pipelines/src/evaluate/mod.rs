//! `refvsr evaluate`: how near models come to the truth of RealMCVSR.

mod data;
mod method;
mod report;
mod tables;

use crate::model::Model;
use crate::output::{Inputs, Report};
use crate::peak;
use crate::stop::Stop;
use anyhow::{Context, Result, ensure};
use data::{Clip, Lens};
use indicatif::{ProgressBar, ProgressStyle};
use method::{Method, References};
use refvsr::{DeviceChoice, Precision};
use refvsr_tools::figures;
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
  refvsr evaluate RealMCVSR --model a.safetensors --model b.pytorch --json scores.json --csv scores.csv")]
pub struct Args {
    /// Folder with SPLIT/{HR,LRx2,LRx4}/{UW,W,T}/CLIP/0000.png
    data: PathBuf,
    /// Part of the data set
    #[arg(long, default_value = "test")]
    split: String,
    /// A bundled model, or a model file; may be repeated
    #[arg(
        long,
        default_value = "auto",
        value_name = "auto|quality|light|live|FILE"
    )]
    model: Vec<Model>,
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
    let [json, csv, markdown, report] = Report::begin_all(
        [&args.json, &args.csv, &args.markdown, &args.report].map(Option::as_ref),
        &inputs(args),
    )?;
    let mut results = Results {
        data: args.data.join(&args.split).display().to_string(),
        device: format!("{device:?}"),
        ..Results::default()
    };
    let frames: usize = clips.iter().map(|clip| frames_of(clip, args)).sum();
    let columns = columns(args, &clips, device)?;
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

/// What is read: models, and the frames of the split.
fn inputs(args: &Args) -> Inputs {
    let split = args.data.join(&args.split);
    let frames = ["HR", "LRx2", "LRx4"].map(|density| split.join(density));
    let models = args.model.iter().filter_map(Model::file);
    Inputs::of(frames.iter().map(PathBuf::as_path).chain(models))
}

fn frames_of(clip: &Clip, args: &Args) -> usize {
    clip.len.min(args.frames.unwrap_or(usize::MAX))
}

/// A method before it is loaded: models do not lie in memory side by side.
enum Column<'a> {
    Bicubic { scale: i64, name: String },
    Model(&'a Model, References, String),
}

impl Column<'_> {
    fn open(&self, device: Device, args: &Args) -> Result<Method> {
        Ok(match self {
            Self::Bicubic { scale, name } => Method::Bicubic {
                scale: *scale,
                name: name.clone(),
                waiting: None,
            },
            Self::Model(model, references, name) => {
                let mut method =
                    Method::model(model, *references, args.look_ahead, args.precision, device)?;
                method.rename(name);
                method
            }
        })
    }
}

/// The models, each once, with names that tell them apart: files of one name by their folders.
fn named(args: &Args, device: Device) -> Result<Vec<(&Model, String)>> {
    let mut named: Vec<(&Model, String)> = Vec::new();
    let names = args.model.iter().map(|model| model.name(device));
    let names: Vec<String> = names.collect::<Result<_>>()?;
    for (model, short) in args.model.iter().zip(&names) {
        let alike = names.iter().filter(|name| *name == short).count() > 1;
        let name = match model.file() {
            Some(path) if alike => path.display().to_string(),
            _ => short.clone(),
        };
        if !named.iter().any(|(_, other)| *other == name) {
            named.push((model, name));
        }
    }
    Ok(named)
}

/// The columns of the tables: bicubic enlargement at each scale of the models, then the models.
fn columns<'a>(args: &'a Args, clips: &[Clip], device: Device) -> Result<Vec<Column<'a>>> {
    let (mut scales, mut columns) = (vec![], vec![]);
    for (model, name) in named(args, device)? {
        let method = Method::model(
            model,
            References::None,
            args.look_ahead,
            Precision::Fp32,
            Device::Cpu,
        )?;
        if method.has_truth() && !scales.contains(&method.scale()) {
            scales.push(method.scale());
        }
        let density = method.density();
        let with = match args.with_tele && clips.iter().all(|clip| clip.has_tele(&density)) {
            true => References::WideAndTele,
            false => References::Wide,
        };
        if args.references != Which::With {
            columns.push(Column::Model(model, References::None, name.clone()));
        }
        if args.references != Which::Without {
            columns.push(Column::Model(model, with, name));
        }
    }
    let several = scales.len() > 1;
    let bicubic = scales.into_iter().map(|scale| Column::Bicubic {
        scale,
        name: match several {
            true => format!("bicubic x{scale}"),
            false => "bicubic".to_owned(),
        },
    });
    Ok(bicubic.chain(columns).collect())
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
        // The output and the truth of the frame before.
        let (mut before, mut truth_before) = (None, None);
        method.run(clip, frames_of(clip, args), device, |method, enlarged| {
            state_bytes = state_bytes.max(method.memory());
            let index = enlarged.index;
            let step = figures::step(&enlarged.picture, &mut before)?;
            let mut truth_step = None;
            let figures = match &truth {
                Some(files) => {
                    let truth = tensor(&files[index], Device::Cpu)?;
                    let figures =
                        figures::measure(&enlarged.picture, &truth).with_context(|| {
                            format!(
                                "{} does not fit what {name} makes of frame {index}",
                                files[index].display()
                            )
                        })?;
                    truth_step = figures::step(&truth, &mut truth_before)?;
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
            results.frames.push(Record {
                clip: clip.name.clone(),
                frame: enlarged.index,
                method: name.clone(),
                seconds: enlarged.seconds,
                step,
                truth_step,
                figures,
            });
            tick()
        })?;
    }
    let own = &results.frames[first..];
    let seconds: f64 = own.iter().map(|record| record.seconds).sum();
    let summary = MethodSummary {
        seconds_per_frame: seconds / own.len().max(1) as f64,
        scale: method.scale(),
        state_bytes,
        peak_bytes: peak::bytes(),
        mean: results.mean(None, &name),
        over_time: results.curve(&name),
        step_ratio: results.step_ratio(&name, |record| record.step),
        truth_step_ratio: results.step_ratio(&name, |record| record.truth_step),
        name,
    };
    results.methods.push(summary);
    Ok(())
}
