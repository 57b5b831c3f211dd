//! The refvsr-train command.

use anyhow::{Result, ensure};
use clap::{Args, CommandFactory, Parser, Subcommand};
use indicatif::ProgressBar;
use refvsr_tools::folder;
use refvsr_train::{
    config::{Config, PRESETS, Stage},
    data::verify::{VerifyOptions, verify},
    fetch::{FetchOptions, fetch},
    optimise::parallel::Processes,
    run::{
        Outcome, Resume, Run,
        export::{Changes, Numbers, export},
        learn_from::LearnFrom,
    },
    score::{ScoreOptions, score},
    synthesize::{SynthesizeOptions, synthesize},
};
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};
use std::{
    io::{IsTerminal, Write, copy, sink, stderr, stdin, stdout},
    path::PathBuf,
    process::{ExitCode, exit},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Trains RefVSR networks: video super-resolution with a second camera as reference (CVPR 2022).
#[derive(Parser)]
#[command(
    version,
    after_long_help = "\
The two stages of the paper, on RealMCVSR or data of that form:

  refvsr-train pretrain refvsr-mfid --run runs/mfid --set data.root=RealMCVSR --set loss.vgg=vgg19.safetensors
  refvsr-train adapt refvsr-mfid-8k --run runs/8k --from runs/mfid/best.safetensors --set data.root=RealMCVSR --set loss.vgg=vgg19.safetensors
  refvsr-train export runs/8k --output refvsr-mfid-8k.safetensors --numbers fp16

Watch a run with `tensorboard --logdir runs`. Stop it with Ctrl-C (or SIGTERM, SIGUSR1), go on with the same command.

Several processes, built with `--features mpi`: optimiser.batch is each process's, so that batch times processes is the patches a step. With device = auto
each takes a GPU of its own; the run's folder must be one that all of them see. SIGUSR1 to mpirun reaches them all and
stops the run, saved (Ctrl-C to mpirun leaves them a second only, mostly too short):

  mpirun -np 4 refvsr-train pretrain refvsr-mfid --set optimiser.batch=1 ..."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// First stage: learn from triplets whose full-resolution truth is known.
    ///
    /// Reads {train,valid}/{HR,LRx4}/{UW,W}/CLIP/0000.png under data.root (quality and light: of train/ only
    /// UW; light-trunks: train/LRx4/UW alone; light-steady: all photos in data.root). Writes into the folder
    /// of --run: last.safetensors (the state, to go on from), best.safetensors (the model of the best
    /// validation; without validation, that of the last step), config.toml, log.jsonl and TensorBoard events.
    ///
    /// RefVSR's presets begin with weights/warm-start.safetensors, which `fetch-weights --output weights` makes: the
    /// flow network in it stays as it is.
    Pretrain(Train),
    /// Second stage: adapt a pre-trained model to full-resolution video, for which there is no truth.
    ///
    /// Reads {train,valid}/HR/{UW,W,T}/CLIP/0000.png under data.root: RealMCVSR's or clips of your own. The enlarged output, reduced again, has to stay
    /// the input; texture is learnt from the tele camera. Writes what `pretrain` writes.
    Adapt(Adapt),
    /// Write a run's best weights as a model file, with a card beside it.
    Export(Export),
    /// Fetch published weights to start from.
    FetchWeights(FetchOptions),
    /// Make three-camera clips from ordinary video or photos.
    Synthesize(SynthesizeOptions),
    /// Score a model on held-out clips, beside bicubic enlargement and BasicVSR.
    Score(Box<ScoreOptions>),
    /// Look after data sets.
    #[command(subcommand)]
    Dataset(Dataset),
    /// Print the manual pages.
    #[command(hide = true)]
    Man(refvsr_man::Args),
}

#[derive(Subcommand)]
enum Dataset {
    /// Look a data set through; name every frame that is missing, unreadable, of a wrong size, or one too many.
    Verify(VerifyOptions),
}

#[derive(Args)]
struct Train {
    /// A config file, or the name of one that comes with this program (--help lists them).
    ///
    /// RefVSR: refvsr-mfid, refvsr-l1, refvsr-small-mfid, refvsr-small-l1, refvsr-ir-l1, refvsr-ir-mfid (pretrain); refvsr-mfid-8k, refvsr-small-mfid-8k (adapt); tiny (pretrain on
    /// a CPU within minutes). The bundled models: quality, light-trunks, light, light-steady (pretrain); own (adapt to cameras of one's own). --show prints one with what every value is for.
    config: String,
    /// Folder of the run [default: runs/CONFIG].
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// Another value for a key of the config; may be given many times: --set optimiser.batch=2 --set data.root=/data
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// What to do where the run's folder holds a state.
    #[arg(long, value_enum, default_value = "auto")]
    resume: Resume,
    /// Sanity check: learn one patch of this clip by heart. The loss must fall far; if it does not, something is wrong.
    #[arg(long, value_name = "CLIP")]
    overfit: Option<String>,
    /// Stop, saved, where the standard input ends: whoever started this program is no more, or wants no more of it.
    #[arg(long, hide = true)]
    until_input_ends: bool,
    /// Print the config, as it is after --set, and leave. For a config that comes with this program and without --set, as it was written.
    #[arg(long)]
    show: bool,
}

#[derive(Args)]
struct Adapt {
    /// The model to start from: a run's best.safetensors, or a published file. The same as --set start.checkpoint=FILE.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    #[command(flatten)]
    train: Train,
}

#[derive(Args)]
struct Export {
    /// Folder of the run.
    run: PathBuf,
    /// The model file to write, FILE.safetensors; its card becomes FILE.md, or FILE.new.md beside one that was edited.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Precision of the numbers in the file.
    #[arg(long, value_enum, default_value = "fp16")]
    numbers: Numbers,
    #[command(flatten)]
    changes: Changes,
}

