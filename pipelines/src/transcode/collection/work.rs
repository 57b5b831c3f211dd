//! One clip's turn.

use super::list::{Format, Source};
use crate::exit;
use crate::media::{Footage, Take, open};
use crate::output::{DiskFull, Inputs, Place, Slot, Written};
use crate::stop::{Stop, Stopped};
use crate::transcode::job::{self, Clip};
use crate::transcode::keeper::Keeper;
use crate::transcode::manifest::{Done, Failed, Job, Ledger};
use crate::transcode::options::Lens;
use crate::transcode::report::Reporter;
use crate::transcode::turn::Turn;
use crate::transcode::wishes::Options;
use anyhow::{Context, Result, ensure};
use std::cell::OnceCell;
use std::path::Path;

/// What is known before a clip's turn comes.
pub struct Work<'a> {
    /// The collection's folder.
    pub output: &'a Path,
    pub format: Format,
    pub overwrite: bool,
    pub options: &'a Options,
    /// SHA-256 of the model's file.
    pub model: String,
    /// Options, as manifests hold them.
    pub words: Vec<String>,
    pub stop: &'a Stop,
    /// Loaded before the first clip that is to be done.
    pub keeper: OnceCell<Keeper>,
}

/// Marks an error that every clip would meet.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct OfAll(pub anyhow::Error);

