//! How clips ended, and what that makes of the whole.

use super::report::Count;
use crate::exit;
use serde::{Deserialize, Serialize};

/// How a clip's turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// `damaged`: its recordings lack frames.
    Done { damaged: bool },
    /// It was finished before.
    Skipped { damaged: bool },
    /// `again`: another attempt may go better.
    Failed { again: bool },
    /// No other clip would go better.
    Ended { again: bool },
    /// A signal came; the exit code.
    Stopped(u8),
}

/// How all turns ended.
#[derive(Debug, Default)]
pub struct Sum {
    pub count: Count,
    /// Another attempt may do more.
    again: bool,
    /// There are no further turns.
    pub ended: bool,
    stopped: Option<u8>,
}

impl Sum {
    pub fn add(&mut self, turn: Turn) {
        let count = &mut self.count;
        match turn {
            Turn::Done { damaged } => {
                count.done += 1;
                count.damaged += usize::from(damaged);
            }
            Turn::Skipped { damaged } => {
                count.skipped += 1;
                count.damaged += usize::from(damaged);
            }
            Turn::Failed { again } => {
                count.failed += 1;
                self.again |= again;
            }
            Turn::Ended { again } => {
                count.failed += 1;
                self.again |= again;
                self.ended = true;
            }
            Turn::Stopped(code) => {
                self.stopped = Some(code);
                self.ended = true;
            }
        }
    }

    pub fn exit_code(&self, accept_missing: bool) -> u8 {
        let lacking = self.count.damaged > 0 && !accept_missing;
        match self.stopped {
            Some(code) => code,
            None if self.again => exit::AGAIN,
            None if self.count.failed > 0 || lacking => exit::BAD,
            None => 0,
        }
    }
}