fn main() -> ExitCode {
    if folder::is_gone() {
        let _ = writeln!(stderr(), "{}", folder::NOTE);
    }
    let result = match Cli::parse().command {
        Command::Pretrain(options) => train(&options, Stage::Pretrain),
        Command::Adapt(mut options) => {
            let from = options.from.map(|from| {
                format!(
                    "start.checkpoint={}",
                    toml::Value::String(from.to_string_lossy().into())
                )
            });
            options.train.overrides.extend(from);
            train(&options.train, Stage::Adapt)
        }
        Command::Export(options) => export(
            &options.run,
            &options.output,
            options.numbers,
            &options.changes,
        )
        .and_then(|card| {
            say(&format!(
                "wrote {}; now say in {} where the data came from",
                options.output.display(),
                card.display()
            ))
        }),
        Command::FetchWeights(options) => fetch(&options, &mut stdout()).map(|_| ()),
        Command::Synthesize(options) => synthesized(&options),
        Command::Score(options) => scored(&options),
        Command::Dataset(Dataset::Verify(options)) => verified(&options),
        Command::Man(args) => refvsr_man::print(Cli::command(), &args)
            .map_err(Into::into)
            .and_then(|text| say(text.trim_end())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(stderr(), "refvsr-train: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{text}")?)
}

fn synthesized(options: &SynthesizeOptions) -> Result<()> {
    let bar = ProgressBar::new(0);
    let (made, kept) = synthesize(options, &bar)?;
    say(&format!("{made} clips made, {kept} were there already"))
}

fn scored(options: &ScoreOptions) -> Result<()> {
    let bar = ProgressBar::new(0);
    let table = score(options, &bar)?;
    bar.finish_and_clear();
    say(table.trim_end())
}

fn verified(options: &VerifyOptions) -> Result<()> {
    let bar = ProgressBar::new(0);
    let report = verify(options, &bar)?;
    bar.finish_and_clear();
    for problem in &report.problems {
        say(&problem.to_string())?;
    }
    ensure!(
        report.problems.is_empty(),
        "{} problems in {} clips, {} frames",
        report.problems.len(),
        report.clips,
        report.frames
    );
    say(&format!(
        "{} clips, {} frames: all in order",
        report.clips, report.frames
    ))
}

static STOP: AtomicBool = AtomicBool::new(false);

/// The first signal asks the run to stop, a second one ends the program.
fn listen(notice: Option<&'static str>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGUSR1])?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                if STOP.swap(true, Ordering::Relaxed) {
                    // Schedulers send SIGUSR1 as a warning, perhaps a few times.
                    if signal != SIGUSR1 {
                        exit(128 + signal);
                    }
                } else if let Some(notice) = notice {
                    let _ = writeln!(
                        stderr(),
                        "{notice}; Ctrl-C again leaves at once, back to the state saved last"
                    );
                }
            }
        })?;
    Ok(())
}

/// The end of the standard input asks the run to stop.
fn listen_to_input() -> Result<()> {
    thread::Builder::new().name("input".into()).spawn(|| {
        let _ = copy(&mut stdin(), &mut sink());
        STOP.store(true, Ordering::Relaxed);
    })?;
    Ok(())
}

fn train(options: &Train, stage: Stage) -> Result<()> {
    if options.show {
        let as_written = PRESETS
            .iter()
            .find(|(name, _)| *name == options.config && options.overrides.is_empty());
        let text = match as_written {
            Some((_, text)) => (*text).to_owned(),
            None => Config::load(&options.config, &options.overrides)?.to_toml()?,
        };
        return say(text.trim_end());
    }
    let processes = Processes::join()?;
    train_in(&processes, options, stage).inspect_err(|error| processes.give_up(error))
}

fn train_in(processes: &Processes, options: &Train, stage: Stage) -> Result<()> {
    let config = Config::load(&options.config, &options.overrides)?;
    ensure!(
        config.stage == stage,
        "config '{}' is for `refvsr-train {}`",
        options.config,
        if stage == Stage::Pretrain {
            "adapt"
        } else {
            "pretrain"
        }
    );
    let folder = options.run.clone().unwrap_or_else(|| {
        let name = std::path::Path::new(&options.config)
            .file_stem()
            .unwrap_or_default();
        PathBuf::from("runs").join(name)
    });
    let learn_from = LearnFrom::open(&config, processes, options.overfit.as_deref())?;
    if processes.is_first() {
        let line = format!(
            "{} clips to learn from, {} too short and left out\n",
            learn_from.clips, learn_from.skipped
        );
        let _ = stderr().write_all(line.as_bytes());
    }

    listen(
        processes
            .is_first()
            .then_some("finishing this clip patch, then saving"),
    )?;
    if options.until_input_ends {
        listen_to_input()?;
    }
    let run = Run {
        config: &config,
        folder: &folder,
        processes,
        source: learn_from.source.as_ref(),
        data: learn_from.data,
        validation: &learn_from.validation,
        resume: options.resume,
        stop: &STOP,
        show: stderr().is_terminal(),
    };
    let Outcome {
        steps,
        best_psnr,
        finished,
        last,
    } = run.run()?;
    if finished && processes.is_first() {
        let loss = last.map_or(String::new(), |s| format!(", loss {:.4}", s.total));
        let best = best_psnr.map_or(String::new(), |p| format!(", best validation {p:.3} dB"));
        say(&format!(
            "{steps} steps done{loss}{best}; `refvsr-train export {}` makes a model file of it",
            folder.display()
        ))?;
    }
    Ok(())
}
