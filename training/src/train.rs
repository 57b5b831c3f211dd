//! The training loop, from top to bottom: weights, state, data, then clip patch by clip patch until the steps are done.

use crate::{
    batch::{ClipPatch, Source, ValidationClip},
    config::{Config, LessonKind, Stage},
    data::random::{Random, hash},
    fitting::fitting,
    lesson::{Lesson, Strip},
    losses::Losses,
    parallel::Processes,
    precision::Precision,
    registered::{
        fusion::Fusion,
        trunks::{Trunks, thinned},
    },
    saved::{self, Progress},
    step::{NotFinite, StepReport, Trainer},
    tensorboard::EventFile,
    validate::{Scores, network_of, validate},
    vgg::Vgg,
    windows::Windows,
};
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use refvsr::{
    Network,
    checkpoint::{Checkpoint, read_tensors},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Write, stderr},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tch::{Device, Kind, Tensor};

/// The state of a run, in its folder.
pub const LAST: &str = "last.safetensors";
/// The model of the best validation so far, ready for use.
pub const BEST: &str = "best.safetensors";
/// The config of a run, every value in it.
pub const CONFIG: &str = "config.toml";
/// One JSON object a line: steps, validations, beginnings.
pub const LOG: &str = "log.jsonl";

/// What to do where the run's folder holds a state already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Resume {
    /// Go on from it if there is one, else begin.
    Auto,
    /// Refuse, rather than overwrite it.
    Never,
}

/// One run.
pub struct Run<'a> {
    /// What to do.
    pub config: &'a Config,
    /// Its folder; made where it is not there.
    pub folder: &'a Path,
    /// The processes it is shared by.
    pub processes: &'a Processes,
    /// The clip patches: with several processes this one's share, from the process's number on.
    pub source: &'a dyn Source,
    /// A number that stands for the source's data; a resumed run wants the same again.
    pub data: u64,
    /// The clips to validate with; none: no validation.
    pub validation: &'a [Box<dyn ValidationClip>],
    /// See [`Resume`].
    pub resume: Resume,
    /// When this becomes true in any process, the run saves its state at the end of the clip patch and returns.
    pub stop: &'a AtomicBool,
    /// Whether to show a progress bar.
    pub show: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Steps made in all.
    pub steps: u64,
    /// The best validation, in dB.
    pub best_psnr: Option<f64>,
    /// All steps are done; else the run was stopped and can be resumed.
    pub finished: bool,
    /// The latest step of this session.
    pub last: Option<StepReport>,
}

