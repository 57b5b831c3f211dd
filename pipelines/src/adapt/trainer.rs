//! The program that trains, `refvsr-train`, which is installed beside this one.

use crate::exit::TryAgain;
use crate::stop::Stop;
use anyhow::{Context, Result, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use refvsr::ModelConfig;
use serde_json::Value;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const NAME: &str = "refvsr-train";
/// The model file that comes of a run, in the folder of the work.
pub const EXPORTED: &str = "learnt.safetensors";
/// Steps that an interruption costs at most.
const SAVED: u64 = 25;
/// Frames of each clip that is held back, when the trainer looks whether it gets better.
const JUDGED: usize = 3;

/// The program.
#[derive(Debug)]
pub struct Trainer {
    program: PathBuf,
}

/// What is to be learnt.
#[derive(Debug)]
pub struct Lesson<'a> {
    /// The folder of the work.
    pub folder: &'a Path,
    /// The network.
    pub config: &'a ModelConfig,
    /// Side of the patches.
    pub patch: i64,
    /// Clips that are held back.
    pub held_back: usize,
    pub steps: u64,
    pub device: &'a str,
}

impl Trainer {
    /// Finds it.
    ///
    /// # Errors
    /// It is missing.
    pub fn find() -> Result<Self> {
        let own = std::env::current_exe().context("cannot find out where this program lies")?;
        let program = own.with_file_name(NAME);
        ensure!(
            program.is_file(),
            "{} is missing, which does the training; the package brings it along (in a checkout: cargo build --release -p {NAME})",
            program.display()
        );
        Ok(Self { program })
    }

    fn start(&self, folder: &Path, words: &[String]) -> Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            // Paths in a run are then the same wherever it lies.
            .current_dir(folder)
            // Ctrl-C is for this process, whose end is the trainer's.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let shown = self.program.display();
        command
            .spawn()
            .with_context(|| format!("cannot start {shown}"))
    }

    /// Trains, from where an earlier run was stopped.
    ///
    /// # Errors
    /// The work was stopped, or the trainer says why it cannot be done.
    pub fn teach(&self, lesson: &Lesson, stop: &Stop) -> Result<()> {
        let mut words: Vec<String> =
            "adapt own --from start.safetensors --run run --until-input-ends"
                .split(' ')
                .map(str::to_owned)
                .collect();
        let mut set =
            |key: &str, value: String| words.extend(["--set".into(), format!("{key}={value}")]);
        // Whatever the preset says of the network, it is the one to begin with.
        let model = serde_json::to_value(lesson.config)?;
        for (key, value) in model.as_object().into_iter().flatten() {
            if !value.is_null() {
                set(&format!("model.{key}"), value.to_string());
            }
        }
        let steps = lesson.steps;
        set("data.root", "frames".into());
        set("data.windows", super::frames::CLIP.to_string());
        set("data.patch", lesson.patch.to_string());
        set("device", format!("{:?}", lesson.device));
        set("optimiser.steps", steps.to_string());
        // In a short run, too, the rate rises soon, and what comes out is the mean over its last third.
        set("optimiser.warmup", (steps / 15).min(20).to_string());
        let mean = (1.0 - 3.0 / steps as f64).clamp(0.0, 0.99);
        set("optimiser.ema", format!("{mean:?}"));
        set("validation.clips", lesson.held_back.to_string());
        set("validation.frames", JUDGED.to_string());
        set("validation.every", (steps / 3).max(1).to_string());
        set("output.save_every", SAVED.to_string());
        others_end(&lesson.folder.join("run/run.lock"), stop)?;
        let mut log = Log::open(&lesson.folder.join("run/log.jsonl"))?;
        let mut shown = Shown::new(steps);
        let child = self.start(lesson.folder, &words)?;
        let ended = watch(child, stop, || {
            log.news().iter().for_each(|entry| shown.tell(entry));
        });
        shown.bar.finish_and_clear();
        if stop.asked() {
            err!("note: the same command goes on after step {}", shown.saved);
        }
        ended
    }

    /// Makes a model file of a run.
    ///
    /// # Errors
    /// The trainer says why it cannot be done.
    pub fn export(&self, folder: &Path, stop: &Stop) -> Result<()> {
        let words = ["export", "run", "--output", EXPORTED].map(str::to_owned);
        watch(self.start(folder, &words)?, stop, || ())
    }
}

