//! `score`: a model on held-out clips, with and without its references, beside bicubic enlargement and BasicVSR.

pub mod long;
mod regions;
mod report;

use crate::{
    data::batch::{ValidationClip, ValidationFrame},
    data::{Split, patches::Stage, validation_clips},
    lessons::registered::features::{Features, Motions},
    run::validate::stream,
};
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use long::{Running, options::LongOptions};
use refvsr::{
    Network, Precision, Session, Triplet, device::DeviceChoice, image::resize::bicubic_antialiased,
    net::registered::Details,
};
use refvsr_tools::enlarge;
use regions::{Measured, OUTSIDE, TELE, WIDE, measure};
use report::{Column, Frames, differences, table};
use std::path::PathBuf;
use tch::Tensor;

/// Scores a model on clips it has not learnt from, and prints tables of PSNR (dB, RGB) and SSIM.
///
/// Columns: bicubic enlargement; BasicVSR over the whole clip, where --basicvsr names its weights; the model without a reference (RefVSR's networks then take the ultra-wide
/// frame for one), with the wide camera's, with wide and tele where the clip has tele frames, and with the wide frames of another clip, which should do no harm. Each runs as
/// a stream, as in the element. The ceiling is the model without a reference, freed of that part of its error which the wide camera's grid of twice the input's density can carry.
///
/// Rows: the whole frame, the field-of-view shares of the paper (0.5 is what the wide camera sees), all outside that, and what the tele camera sees.
///
/// With --long: PSNR over ten segments of time and its slope, the largest and the median step between neighbouring outputs, the warping error beside the truth's, and how far the
/// output, reduced, is from the input (docs/evaluate.md).
///
/// Tables: each clip; all frames, the clips' first frames, and those with history; and what stands above the model without a reference, paired by clip, with the interval that
/// 10000 resamplings of the clips give.
#[derive(Debug, Clone, clap::Args)]
pub struct ScoreOptions {
    /// The model file.
    pub model: PathBuf,
    /// The folder with valid/ or test/ in it.
    #[arg(long, value_name = "FOLDER", required_unless_present = "long")]
    pub data: Option<PathBuf>,
    /// The part of the data set.
    #[arg(long, value_enum, default_value = "valid")]
    pub split: Split,
    /// At most so many clips.
    #[arg(long)]
    pub clips: Option<usize>,
    /// At most so many frames of each, from the first [default: all; with --long 300].
    #[arg(long)]
    pub frames: Option<usize>,
    /// The file with BasicVSR's weights: basicvsr.safetensors of fetch-weights.
    #[arg(long, value_name = "FILE")]
    pub basicvsr: Option<PathBuf>,
    /// Frames of look-ahead, in place of the model's own.
    #[arg(long)]
    pub look_ahead: Option<usize>,
    /// With --long: frames that share one run of the backward branch [default: as many as in the element].
    #[arg(long, value_name = "FRAMES", requires = "long")]
    pub backward_group: Option<usize>,
    /// auto, fp32, fp32-fast, fp16 or bf16 [default: fp32; with --long auto].
    #[arg(long)]
    pub precision: Option<Precision>,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Measure over time instead: clips of hundreds of frames that stand still or hardly move, filmed from --sources.
    #[arg(long, conflicts_with_all = ["data", "split", "clips", "basicvsr"])]
    pub long: bool,
    /// What long shots are.
    #[command(flatten)]
    pub shots: LongOptions,
}

/// A clip's frames in memory, `[1, 3, ..]` each.
struct Held {
    name: String,
    frames: Vec<ValidationFrame>,
    tele: Vec<Option<Tensor>>,
}

impl Held {
    fn new(clip: &dyn ValidationClip, most: usize) -> Result<Self> {
        let n = clip.len().min(most);
        ensure!(n >= 1, "clip '{}' has no frames", clip.name());
        Ok(Self {
            name: clip.name().to_owned(),
            frames: (0..n).map(|i| clip.frame(i)).collect::<Result<_>>()?,
            tele: (0..n).map(|i| clip.tele(i)).collect::<Result<_>>()?,
        })
    }