impl Run<'_> {
    /// Trains.
    ///
    /// # Errors
    /// Where files cannot be read or written, do not fit, or losses stop being finite. The state saved last is untouched by that. With several processes the
    /// others must be ended then ([`Processes::give_up`]).
    pub fn run(&self) -> Result<Outcome> {
        let Self {
            config,
            folder,
            processes,
            ..
        } = *self;
        fs::create_dir_all(folder)
            .with_context(|| format!("folder of the run {}", folder.display()))?;
        let last = folder.join(LAST);

        // Weights and the optimiser: saved ones, or fresh ones.
        let device = processes.device(config.device.parse()?)?;
        let mut precision = config.optimiser.precision;
        if precision == Precision::Fp16 && !device.is_cuda() {
            precision = Precision::Fp32;
            if processes.is_first() {
                let _ = writeln!(
                    stderr(),
                    "no CUDA device: training in fp32, not in the fp16 of optimiser.precision"
                );
            }
        }
        let network = initial_network(config, device)?;
        let mut trainer = Trainer::new(
            lesson(config, network, precision)?,
            config.recipe(precision),
        )?;
        let mut progress = Progress::new(config, self.data, processes.count());
        let resumed = last.exists();
        if resumed {
            ensure!(
                self.resume == Resume::Auto,
                "{} holds a run already; --resume auto goes on with it, --run names another folder",
                folder.display()
            );
            progress = self.restore(&mut trainer, &last)?;
        }
        processes.agree("the data set's number", self.data)?;
        processes.agree("the step to begin with", trainer.steps())?;
        if processes.is_first() {
            saved::write_whole(&folder.join(CONFIG), config.to_toml()?.as_bytes())?;
        }

        let mut out = Journal::open(folder, config, &trainer, self.show, processes.is_first())?;
        let begun = json!({
            "event": if resumed { "resumed" } else { "begun" }, "step": trainer.steps(), "trained_values": trainer.size(), "device": format!("{device:?}"),
            "precision": precision.to_string(), "processes": processes.count(),
        });
        out.log(&begun)?;

        // The next patches are decoded by the source's threads while a step runs.
        let mut patches = self.source.start(progress.patches + processes.rank())?;
        let (mut saved_at, mut latest) = (trainer.steps(), None);
        while trainer.steps() < config.optimiser.steps {
            let started = Instant::now();
            let batch: Vec<ClipPatch> = patches
                .by_ref()
                .take(config.optimiser.batch)
                .collect::<Result<_>>()
                .context("reading training data")?;
            ensure!(
                batch.len() == config.optimiser.batch,
                "the training data have come to an end"
            );
            let waited = started.elapsed();

            // All windows of the patches, one optimiser step each.
            let at_once = batch.len() as u64 * processes.count();
            let trained = trainer.train_on(&batch, processes, |step| {
                out.step(step, at_once);
                latest = Some(step.clone());
            });
            out.check()?;
            match trained {
                Err(e) if e.is::<NotFinite>() => {
                    let good = if last.exists() {
                        format!("the last good state is {}", last.display())
                    } else {
                        "no state was saved yet".into()
                    };
                    return Err(e.context(format!(
                        "training stopped; {good}, and a lower optimiser.rate may help"
                    )));
                }
                other => other?,
            }
            progress.patches += at_once;
            out.pace(waited);
            let due = |last: u64, every: u64| every > 0 && trainer.steps() / every > last / every;
            if let (true, Some(sr), Some(patch)) = (
                out.picture_due(trainer.steps()),
                trainer.last_output(),
                batch.last(),
            ) {
                out.picture(trainer.steps(), &trainer.lesson().strip(patch, sr)?)?;
            }

            let finished = trainer.steps() >= config.optimiser.steps;
            if !self.validation.is_empty()
                && config.validation.clips > 0
                && (finished || due(progress.validated_at, config.validation.every))
            {
                progress.validated_at = trainer.steps();
                if processes.is_first() {
                    self.validate(&trainer, &mut progress, &mut out)?;
                }
            }
            let stop = processes.any(self.stop.load(Ordering::Relaxed));
            if finished || stop || due(saved_at, config.output.save_every) {
                (progress.steps, progress.updates, progress.loss_scale) =
                    (trainer.steps(), trainer.updates(), trainer.loss_scale());
                if processes.is_first() {
                    saved::save(&last, &trainer.state(), &progress)?;
                }
                saved_at = trainer.steps();
            }
            if stop && !finished {
                out.say(&format!(
                    "stopped after step {}; --resume auto goes on from {}",
                    trainer.steps(),
                    last.display()
                ));
                break;
            }
        }
        out.finish();
        let finished = trainer.steps() >= config.optimiser.steps;
        Ok(Outcome {
            steps: trainer.steps(),
            best_psnr: progress.best_psnr,
            finished,
            last: latest,
        })
    }

    fn restore(&self, trainer: &mut Trainer, path: &Path) -> Result<Progress> {
        let (tensors, mut progress) = saved::load::<Progress>(path)?;
        // What may change from session to session without making it another run.
        let free = |name: &String| {
            [
                "device",
                "data.root",
                "data.workers",
                "data.ahead",
                "loss.vgg",
                "optimiser.batch",
            ]
            .contains(&name.as_str())
                || ["output.", "validation.", "start."]
                    .iter()
                    .any(|section| name.starts_with(section))
        };
        let changed: Vec<String> = self
            .config
            .difference(&progress.config)?
            .into_iter()
            .filter(|name| !free(name))
            .collect();
        ensure!(
            changed.is_empty(),
            "{} is of a run with other values of {}",
            path.display(),
            changed.join(", ")
        );
        let at_once = |config: &Config, processes: u64| {
            (
                config.optimiser.batch as u64 * processes,
                config.optimiser.batch,
                processes,
            )
        };
        let (theirs, ours) = (
            at_once(&progress.config, progress.processes),
            at_once(self.config, self.processes.count()),
        );
        ensure!(
            theirs.0 == ours.0,
            "{} is of a run with another number of patches a step: {} (optimiser.batch = {}, processes {}); here {} (optimiser.batch = {}, processes {}), and \
             batch times processes must stay",
            path.display(),
            theirs.0,
            theirs.1,
            theirs.2,
            ours.0,
            ours.1,
            ours.2
        );
        ensure!(
            progress.data == self.data,
            "{} is of a run on other data (the clips, their lengths or sizes have changed); give another folder with --run",
            path.display()
        );
        trainer
            .restore(
                &tensors,
                progress.steps,
                progress.updates,
                progress.loss_scale,
            )
            .with_context(|| path.display().to_string())?;
        (progress.config, progress.processes) = (self.config.clone(), self.processes.count());
        Ok(progress)
    }

    fn validate(
        &self,
        trainer: &Trainer,
        progress: &mut Progress,
        out: &mut Journal,
    ) -> Result<()> {
        let network = || {
            network_of(
                trainer.network().config(),
                &trainer.best_weights(),
                trainer.network().device(),
            )
        };
        let scores =
            validate(network()?, self.validation, &self.config.validation).context("validation")?;
        out.scores(trainer.steps(), &scores)?;
        if progress.best_psnr.is_none_or(|best| scores.psnr > best) {
            progress.best_psnr = Some(scores.psnr);
            let best = self.folder.join(BEST);
            let fresh = self.folder.join("best.new.safetensors");
            refvsr::checkpoint::save(&network()?, &fresh, Kind::Float)?;
            File::open(&fresh)
                .and_then(|file| file.sync_all())
                .with_context(|| fresh.display().to_string())?;
            fs::rename(&fresh, &best).with_context(|| best.display().to_string())?;
            let text = serde_json::to_string_pretty(
                &json!({ "step": trainer.steps(), "scores": scores }),
            )?;
            saved::write_whole(&self.folder.join("best.json"), text.as_bytes())?;
        }
        Ok(())
    }
}