/// Waits for the trainer of a command that was killed, which saves what it has and ends.
fn others_end(lock: &Path, stop: &Stop) -> Result<()> {
    while let Ok(file) = File::open(lock)
        && let Err(TryLockError::WouldBlock) = file.try_lock()
    {
        stop.check()?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Waits for the trainer; `poll` is called several times a second.
fn watch(mut child: Child, stop: &Stop, mut poll: impl FnMut()) -> Result<()> {
    let (mut leash, errors) = (child.stdin.take(), child.stderr.take());
    let (tell, told) = channel();
    thread::spawn(move || {
        let lines = errors
            .into_iter()
            .flat_map(|errors| BufReader::new(errors).lines());
        for line in lines.map_while(Result::ok) {
            _ = tell.send(line);
        }
    });
    let mut reason = None;
    let status = loop {
        if stop.asked() {
            // The trainer saves what it has, and ends.
            leash = None;
        }
        let ended = child
            .try_wait()
            .with_context(|| format!("cannot wait for {NAME}"))?;
        poll();
        let pause = if ended.is_some() { 500 } else { 100 };
        while let Ok(line) = told.recv_timeout(Duration::from_millis(pause)) {
            reason = line
                .strip_prefix(&format!("{NAME}: "))
                .map(str::to_owned)
                .or(reason);
        }
        if let Some(status) = ended {
            break status;
        }
    };
    drop(leash);
    stop.check()?;
    match (status.success(), reason, status.signal()) {
        (true, ..) => Ok(()),
        (false, Some(reason), _) if reason.contains("No space left on device") => {
            bail!(TryAgain(format!("cannot train: {reason}")))
        }
        (false, Some(reason), _) => Err(anyhow!("cannot train: {reason}")),
        (false, None, Some(signal)) => {
            bail!(TryAgain(format!(
                "{NAME} was killed by signal {signal}, for want of memory perhaps"
            )))
        }
        (false, None, None) => bail!("{NAME} failed ({status})"),
    }
}

/// The trainer's log, as it grows.
struct Log {
    path: PathBuf,
    read: u64,
}

impl Log {
    /// What is in it already is old.
    fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            read: path.metadata().map_or(0, |data| data.len()),
            path: path.to_owned(),
        })
    }

    /// What was added since.
    fn news(&mut self) -> Vec<Value> {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.read_to_string(&mut text)
        });
        // The last line may be half written yet.
        let Some(end) = read.ok().and_then(|_| text.rfind('\n')) else {
            return vec![];
        };
        self.read += end as u64 + 1;
        let lines = text[..end].lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

/// What is told while it trains: a bar on a terminal, some lines elsewhere.
struct Shown {
    bar: ProgressBar,
    steps: u64,
    told: u64,
    /// The step that is saved, if nothing goes wrong.
    saved: u64,
}

impl Shown {
    fn new(steps: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
        let template = "      {bar:32} step {pos} of {len}  {elapsed}, {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            steps,
            told: 0,
            saved: 0,
        }
    }

    fn tell(&mut self, entry: &Value) {
        let step = entry["step"].as_u64().unwrap_or_default();
        match entry["event"].as_str() {
            Some("step") => {
                let done = step + 1;
                self.saved = done;
                self.bar.set_position(done);
                let due = (self.steps / 10).max(1);
                if self.bar.is_hidden() && done / due > self.told / due {
                    self.told = done;
                    out!("      step {done} of {}", self.steps);
                }
            }
            Some("resumed") => {
                (self.told, self.saved) = (step, step);
                self.say(&format!(
                    "      going on after step {step} of {}",
                    self.steps
                ));
                self.bar.set_position(step);
                self.bar.reset_eta();
            }
            Some("validation") => {
                let score = |name: &str| entry["scores"][name].as_f64().unwrap_or(f64::NAN);
                self.say(&format!(
                    "      step {step}: {:.2} dB on frames that were held back (bicubic {:.2})",
                    score("psnr"),
                    score("psnr_bicubic")
                ));
            }
            _ => (),
        }
    }

    fn say(&self, text: &str) {
        match self.bar.is_hidden() {
            true => out!("{text}"),
            false => self.bar.println(text),
        }
    }
}
