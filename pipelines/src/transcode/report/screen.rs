//! What people see: a bar a clip on a terminal, and lines on the error stream.

use super::event::Event;
use crate::transcode::estimate::Estimate;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// Shows events.
#[derive(Debug)]
pub struct Screen {
    /// Of the clip in work.
    bar: Option<ProgressBar>,
    /// Finished and all clips.
    clips: (usize, usize),
}

impl Screen {
    /// For a job of so many clips.
    pub fn new(clips: usize) -> Self {
        Self {
            bar: None,
            clips: (0, clips),
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Begin { clip, frames } => self.begin(clip, *frames),
            Event::Estimate { seconds, bytes, .. } => {
                let words = Estimate::words(*seconds, *bytes);
                self.say(&format!("note: the clip takes {words}"));
            }
            Event::Progress {
                frames,
                of,
                frames_per_second,
                seconds_left,
                ..
            } => {
                let Some(bar) = &self.bar else { return };
                if of.is_some_and(|total| *frames > total) {
                    // The length in the file was a guess.
                    bar.set_length(*frames);
                }
                bar.set_position(*frames);
                let left = seconds_left.map(|left| format!(", {} left", minutes(left)));
                let left = left.unwrap_or_default();
                bar.set_message(format!("{frames_per_second:.2} frames/s{left}"));
            }
            Event::Note { text, .. } => self.say(&format!("note: {text}")),
            Event::Done {
                output,
                frames,
                seconds,
                frames_per_second,
                missing_references,
                ..
            } => {
                self.end_clip();
                let count = match self.clips {
                    (_, 1) => String::new(),
                    (done, all) => format!("[{done}/{all}] "),
                };
                let missing = match missing_references {
                    0 => String::new(),
                    n => format!(", {n} without a frame of the other cameras at their time"),
                };
                self.say(&format!(
                    "{count}{output}: {frames} frames in {} ({frames_per_second:.2} frames/s){missing}",
                    minutes(*seconds)
                ));
            }
            Event::Damage { text, .. } => self.say(&format!("refvsr: {text}")),
            Event::Skipped { .. } => self.end_clip(),
            Event::Error { text, .. } => {
                self.end_clip();
                self.say(&format!("refvsr: {text}"));
            }
            Event::End {
                done,
                skipped,
                failed,
                damaged,
                seconds,
            } if self.clips.1 != 1 => {
                let mut text = format!("{done} clips enlarged in {}", minutes(*seconds));
                let also = [
                    (*skipped, "were finished before"),
                    (*damaged, "of them lack frames"),
                    (*failed, "failed"),
                ];
                for (count, what) in also.into_iter().filter(|(count, _)| *count > 0) {
                    text += &format!(", {count} {what}");
                }
                self.say(&text);
            }
            Event::End { .. } => (),
        }
    }

    fn begin(&mut self, clip: &str, frames: Option<u64>) {
        let target = if stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(frames, target);
        let form = "{prefix} {bar:24} {pos}/{len} frames, {msg}";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        let count = match self.clips {
            (_, 1) => String::new(),
            (done, all) => format!("[{}/{all}] ", done + 1),
        };
        bar.set_prefix(format!("{count}{clip}"));
        bar.set_message("loading the model");
        bar.enable_steady_tick(Duration::from_millis(250));
        self.bar = Some(bar);
    }

    fn end_clip(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.clips.0 += 1;
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| err!("{text}")),
            None => err!("{text}"),
        }
    }
}

/// `3.2 s`, `4:05` or `2:04:05`.
pub fn minutes(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}