/// What the config wants learnt, by a network.
///
/// # Errors
/// Where the losses need a VGG19 file that cannot be read, or lesson and network do not fit.
pub fn lesson(config: &Config, network: Network, precision: Precision) -> Result<Box<dyn Lesson>> {
    let losses: Losses = config.loss.terms.parse()?;
    Ok(match config.lesson {
        LessonKind::Windows => {
            let vgg = if losses.needs_vgg() {
                let file = vgg_file(config)?;
                Some(Vgg::load(&file, config.loss.layer, network.device())?)
            } else {
                None
            };
            let frozen = config.optimiser.frozen.clone();
            Box::new(Windows::new(network, losses, frozen, precision, vgg)?)
        }
        LessonKind::Trunks => {
            let teacher = Network::load(&config.start.teacher, network.device())?;
            let weight = config.loss.features;
            Box::new(Trunks::new(network, teacher, losses, weight, config.seed)?)
        }
        LessonKind::Fusion => {
            let references = config.references.clone();
            let references = references.context("a fusion without references")?;
            Box::new(Fusion::new(network, losses, references, config.seed)?)
        }
    })
}

/// The VGG19 file of the config.
fn vgg_file(config: &Config) -> Result<PathBuf> {
    let path = &config.loss.vgg;
    ensure!(
        !path.as_os_str().is_empty(),
        "the losses {} need VGG19: fetch-weights makes a file, --set loss.vgg=FILE names it",
        config.loss.terms
    );
    Ok(path.clone())
}

