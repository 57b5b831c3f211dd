//! `score`: a model on held-out clips, with and without its references, beside bicubic enlargement and BasicVSR.

use crate::{
    basicvsr::BasicVsr,
    batch::{ValidationClip, ValidationFrame},
    data::{Split, patches::Stage, validation_clips},
    validate::{References, stream},
};
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use refvsr::{Network, Session, checkpoint::read_tensors, device::DeviceChoice, metrics};
use std::{fmt::Write, path::PathBuf};
use tch::{Device, Tensor};

/// Scores a model on clips it has not learnt from, and prints tables of PSNR (dB, RGB) and SSIM.
///
/// Columns: bicubic enlargement; BasicVSR on a window of as many frames around each one, where --basicvsr names its weights; the model with the ultra-wide frame
/// standing in for the reference, with the wide camera's, and with wide and tele, where the clip has tele frames. Each runs as a stream, as in the element.
///
/// Rows: the whole frame, the field-of-view shares of the paper (0.5 is what the wide camera sees), all outside that, and what the tele camera sees.
#[derive(Debug, Clone, clap::Args)]
pub struct ScoreOptions {
    /// The model file.
    pub model: PathBuf,
    /// The folder with valid/ or test/ in it.
    #[arg(long, value_name = "FOLDER")]
    pub data: PathBuf,
    /// The part of the data set.
    #[arg(long, value_enum, default_value = "valid")]
    pub split: Split,
    /// At most so many clips.
    #[arg(long)]
    pub clips: Option<usize>,
    /// At most so many frames of each, from the first.
    #[arg(long)]
    pub frames: Option<usize>,
    /// The file with BasicVSR's weights: warm-start.safetensors of fetch-weights.
    #[arg(long, value_name = "FILE")]
    pub basicvsr: Option<PathBuf>,
    /// Frames of look-ahead, in place of the model's own.
    #[arg(long)]
    pub look_ahead: Option<usize>,
    /// Frames that share one run of the backward branch; 1 is exact.
    #[arg(long, default_value_t = 1, value_name = "FRAMES")]
    pub backward_group: usize,
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

/// PSNR and SSIM of each region of a picture, in the order of [`REGIONS`].
type Measured = [(f64, f64); REGIONS.len()];

const REGIONS: [&str; 8] = [
    "whole frame",
    "inner 0.9",
    "inner 0.8",
    "inner 0.7",
    "inner 0.6",
    "inner 0.5 (wide)",
    "outside the wide",
    "inner 0.2 (tele)",
];

/// A way to enlarge, and what came of it.
struct Column {
    name: &'static str,
    sums: Measured,
    count: usize,
}

impl Column {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            sums: [(0.0, 0.0); REGIONS.len()],
            count: 0,
        }
    }

    /// Adds the sums over `count` frames.
    fn add(&mut self, sums: &Measured, count: usize) {
        for (sum, (psnr, ssim)) in self.sums.iter_mut().zip(sums) {
            (sum.0, sum.1) = (sum.0 + psnr, sum.1 + ssim);
        }
        self.count += count;
    }
}

