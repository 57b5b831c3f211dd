//! Who does the clips: a worker, started when there is something to do, and again where it died.

use super::list::Source;
use super::work::{OfAll, Work};
use crate::transcode::report::Reporter;
use crate::transcode::turn::Turn;
use crate::transcode::worker::{Ended, Worker};
use anyhow::Result;

/// Has clips done.
pub struct Crew<'a> {
    work: &'a Work<'a>,
    /// What a worker is told besides this process's arguments.
    told: Vec<String>,
    worker: Option<Worker>,
}

impl<'a> Crew<'a> {
    pub fn new(work: &'a Work<'a>, told: Vec<String>) -> Self {
        Self {
            work,
            told,
            worker: None,
        }
    }

    /// A clip's turn, which is told.
    pub fn turn(&mut self, source: &Source, reporter: &mut Reporter) -> Turn {
        if let Some(turn) = self.work.finished(source, &self.work.job(source), reporter) {
            return turn;
        }
        let error = match self.order(source, reporter) {
            Ok(Ended::Turn(turn)) => return turn,
            Ok(Ended::Died(error)) => {
                self.worker = None;
                self.work.clear(source);
                error
            }
            Err(error) => error,
        };
        self.work.failed(source, &error, reporter)
    }

    fn order(&mut self, source: &Source, reporter: &mut Reporter) -> Result<Ended> {
        let stop = self.work.stop;
        stop.check()?;
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::start(&self.told).map_err(OfAll)?),
        };
        let ended = worker.order(&source.name, stop, reporter);
        stop.check()?;
        Ok(ended.map_err(OfAll)?)
    }
}