/// The network a run begins with: fresh weights by the seed, then `start.zero`, what `start.teacher` gives, `start.weights` and `start.checkpoint` in this order.
///
/// # Errors
/// Where a file cannot be read or nothing in it fits; for an adaptation without a checkpoint.
pub fn initial_network(config: &Config, device: Device) -> Result<Network> {
    let network = Network::new(config.model.clone(), device)?;
    let mut variables: BTreeMap<String, Tensor> =
        network.weights().variables().into_iter().collect();
    draw(&mut variables, config.seed)?;
    for prefix in &config.start.zero {
        let mut found = false;
        for (_, variable) in variables
            .iter_mut()
            .filter(|(name, _)| name.starts_with(prefix.as_str()))
        {
            let _ = tch::no_grad(|| variable.f_zero_())?;
            found = true;
        }
        ensure!(found, "start.zero: no weight's name starts with '{prefix}'");
    }
    if config.lesson == LessonKind::Trunks {
        let teacher = Network::load(&config.start.teacher, Device::Cpu)?;
        let weights = thinned(&teacher, config.model.num_blocks);
        for (name, variable) in &mut variables {
            let weight = fitting(&weights, name, variable)
                .with_context(|| format!("start.teacher {}", config.start.teacher.display()))?;
            tch::no_grad(|| variable.f_copy_(weight))?;
        }
    }
    for path in &config.start.weights {
        let tensors = read_tensors(path)?;
        let mut found = false;
        for (name, variable) in &mut variables {
            if let Some(t) = named(&tensors, name).filter(|t| t.size() == variable.size()) {
                tch::no_grad(|| variable.f_copy_(t))?;
                found = true;
            }
        }
        ensure!(
            found,
            "start.weights: nothing in {} fits the config's model",
            path.display()
        );
    }
    let from = &config.start.checkpoint;
    if from.as_os_str().is_empty() {
        ensure!(
            config.stage == Stage::Pretrain,
            "adaptation starts from a pre-trained model: --set start.checkpoint=FILE, or --from FILE"
        );
    } else {
        let checkpoint = Checkpoint::read(from)?;
        let tensors = checkpoint.tensors();
        let mut unfit = vec![];
        for (name, variable) in &mut variables {
            match tensors.get(name) {
                Some(t) if t.size() == variable.size() => tch::no_grad(|| variable.f_copy_(t))?,
                // An hd network looks at twice as deep a layer for matching, and at larger blocks: those weights are new.
                _ if checkpoint.config.hd != config.model.hd && grown(name) => (),
                _ => unfit.push(name.clone()),
            }
        }
        unfit.sort();
        if let Some(first) = unfit.first() {
            bail!(
                "start.checkpoint {}: {} weights do not fit the config's model, '{first}' for one",
                from.display(),
                unfit.len()
            );
        }
    }
    Ok(network)
}

/// A weight in a file: by its name, or, of the feature extractor, by its name in EDVR's own files.
fn named<'a>(tensors: &'a BTreeMap<String, Tensor>, name: &str) -> Option<&'a Tensor> {
    let own = || {
        name.strip_prefix("edvr.").and_then(|bare| {
            tensors
                .get(&format!("generator.{bare}"))
                .or_else(|| tensors.get(bare))
        })
    };
    tensors.get(name).or_else(own)
}