    /// Outputs freed of what a grid of twice the input's density can carry of their errors.
    fn freed(&self, outs: &[Tensor], scale: i64) -> Result<Vec<Tensor>> {
        self.frames
            .iter()
            .zip(outs)
            .map(|(frame, out)| freed(out, &frame.hr, scale))
            .collect()
    }

    fn measured(&self, outs: &[Tensor]) -> Result<Vec<Measured>> {
        self.frames
            .iter()
            .zip(outs)
            .map(|(frame, out)| measure(out, &frame.hr))
            .collect()
    }
}

/// Frames of long clips.
const LONG: usize = 300;

/// Columns, in order.
const COLUMNS: [&str; 7] = [
    "bicubic",
    "BasicVSR",
    "no reference",
    "wide",
    "wide + tele",
    "another's wide",
    "ceiling",
];
/// The one that others are compared with.
const BASE: &str = "no reference";

/// The tables, as Markdown.
///
/// # Errors
/// Where files are missing or do not fit.
pub fn score(options: &ScoreOptions, progress: &ProgressBar) -> Result<String> {
    if options.long {
        let running = Running {
            device: &options.device,
            precision: options.precision.unwrap_or(Precision::Auto),
            look_ahead: options.look_ahead,
            backward_group: options.backward_group,
            frames: options.frames.unwrap_or(LONG),
        };
        return long::long(&options.model, &options.shots, running, progress);
    }
    let data = options.data.as_deref().context("no --data was named")?;
    let device = options.device.parse::<DeviceChoice>()?.resolve()?;
    let network = Network::load(&options.model, device)?;
    let config = network.config().clone();
    ensure!(
        !config.hd,
        "{} takes full-resolution frames, for which there is no truth",
        options.model.display()
    );
    let basicvsr = options.basicvsr.as_deref().map(|path| -> Result<Network> {
        let network = Network::load(path, device)?;
        ensure!(
            network.registered().is_some(),
            "{} is a {:?} network, not BasicVSR's weights",
            path.display(),
            network.config().variant
        );
        ensure!(
            config.scale == 4,
            "BasicVSR's weights are for scale 4, the model's scale is {}",
            config.scale
        );
        Ok(network)
    });
    let basicvsr = basicvsr.transpose()?;
    let precision = options.precision.unwrap_or(Precision::Fp32);
    let mut session = enlarge::session(network, options.look_ahead, precision)?;
    let ahead = session.look_ahead();

    let stage = Stage::Pretrain {
        scale: config.scale,
    };
    let mut clips = validation_clips(data, options.split, stage)?;
    clips.truncate(options.clips.unwrap_or(usize::MAX));
    ensure!(
        !clips.is_empty(),
        "there are no clips in {}",
        data.display()
    );
    let most = options.frames.unwrap_or(usize::MAX);
    progress.set_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {pos}/{len} clips, {eta} left",
    )?);
    progress.set_length(clips.len() as u64);

    let mut text = format!(
        "{}: look-ahead {ahead}, window of {} frames, precision {}.\n",
        options.model.display(),
        2 * ahead + 1,
        precision
    );
    let mut columns = COLUMNS.map(Column::new);
    for (number, clip) in clips.iter().enumerate() {
        progress.set_message(clip.name().to_owned());
        let other = clips[(number + 1) % clips.len()].as_ref();
        let held = Held::new(clip.as_ref(), most)?;
        let mut base = vec![];
        for column in &mut columns {
            let outs = if column.name == "ceiling" {
                held.freed(&base, config.scale)?
            } else {
                let basicvsr = basicvsr.as_ref();
                enlarged(
                    column.name,
                    &held,
                    other,
                    config.scale,
                    basicvsr,
                    &mut session,
                )?
            };
            column.clips.push(held.measured(&outs)?);
            if column.name == BASE {
                base = outs;
            }
        }
        progress.inc(1);
        let there = present(&columns, number..=number);
        text += &table(&held.name, &there, &[0], Frames::All);
    }
    let all = present(&columns, 0..=clips.len() - 1);
    let everywhere: Vec<usize> = (0..clips.len()).collect();
    if clips.len() > 1 {
        text += &table("mean over all frames", &all, &everywhere, Frames::All);
        text += &table("first frames", &all, &everywhere, Frames::First);
        text += &table("frames with history", &all, &everywhere, Frames::Later);
    }
    if let Some(base) = all.iter().position(|c| c.name == BASE) {
        text += &differences(&all, base, &[0, WIDE, OUTSIDE, TELE]);
    }
    Ok(text)
}

