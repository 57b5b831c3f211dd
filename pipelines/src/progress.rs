//! Progress of a pipeline that another process runs: a bar on a terminal, a line a step elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// Counts frames.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    total: u64,
    shown: u64,
}

impl Progress {
    /// Starts at nought of `total` frames.
    pub fn new(total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) =
            ProgressStyle::with_template("      {bar:32} {pos}/{len} frames  {elapsed}  {msg}")
        {
            bar.set_style(style);
        }
        bar.set_message("loading the model");
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            start: Instant::now(),
            total,
            shown: 0,
        }
    }

    /// `done` frames are finished.
    pub fn set(&mut self, done: u64) {
        if done == self.shown {
            return;
        }
        self.shown = done;
        self.bar.set_message("");
        self.bar.set_position(done);
        if self.bar.is_hidden() {
            out!(
                "      frame {done} of {} ({:.1} s)",
                self.total,
                self.start.elapsed().as_secs_f64()
            );
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