/// Fresh weights, uniform within 1/sqrt(fan-in) as PyTorch's convolutions start. Each is a function of the seed and its name, whatever else draws
/// random numbers in this process, and on every device.
fn draw(variables: &mut BTreeMap<String, Tensor>, seed: u64) -> Result<()> {
    let fan_in = |shape: &[i64]| shape.iter().skip(1).product::<i64>() as f64;
    let fans: BTreeMap<String, f64> = variables
        .iter()
        .map(|(name, v)| (name.clone(), fan_in(&v.size())))
        .collect();
    for (name, variable) in variables {
        let weight = name
            .strip_suffix(".bias")
            .map_or(name.clone(), |stem| format!("{stem}.weight"));
        let fan = fans
            .get(&weight)
            .with_context(|| format!("'{name}' has no weight beside it"))?;
        let mut random = Random::new(seed, hash(name), 0);
        let bound = 1.0 / fan.sqrt();
        let values: Vec<f32> = (0..variable.numel())
            .map(|_| (random.between(-1.0, 1.0) * bound) as f32)
            .collect();
        let values = Tensor::f_from_slice(&values)?.f_view(variable.size().as_slice())?;
        tch::no_grad(|| variable.f_copy_(&values))?;
    }
    Ok(())
}

/// Weights an hd network has and another has not.
fn grown(name: &str) -> bool {
    [
        "feature_match.feature_extract.5.",
        "feature_match.feature_extract.map128.",
        "aa1.align.",
    ]
    .iter()
    .any(|p| name.starts_with(p))
}

/// All that a run tells: bar, log, TensorBoard.
struct Journal {
    bar: ProgressBar,
    /// Of the first process only; the others tell nothing.
    files: Option<(File, EventFile)>,
    picture_every: u64,
    pictured_at: u64,
    step_started: Instant,
    failed: Option<anyhow::Error>,
}