impl Work<'_> {
    /// A clip's turn, which is told.
    pub fn turn(&self, source: &Source, reporter: &mut Reporter) -> Turn {
        match self.attempt(source, reporter) {
            Ok(turn) => turn,
            Err(error) => self.failed(source, &error, reporter),
        }
    }

    fn attempt(&self, source: &Source, reporter: &mut Reporter) -> Result<Turn> {
        self.stop.check()?;
        let job = self.job(source);
        if let Some(turn) = self.finished(source, &job, reporter) {
            return Ok(turn);
        }
        let ledger = self.ledger(source)?;
        let slot = self.slot(source, &job, &ledger)?;
        // The check has ended what an interruption left.
        if let Some(turn) = self.finished(source, &job, reporter) {
            return Ok(turn);
        }
        self.load()?;
        let start = std::time::Instant::now();
        let clip = self.clip(source, slot)?;
        let record = &mut |finished: &job::Finished, written: &_| {
            ledger.write_done(Done {
                job: job.clone(),
                output: clip.slot.place().path().display().to_string(),
                frames: finished.frames,
                seconds: start.elapsed().as_secs_f64(),
                damage: finished.damage.clone(),
                written: Written::clone(written),
            })
        };
        let finished = job::run(&clip, self.options, reporter, self.stop, record)?;
        if !finished.damage.is_empty() {
            reporter.damaged(&source.name, &finished.damage);
        }
        Ok(Turn::Done {
            damaged: !finished.damage.is_empty(),
        })
    }

    /// What a failed attempt means.
    pub fn failed(&self, source: &Source, error: &anyhow::Error, reporter: &mut Reporter) -> Turn {
        let job = self.job(source);
        let stopped = error.downcast_ref::<Stopped>();
        // Another process may have finished it in the meantime.
        if stopped.is_none()
            && let Some(turn) = self.finished(source, &job, reporter)
        {
            return turn;
        }
        reporter.failed(&source.name, error);
        let of_all = error.downcast_ref::<OfAll>();
        let again = exit::may_pass(of_all.map_or(error, |of_all| &of_all.0));
        match stopped {
            Some(Stopped(code)) => Turn::Stopped(*code),
            None if of_all.is_some() || error.is::<DiskFull>() => Turn::Ended { again },
            None if again => Turn::Failed { again },
            None => self.note_failure(source, &format!("{error:#}"), reporter),
        }
    }

    /// Notes why a clip cannot be done.
    fn note_failure(&self, source: &Source, error: &str, reporter: &mut Reporter) -> Turn {
        let failed = Failed {
            job: self.job(source),
            error: error.to_owned(),
        };
        let noted = self
            .ledger(source)
            .and_then(|ledger| ledger.write_failed(&failed));
        match noted {
            Ok(()) => Turn::Failed { again: false },
            Err(error) => {
                reporter.failed(&source.name, &error);
                let again = exit::may_pass(&error);
                Turn::Ended { again }
            }
        }
    }

    /// Removes what a process that died left of a clip.
    pub fn clear(&self, source: &Source) {
        let slot = || {
            let ledger = self.ledger(source)?;
            self.slot(source, &self.job(source), &ledger)
        };
        // What goes wrong here is for the next attempt to tell.
        _ = slot().and_then(|slot| slot.begin());
    }

    /// A clip's job.
    pub fn job(&self, source: &Source) -> Job {
        Job::of(source.inputs(), &self.model, &self.words)
    }

    /// Where is written what became of a clip: by the name of its output, which splits and formats tell apart.
    pub fn ledger(&self, source: &Source) -> Result<Ledger> {
        let name = source.output.strip_prefix(self.output)?;
        let folder = Place::find(self.output)?;
        Ok(Ledger::of(folder.path(), name))
    }

    /// The turn of a clip that this very job has finished.
    pub fn finished(&self, source: &Source, job: &Job, reporter: &mut Reporter) -> Option<Turn> {
        let place = Place::find(&source.output).ok()?;
        let done = self.ledger(source).ok()?.finished(&place, job)?;
        reporter.skipped(&source.name);
        let damaged = !done.damage.is_empty();
        if damaged {
            reporter.damaged(&source.name, &done.damage);
        }
        Some(Turn::Skipped { damaged })
    }

    /// The place of a clip's output, if it may be written.
    fn slot(&self, source: &Source, job: &Job, ledger: &Ledger) -> Result<Slot> {
        ledger.check()?;
        let kind = self.format.target(source.output.clone())?.kind();
        let place = Place::find(&source.output)?;
        let mut inputs = Inputs::of(source.inputs());
        if place.path().exists() {
            inputs = inputs.with_files();
        }
        let slot = Slot::check(place, kind, self.overwrite, &inputs, ledger.written());
        slot.with_context(|| {
            let earlier = ledger.done().filter(|done| done.job != *job);
            let made =
                earlier.map(|done| format!(", which was made with {}", done.job.differs_from(job)));
            format!("clip {}{}", source.name, made.unwrap_or_default())
        })
    }

    /// Loads the model, once.
    fn load(&self) -> Result<()> {
        if self.keeper.get().is_none() {
            let keeper = Keeper::load(&self.options.network).map_err(OfAll)?;
            _ = self.keeper.set(keeper);
        }
        Ok(())
    }

    /// Opens a clip's files.
    fn clip(&self, source: &Source, slot: Slot) -> Result<Clip> {
        let target = self.format.target(source.output.clone())?;
        let take = target.takes(self.options.no_sound);
        let framerate = self.options.framerate;
        let ultrawide = open(&source.ultrawide, framerate, take, self.stop)?;
        let mut references = Vec::new();
        for (lens, path) in &source.references {
            let footage = open(path, framerate, Take::default(), self.stop).with_context(|| {
                format!("clip {} has no {} recording", source.name, lens.name())
            })?;
            self.same_length(&ultrawide, &footage, *lens)?;
            references.push((*lens, footage));
        }
        Ok(Clip {
            name: source.name.clone(),
            ultrawide,
            references,
            output: target,
            slot,
        })
    }

    /// Pictures of all cameras are numbered alike; where some are missing the user has to say what stands in for them.
    fn same_length(&self, ultrawide: &Footage, other: &Footage, lens: Lens) -> Result<()> {
        let said = self.options.has_stand_in();
        let (Some(a), Some(b), false) = (ultrawide.pictures(), other.pictures(), said) else {
            return Ok(());
        };
        ensure!(
            a.files().len() == b.files().len(),
            "{} has {} frames, {} has {} ({} camera; --set on-missing-reference=repeat uses the last one again)",
            a.path().display(),
            a.files().len(),
            b.path().display(),
            b.files().len(),
            lens.name()
        );
        Ok(())
    }
}
