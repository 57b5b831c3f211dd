//! Progress of work that takes a while: a bar on a terminal, a line a step elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// Counts frames, or whatever is done one after the other.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    start: Instant,
    total: u64,
    /// One of them.
    what: &'static str,
    shown: u64,
}

impl Progress {
    /// Starts at nought of `total`; `what` is one of them, and `message` is shown until the first is finished.
    pub fn new(total: u64, what: &'static str, message: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = format!("      {{bar:32}} {{pos}}/{{len}} {what}s  {{elapsed}}  {{msg}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(message);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            start: Instant::now(),
            total,
            what,
            shown: 0,
        }
    }

    /// `done` are finished.
    pub fn set(&mut self, done: u64) {
        if done == self.shown {
            return;
        }
        self.shown = done;
        self.bar.set_message("");
        self.bar.set_position(done);
        if self.bar.is_hidden() {
            out!(
                "      {} {done} of {} ({:.1} s)",
                self.what,
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
