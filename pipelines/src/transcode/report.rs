//! What the user sees: bars on a terminal, a line a clip elsewhere, or one JSON object a line.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Tells how the work goes. Messages for people go to the error stream, JSON events to the output.
#[derive(Debug)]
pub struct Reporter {
    json: bool,
    start: Instant,
    clip: Option<Clip>,
    /// Finished and all clips.
    clips: (usize, usize),
}

#[derive(Debug)]
struct Clip {
    name: String,
    start: Instant,
    bar: ProgressBar,
    frames: u64,
    total: Option<u64>,
    told: Instant,
}

/// What became of the clips.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    pub done: usize,
    pub skipped: usize,
    pub failed: usize,
    /// Of those done and skipped: recordings lack frames.
    pub damaged: usize,
}

/// Time between two progress events in JSON.
const PERIOD: Duration = Duration::from_secs(1);

impl Reporter {
    /// For a job of so many clips.
    pub fn new(json: bool, clips: usize) -> Self {
        Self {
            json,
            start: Instant::now(),
            clip: None,
            clips: (0, clips),
        }
    }

    /// A clip begins.
    pub fn begin(&mut self, name: &str, total: Option<u64>) {
        let target = if self.json || !stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(total, target);
        let form = "{prefix} {bar:24} {pos}/{len} frames, {msg}";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        let count = match self.clips {
            (_, 1) => String::new(),
            (done, all) => format!("[{}/{all}] ", done + 1),
        };
        bar.set_prefix(format!("{count}{name}"));
        bar.set_message("loading the model");
        bar.enable_steady_tick(Duration::from_millis(250));
        self.event(json!({"event": "begin", "clip": name, "frames": total}));
        let now = Instant::now();
        self.clip = Some(Clip {
            name: name.to_owned(),
            start: now,
            bar,
            frames: 0,
            total,
            told: now,
        });
    }

    /// So many frames of the clip are enlarged.
    pub fn frames(&mut self, frames: u64) {
        let Some(clip) = &mut self.clip else { return };
        if frames == clip.frames {
            return;
        }
        clip.frames = frames;
        let rate = frames as f64 / clip.start.elapsed().as_secs_f64().max(1e-9);
        let left = clip
            .total
            .map(|total| total.saturating_sub(frames) as f64 / rate);
        if let Some(total) = clip.total.filter(|total| frames > *total) {
            // The length in the file was a guess.
            clip.bar.set_length(frames.max(total));
        }
        clip.bar.set_position(frames);
        let time = left.map_or(String::new(), |left| format!(", {} left", minutes(left)));
        clip.bar.set_message(format!("{rate:.2} frames/s{time}"));
        if clip.told.elapsed() >= PERIOD {
            clip.told = Instant::now();
            let event = json!({
                "event": "progress", "clip": clip.name, "frames": frames, "of": clip.total,
                "frames_per_second": rate, "seconds_left": left,
            });
            self.event(event);
        }
    }

    /// Something worth knowing that is no failure.
    pub fn note(&self, text: &str) {
        self.event(json!({"event": "note", "clip": self.name(), "text": text}));
        self.say(&format!("note: {text}"));
    }

    /// The clip is finished; so many of its frames had to do without a reference of their own.
    pub fn done(&mut self, output: &str, missing: u64) {
        let Some(clip) = self.clip.take() else { return };
        clip.bar.finish_and_clear();
        self.clips.0 += 1;
        let seconds = clip.start.elapsed().as_secs_f64();
        let rate = clip.frames as f64 / seconds.max(1e-9);
        self.event(json!({
            "event": "done", "clip": clip.name, "output": output, "frames": clip.frames, "seconds": seconds,
            "frames_per_second": rate, "missing_references": missing,
        }));
        let count = match self.clips {
            (_, 1) => String::new(),
            (done, all) => format!("[{done}/{all}] "),
        };
        let missing = match missing {
            0 => String::new(),
            n => format!(", {n} without a frame of the other cameras at their time"),
        };
        self.say(&format!(
            "{count}{output}: {} frames in {} ({rate:.2} frames/s){missing}",
            clip.frames,
            minutes(seconds)
        ));
    }

    /// Recordings of a finished clip lack frames.
    pub fn damaged(&self, name: &str, damage: &[String]) {
        let text = damage.join("; ");
        self.event(json!({"event": "damage", "clip": name, "text": text}));
        self.say(&format!("refvsr: {text}"));
    }

    /// The clip was finished by an earlier run.
    pub fn skipped(&mut self, name: &str) {
        self.clips.0 += 1;
        self.event(json!({"event": "skipped", "clip": name}));
    }

    /// The clip cannot be finished.
    pub fn failed(&mut self, name: &str, error: &anyhow::Error) {
        if let Some(clip) = self.clip.take() {
            clip.bar.finish_and_clear();
        }
        self.clips.0 += 1;
        self.event(json!({"event": "error", "clip": name, "text": format!("{error:#}")}));
        self.say(&format!("refvsr: {error:#}"));
    }

    /// The end of a job of several clips.
    pub fn end(&self, count: Count) {
        let Count {
            done,
            skipped,
            failed,
            damaged,
        } = count;
        let seconds = self.start.elapsed().as_secs_f64();
        self.event(json!({
            "event": "end", "done": done, "skipped": skipped, "failed": failed, "damaged": damaged, "seconds": seconds,
        }));
        if self.clips.1 != 1 {
            let mut text = format!("{done} clips enlarged in {}", minutes(seconds));
            if skipped > 0 {
                text += &format!(", {skipped} were finished before");
            }
            if damaged > 0 {
                text += &format!(", {damaged} of them lack frames");
            }
            if failed > 0 {
                text += &format!(", {failed} failed");
            }
            self.say(&text);
        }
    }

    fn name(&self) -> Option<&str> {
        self.clip.as_ref().map(|clip| clip.name.as_str())
    }

    fn say(&self, text: &str) {
        match &self.clip {
            _ if self.json => (),
            Some(clip) => clip.bar.suspend(|| err!("{text}")),
            None => err!("{text}"),
        }
    }

    fn event(&self, event: Value) {
        if self.json {
            out!("{event}");
        }
    }
}

/// `3.2 s`, `4:05` or `2:04:05`.
fn minutes(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) => format!("{seconds:.1} s"),
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}