/// The tables, as Markdown: one a clip, and the mean over all frames.
///
/// # Errors
/// Where files are missing or do not fit.
pub fn score(options: &ScoreOptions, progress: &ProgressBar) -> Result<String> {
    let device = options.device.parse::<DeviceChoice>()?.resolve()?;
    let network = Network::load(&options.model, device)?;
    let config = network.config().clone();
    ensure!(
        !config.hd,
        "{} takes full-resolution frames, for which there is no truth",
        options.model.display()
    );
    let basicvsr = options.basicvsr.as_deref().map(|path| -> Result<BasicVsr> {
        ensure!(
            config.scale == 4,
            "BasicVSR's weights are for scale 4, the model's scale is {}",
            config.scale
        );
        BasicVsr::new(&read_tensors(path)?, device).with_context(|| path.display().to_string())
    });
    let basicvsr = basicvsr.transpose()?;
    let mut session_options = Session::options_of(&network);
    session_options.look_ahead = options.look_ahead;
    session_options.backward_group = Some(options.backward_group);
    let mut session = Session::new(network, session_options)?;
    let ahead = session.look_ahead();

    let mut clips = validation_clips(
        &options.data,
        options.split,
        Stage::Pretrain {
            scale: config.scale,
        },
    )?;
    clips.truncate(options.clips.unwrap_or(usize::MAX));
    ensure!(
        !clips.is_empty(),
        "there are no clips in {}",
        options.data.display()
    );
    let frames_of =
        |clip: &dyn ValidationClip| clip.len().min(options.frames.unwrap_or(usize::MAX));
    progress.set_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {pos}/{len} frames, {eta} left",
    )?);
    progress.set_length(
        (4 + usize::from(basicvsr.is_some())) as u64
            * clips.iter().map(|c| frames_of(c.as_ref())).sum::<usize>() as u64,
    );

    let mut text = format!(
        "{} look-ahead {ahead}, window of {} frames.\n",
        options.model.display(),
        2 * ahead + 1
    );
    let mut means: Vec<Column> = vec![];
    for clip in &clips {
        let clip = clip.as_ref();
        progress.set_message(clip.name().to_owned());
        let n = frames_of(clip);
        ensure!(n >= 1, "clip '{}' has no frames", clip.name());
        let mut columns = vec![Column::new("bicubic")];
        let mut inputs = vec![];
        for i in 0..n {
            let ValidationFrame { lr, hr, .. } = clip.frame(i)?;
            let [_, _, h, w] = lr.size()[..] else {
                bail!("frame {i} of clip '{}' is {:?}", clip.name(), lr.size())
            };
            let out = lr
                .f_upsample_bicubic2d([config.scale * h, config.scale * w], false, None, None)?
                .f_clamp(0.0, 1.0)?;
            columns[0].add(&measure(&out, &hr)?, 1);
            inputs.push(lr);
            progress.inc(1);
        }
        if let Some(basicvsr) = &basicvsr {
            let mut column = Column::new("BasicVSR");
            for i in 0..n {
                let first = i.saturating_sub(ahead);
                let out = basicvsr.forward(&inputs[first..(i + ahead + 1).min(n)], i - first)?;
                column.add(&measure(&out, &clip.frame(i)?.hr)?, 1);
                progress.inc(1);
            }
            columns.push(column);
        }
        let mut streams = vec![("no reference", false, false), ("wide", true, false)];
        if clip.tele(0)?.is_some() {
            streams.push(("wide + tele", true, true));
        }
        for (name, wide, tele) in streams {
            let mut column = Column::new(name);
            stream(
                &mut session,
                clip,
                n,
                References { wide, tele },
                |i, out| {
                    column.add(&measure(out, &clip.frame(i)?.hr)?, 1);
                    progress.inc(1);
                    Ok(())
                },
            )?;
            columns.push(column);
        }
        table(&mut text, clip.name(), &columns)?;
        for (k, column) in columns.into_iter().enumerate() {
            match means.get_mut(k) {
                Some(mean) => mean.add(&column.sums, column.count),
                None => means.push(column),
            }
        }
    }
    if clips.len() > 1 {
        table(&mut text, "mean over all frames", &means)?;
    }
    Ok(text)
}

fn measure(out: &Tensor, hr: &Tensor) -> Result<Measured> {
    let out = out.f_to_device(Device::Cpu)?;
    let mut measured = [(metrics::psnr(&out, hr)?, metrics::ssim(&out, hr)?); REGIONS.len()];
    let fields = metrics::fields_of_view(&out, hr)?;
    ensure!(fields.len() == 5, "{} fields of view", fields.len());
    for (to, field) in measured[1..6].iter_mut().zip(&fields) {
        *to = (field.inside.psnr, field.inside.ssim);
    }
    measured[6] = (fields[4].outside.psnr, fields[4].outside.ssim);
    let [_, _, h, w] = hr.size()[..] else {
        bail!("a truth of {:?}", hr.size())
    };
    let tele = |x: &Tensor| {
        x.f_narrow(2, h * 2 / 5, h / 5)
            .and_then(|x| x.f_narrow(3, w * 2 / 5, w / 5))
    };
    measured[7] = (
        metrics::psnr(&tele(&out)?, &tele(hr)?)?,
        metrics::ssim(&tele(&out)?, &tele(hr)?)?,
    );
    Ok(measured)
}

fn table(text: &mut String, title: &str, columns: &[Column]) -> Result<()> {
    let names: Vec<&str> = columns.iter().map(|c| c.name).collect();
    let frames = columns.first().map_or(0, |c| c.count);
    writeln!(
        text,
        "\n| {title}, {frames} frames | {} |\n|---{}|",
        names.join(" | "),
        "|---".repeat(names.len())
    )?;
    for (row, region) in REGIONS.iter().enumerate() {
        let figures: Vec<String> = columns
            .iter()
            .map(|c| {
                let n = c.count.max(1) as f64;
                format!("{:.3} / {:.4}", c.sums[row].0 / n, c.sums[row].1 / n)
            })
            .collect();
        writeln!(text, "| {region} | {} |", figures.join(" | "))?;
    }
    Ok(())
}