/// The columns that have any of some clips, with those clips alone.
fn present(columns: &[Column], clips: std::ops::RangeInclusive<usize>) -> Vec<Column> {
    columns
        .iter()
        .map(|column| Column {
            name: column.name,
            clips: column.clips[clips.clone()].to_vec(),
        })
        .filter(|column| column.clips.iter().any(|clip| !clip.is_empty()))
        .collect()
}

/// A clip's frames as a column has them; none where it has nothing to show for this clip.
fn enlarged(
    column: &str,
    clip: &Held,
    other: &dyn ValidationClip,
    scale: i64,
    basicvsr: Option<&Network>,
    session: &mut Session,
) -> Result<Vec<Tensor>> {
    let device = session.network().device();
    let n = clip.frames.len();
    let mut run = |reference: &dyn Fn(usize) -> Result<[Option<Tensor>; 2]>| {
        let mut outs = Vec::with_capacity(n);
        let there = |x: Option<Tensor>| x.map(|x| x.f_to_device(device)).transpose();
        stream(
            session,
            n,
            |i| {
                let [wide, tele] = reference(i)?;
                Ok(Triplet {
                    ultrawide: clip.frames[i].lr.f_to_device(device)?,
                    wide: there(wide)?,
                    tele: there(tele)?,
                })
            },
            |_, out| {
                outs.push(out.shallow_clone());
                Ok(())
            },
        )?;
        Ok(outs)
    };
    let wide = |i: usize| clip.frames[i].wide.shallow_clone();
    let tele = |i: usize| clip.tele[i].as_ref().map(Tensor::shallow_clone);
    match column {
        "bicubic" => clip
            .frames
            .iter()
            .map(|frame| Ok(enlarge::bicubic(&frame.lr, scale)?))
            .collect(),
        "BasicVSR" => basicvsr.map_or_else(|| Ok(vec![]), |network| whole_clip(network, clip)),
        "wide" => run(&|i| Ok([Some(wide(i)), None])),
        "wide + tele" if clip.tele.iter().any(Option::is_some) => {
            run(&|i| Ok([Some(wide(i)), tele(i)]))
        }
        "another's wide" if other.name() != clip.name => {
            let last = other.len().saturating_sub(1);
            run(&|i| {
                let wrong = other.frame(i.min(last))?.wide;
                let size = clip.frames[i].lr.size();
                let wrong = bicubic_antialiased(&wrong, size[2], size[3])?;
                Ok([Some(wrong), None])
            })
        }
        BASE => run(&|_| Ok([None, None])),
        _ => Ok(vec![]),
    }
}

/// BasicVSR's frames of a clip, both branches through all of it, in exact fp32.
fn whole_clip(network: &Network, clip: &Held) -> Result<Vec<Tensor>> {
    let device = network.device();
    let layers = network.registered().context("not BasicVSR's weights")?;
    let frames = clip
        .frames
        .iter()
        .map(|frame| Ok(frame.lr.f_to_device(device)?))
        .collect::<Result<Vec<_>>>()?;
    Ok(Precision::Fp32.compute(device, || {
        let features = Features::of(layers, &frames, &Motions::of(layers, &frames)?)?;
        let joined = features.joined(layers)?;
        frames
            .iter()
            .zip(&joined)
            .map(|(frame, joined)| {
                let out = layers.enlarged(joined, frame, &Details::default())?;
                Ok(out.picture.f_clamp(0.0, 1.0)?)
            })
            .collect()
    })?)
}

/// An output freed of the part of its error that a grid of twice the input's density can carry.
fn freed(out: &Tensor, truth: &Tensor, scale: i64) -> Result<Tensor> {
    let [_, _, h, w] = truth.size()[..] else {
        bail!("a truth of {:?}", truth.size())
    };
    let error = truth.f_to_device(out.device())?.f_sub(out)?;
    let (grid_h, grid_w) = (2 * h / scale, 2 * w / scale);
    let carried = bicubic_antialiased(&error, grid_h, grid_w)?;
    Ok(out.f_add(&carried.f_upsample_bicubic2d([h, w], false, None, None)?)?)
}
