//! What the user learns of the work: people on the error stream, programs by JSON events on the output.

mod event;
mod screen;

pub use event::Event;
pub use screen::minutes;

use super::estimate::Estimate;
use crate::exit;
use screen::Screen;
use std::time::{Duration, Instant};

/// Tells how the work goes.
#[derive(Debug)]
pub struct Reporter {
    voice: Voice,
    start: Instant,
    clip: Option<Clip>,
}

/// To whom it is told.
#[derive(Debug)]
enum Voice {
    People(Screen),
    Programs,
    /// The process that this one works for.
    Through(fn(&Event)),
}

/// The clip in work.
#[derive(Debug)]
struct Clip {
    name: String,
    start: Instant,
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

/// Time between two events of progress.
const PERIOD: Duration = Duration::from_secs(1);

impl Reporter {
    /// For a job of so many clips; `json` for programs.
    pub fn new(json: bool, clips: usize) -> Self {
        Self {
            voice: match json {
                true => Voice::Programs,
                false => Voice::People(Screen::new(clips)),
            },
            start: Instant::now(),
            clip: None,
        }
    }

    /// For another process, which tells the user.
    pub fn through(voice: fn(&Event)) -> Self {
        Self {
            voice: Voice::Through(voice),
            ..Self::new(true, 0)
        }
    }

    /// Something happened.
    pub fn tell(&mut self, event: &Event) {
        match &mut self.voice {
            Voice::People(screen) => screen.show(event),
            Voice::Through(voice) => voice(event),
            Voice::Programs => {
                if let Ok(text) = serde_json::to_string(event) {
                    out!("{text}");
                }
            }
        }
    }

    /// A clip begins.
    pub fn begin(&mut self, name: &str, total: Option<u64>) {
        let now = Instant::now();
        self.clip = Some(Clip {
            name: name.to_owned(),
            start: now,
            frames: 0,
            total,
            told: now,
        });
        self.tell(&Event::Begin {
            clip: name.to_owned(),
            frames: total,
        });
    }

    /// What the clip takes, about.
    pub fn estimate(&mut self, estimate: &Estimate) {
        let clip = self.clip.as_ref().map(|clip| clip.name.clone());
        self.tell(&Event::Estimate {
            clip: clip.unwrap_or_default(),
            seconds: estimate.seconds,
            bytes: estimate.bytes,
        });
    }

    /// So many frames of the clip are enlarged.
    pub fn frames(&mut self, frames: u64) {
        let Some(clip) = self.clip.as_mut().filter(|clip| clip.frames != frames) else {
            return;
        };
        clip.frames = frames;
        if clip.told.elapsed() < PERIOD {
            return;
        }
        clip.told = Instant::now();
        let rate = frames as f64 / clip.start.elapsed().as_secs_f64().max(1e-9);
        let left = |total: u64| total.saturating_sub(frames) as f64 / rate;
        let event = Event::Progress {
            clip: clip.name.clone(),
            frames,
            of: clip.total,
            frames_per_second: rate,
            seconds_left: clip.total.map(left),
        };
        self.tell(&event);
    }

    /// Something worth knowing that is no failure.
    pub fn note(&mut self, text: &str) {
        let clip = self.clip.as_ref().map(|clip| clip.name.clone());
        let text = text.to_owned();
        self.tell(&Event::Note { clip, text });
    }

    /// The clip is finished; so many of its frames had to do without a reference of their own.
    pub fn done(&mut self, output: &str, missing: u64) {
        let Some(clip) = self.clip.take() else { return };
        let seconds = clip.start.elapsed().as_secs_f64();
        self.tell(&Event::Done {
            clip: clip.name,
            output: output.to_owned(),
            frames: clip.frames,
            seconds,
            frames_per_second: clip.frames as f64 / seconds.max(1e-9),
            missing_references: missing,
        });
    }

    /// Recordings of a finished clip lack frames.
    pub fn damaged(&mut self, name: &str, damage: &[String]) {
        self.tell(&Event::Damage {
            clip: name.to_owned(),
            text: damage.join("; "),
        });
    }

    /// The clip was finished by an earlier run.
    pub fn skipped(&mut self, name: &str) {
        self.clip = None;
        self.tell(&Event::Skipped {
            clip: name.to_owned(),
        });
    }

    /// The clip cannot be finished.
    pub fn failed(&mut self, name: &str, error: &anyhow::Error) {
        self.clip = None;
        self.tell(&Event::Error {
            clip: name.to_owned(),
            text: format!("{error:#}"),
            try_again: exit::code(error) != exit::BAD,
        });
    }

    /// The end of the job.
    pub fn end(&mut self, count: Count) {
        self.tell(&Event::End {
            done: count.done,
            skipped: count.skipped,
            failed: count.failed,
            damaged: count.damaged,
            seconds: self.start.elapsed().as_secs_f64(),
        });
    }
}