impl Journal {
    fn open(
        folder: &Path,
        config: &Config,
        trainer: &Trainer,
        show: bool,
        first: bool,
    ) -> Result<Self> {
        let path = folder.join(LOG);
        let open = || -> Result<_> {
            let log = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&path)
                .with_context(|| path.display().to_string())?;
            Ok((log, EventFile::create(folder)?))
        };
        let bar = if show && first {
            ProgressBar::new(config.optimiser.steps)
        } else {
            ProgressBar::hidden()
        };
        bar.set_style(ProgressStyle::with_template(
            "{wide_bar} {pos}/{len} steps, {eta} left  {msg}",
        )?);
        bar.set_position(trainer.steps());
        bar.reset_eta();
        Ok(Self {
            bar,
            files: first.then(open).transpose()?,
            picture_every: config.output.picture_every,
            pictured_at: trainer.steps(),
            step_started: Instant::now(),
            failed: None,
        })
    }

    fn log(&mut self, entry: &serde_json::Value) -> Result<()> {
        match &mut self.files {
            Some((log, _)) => writeln!(log, "{entry}").context("writing the log"),
            None => Ok(()),
        }
    }

    fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<()> {
        match &mut self.files {
            Some((_, events)) => events.scalars(step, values),
            None => Ok(()),
        }
    }

    fn say(&self, text: &str) {
        if self.bar.is_hidden() {
            let _ = writeln!(stderr(), "{text}");
        } else {
            self.bar.println(text);
        }
    }

    fn step(&mut self, step: &StepReport, frames: u64) {
        let seconds = self.step_started.elapsed().as_secs_f64();
        self.step_started = Instant::now();
        let pace = frames as f64 / seconds.max(1e-9);
        let StepReport {
            step: number,
            total,
            psnr,
            gradient_norm,
            rate,
            loss_scale,
            skipped,
            ref parts,
        } = *step;
        if skipped {
            self.say(&format!(
                "step {number}: loss {total}, gradient {gradient_norm}: not finite, skipped"
            ));
        }
        let losses: serde_json::Map<_, _> = parts
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let entry = json!({
            "event": "step", "step": number, "loss": total, "losses": losses, "psnr": psnr, "gradient_norm": gradient_norm, "rate": rate,
            "loss_scale": loss_scale, "skipped": skipped, "frames_per_second": pace,
        });
        let mut write = || -> Result<()> {
            self.log(&entry)?;
            let parts: Vec<(String, f64)> = parts
                .iter()
                .map(|(name, value)| (format!("loss/{name}"), *value))
                .collect();
            let figures = [
                ("loss/total", total),
                ("train/psnr", psnr),
                ("train/gradient_norm", gradient_norm),
                ("train/rate", rate),
                ("train/fps", pace),
            ];
            let scale = loss_scale.map(|scale| ("train/loss_scale", scale));
            self.scalars(
                number,
                parts
                    .iter()
                    .map(|(name, value)| (name.as_str(), *value))
                    .chain(figures)
                    .chain(scale),
            )
        };
        if let Err(e) = write() {
            self.failed.get_or_insert(e);
        }
        self.bar.set_position(number + 1);
        self.bar
            .set_message(format!("loss {total:.4}, {psnr:.2} dB, {pace:.2} frames/s"));
    }

    /// What went wrong in [`step`](Self::step).
    fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The time until the next step counts from here; `waited` for data is said where it is long.
    fn pace(&mut self, waited: Duration) {
        if waited > Duration::from_secs(10) {
            self.say(&format!(
                "waited {:.0} s for training data; more data.workers may help",
                waited.as_secs_f64()
            ));
        }
        self.step_started = Instant::now();
    }

    fn picture_due(&mut self, step: u64) -> bool {
        let due = self.files.is_some()
            && step / self.picture_every > self.pictured_at / self.picture_every;
        if due {
            self.pictured_at = step;
        }
        due
    }

    /// Pictures side by side at the height of the highest.
    fn picture(&mut self, step: u64, strip: &Strip) -> Result<()> {
        let Some((_, events)) = &mut self.files else {
            return Ok(());
        };
        let of = |x: &Tensor, dim: usize| x.size().get(dim).copied().unwrap_or_default();
        let height = strip.pictures.iter().map(|x| of(x, 2)).max().unwrap_or(0);
        let pictures = strip.pictures.iter().map(|x| -> Result<Tensor> {
            let width = height * of(x, 3) / of(x, 2).max(1);
            Ok(x.f_to_device(Device::Cpu)?
                .f_upsample_nearest2d([height, width], None, None)?)
        });
        let pictures = Tensor::f_cat(&pictures.collect::<Result<Vec<_>>>()?, 3)?
            .f_clamp(0.0, 1.0)?
            .f_mul_scalar(255.0)?
            .f_round()?
            .f_to_kind(Kind::Uint8)?;
        let size = (
            u32::try_from(of(&pictures, 3))?,
            u32::try_from(of(&pictures, 2))?,
        );
        let pixels: Vec<u8> = Vec::try_from(
            pictures
                .f_squeeze_dim(0)?
                .f_permute([1, 2, 0])?
                .f_contiguous()?
                .f_view([-1])?,
        )?;
        let picture =
            image::RgbImage::from_raw(size.0, size.1, pixels).context("a strip of another size")?;
        let mut png = std::io::Cursor::new(vec![]);
        picture.write_to(&mut png, image::ImageFormat::Png)?;
        events.picture(step, strip.caption, size, png.get_ref())
    }

    fn scores(&mut self, step: u64, scores: &Scores) -> Result<()> {
        self.log(&json!({ "event": "validation", "step": step, "scores": scores }))?;
        let gain = scores.psnr - scores.psnr_without_reference;
        self.scalars(
            step,
            [
                ("validation/psnr", scores.psnr),
                ("validation/ssim", scores.ssim),
                (
                    "validation/psnr_without_reference",
                    scores.psnr_without_reference,
                ),
                ("validation/gain_of_reference", gain),
                (
                    "validation/gain_over_bicubic",
                    scores.psnr - scores.psnr_bicubic,
                ),
            ],
        )?;
        self.say(&format!(
            "step {step}: {:.3} dB, SSIM {:.4}; bicubic {:.3} dB; the reference gives {gain:+.3} dB",
            scores.psnr, scores.ssim, scores.psnr_bicubic
        ));
        self.step_started = Instant::now();
        Ok(())
    }

    fn finish(&self) {
        self.bar.finish();
    }
}
