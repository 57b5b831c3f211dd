//! What happens, as data: one JSON object a line under `--json`.

use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A clip begins; how many frames it has is a guess for recordings.
    Begin { clip: String, frames: Option<u64> },
    /// How long the clip will take, and how large it becomes, about.
    Estimate {
        clip: String,
        seconds: f64,
        bytes: u64,
    },
    Progress {
        clip: String,
        frames: u64,
        of: Option<u64>,
        frames_per_second: f64,
        seconds_left: Option<f64>,
    },
    /// Something worth knowing that is no failure.
    Note { clip: Option<String>, text: String },
    Done {
        clip: String,
        output: String,
        frames: u64,
        seconds: f64,
        frames_per_second: f64,
        /// Frames that had to do without a reference of their own.
        missing_references: u64,
    },
    /// Recordings of a finished clip lack frames, or the like.
    Damage { clip: String, text: String },
    /// An earlier run finished the clip.
    Skipped { clip: String },
    /// The clip is not finished.
    Error {
        clip: String,
        text: String,
        /// Another attempt may go better.
        try_again: bool,
    },
    /// The end of the job.
    End {
        done: usize,
        skipped: usize,
        failed: usize,
        damaged: usize,
        seconds: f64,
    },
}
