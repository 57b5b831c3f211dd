//! The training loop, from top to bottom: weights, state, data, then clip patch by clip patch until the steps are done.

mod card;
pub mod export;
mod journal;
pub mod learn_from;
mod lock;
pub mod saved;
pub mod start;
pub mod tensorboard;
pub mod validate;

use crate::{
    config::Config,
    data::batch::{ClipPatch, Source, ValidationClip},
    optimise::{NotFinite, StepReport, Trainer, parallel::Processes},
    precision::Precision,
};
use anyhow::{Context, Result, ensure};
use journal::Journal;
pub use journal::LOG;
use lock::FolderLock;
use refvsr::Network;
use saved::Progress;
use serde_json::{Value, json};
pub use start::{initial_network, lesson, network_to_train};
use std::{
    fs::{self, File},
    io::{Write, stderr},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};
use tch::Kind;
use validate::{network_of, validate};

/// The state of a run, in its folder.
pub const LAST: &str = "last.safetensors";
/// The model of the best validation so far, ready for use; of a run without validation the last one.
pub const BEST: &str = "best.safetensors";
/// The config of a run, every value in it.
pub const CONFIG: &str = "config.toml";

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
    /// Where files cannot be read or written or do not fit, another process trains in the folder, or losses
    /// stop being finite. The state saved last is untouched by that. With several processes the others must
    /// be ended then ([`Processes::give_up`]).
    pub fn run(&self) -> Result<Outcome> {
        let Self {
            config,
            folder,
            processes,
            ..
        } = *self;
        fs::create_dir_all(folder)
            .with_context(|| format!("folder of the run {}", folder.display()))?;
        let _alone = match processes.is_first() {
            true => Some(FolderLock::take(folder)?),
            false => None,
        };
        let last = folder.join(LAST);

        // Weights and the optimiser: saved ones, or fresh ones.
        let device = processes.device(config.device.parse()?)?;
        let mut precision = config.optimiser.precision;
        if precision != Precision::Fp32 && !device.is_cuda() {
            if processes.is_first() {
                let _ = writeln!(
                    stderr(),
                    "no CUDA device: training in fp32, not in the {precision} of optimiser.precision"
                );
            }
            precision = Precision::Fp32;
        }
        let resumed = last.exists();
        let network = match resumed {
            // All weights are the saved ones.
            true => initial_network(config, device)?,
            false => network_to_train(config, device)?,
        };
        let mut trainer = Trainer::new(
            lesson(config, network, precision)?,
            config.recipe(precision),
        )?;
        let start = config.start.contents()?;
        let mut progress = Progress::new(config, self.data, start, processes.count());
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
            let validates = !self.validation.is_empty() && config.validation.clips > 0;
            if validates && (finished || due(progress.validated_at, config.validation.every)) {
                progress.validated_at = trainer.steps();
                if processes.is_first() {
                    self.validate(&trainer, &mut progress, &mut out)?;
                }
            }
            let never_validated = !validates && progress.best_psnr.is_none();
            if finished && never_validated && processes.is_first() {
                self.keep(&trainer, &json!({ "step": trainer.steps() }))?;
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
        let start = self.config.start.contents()?;
        ensure!(
            progress.start.is_none_or(|theirs| theirs == start),
            "{} is of a run that began with other weights or another teacher (the files of [start] hold something else now); give another \
             folder with --run",
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
        progress.start = Some(start);
        (progress.config, progress.processes) = (self.config.clone(), self.processes.count());
        Ok(progress)
    }

    fn validate(
        &self,
        trainer: &Trainer,
        progress: &mut Progress,
        out: &mut Journal,
    ) -> Result<()> {
        let network = best_network(trainer)?;
        let scores =
            validate(network, self.validation, &self.config.validation).context("validation")?;
        out.scores(trainer.steps(), &scores)?;
        // At a tie the later weights: they have learnt more.
        if progress.best_psnr.is_none_or(|best| scores.psnr >= best) {
            progress.best_psnr = Some(scores.psnr);
            self.keep(
                trainer,
                &json!({ "step": trainer.steps(), "scores": scores }),
            )?;
        }
        Ok(())
    }

    /// Writes the run's model, and beside it what is known about it.
    fn keep(&self, trainer: &Trainer, about: &Value) -> Result<()> {
        let network = best_network(trainer)?;
        let best = self.folder.join(BEST);
        let fresh = self.folder.join("best.new.safetensors");
        refvsr::checkpoint::save(&network, &fresh, Kind::Float)?;
        File::open(&fresh)
            .and_then(|file| file.sync_all())
            .with_context(|| fresh.display().to_string())?;
        fs::rename(&fresh, &best).with_context(|| best.display().to_string())?;
        let text = serde_json::to_string_pretty(about)?;
        saved::write_whole(&self.folder.join("best.json"), text.as_bytes())
    }
}

/// The network that a run is worth so far: to validate, and to ship.
fn best_network(trainer: &Trainer) -> Result<Network> {
    let network = trainer.network();
    network_of(network.config(), &trainer.best_weights(), network.device())
}
