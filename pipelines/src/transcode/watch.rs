//! Playing a clip's pipelines to their end, and what their messages say meanwhile.

use super::graph::Graph;
use super::job::Clip;
use super::report::Reporter;
use super::sound::Way;
use crate::exit::TryAgain;
use crate::media::Footage;
use crate::media::messages::{error_text, unreadable};
use crate::media::player::Report;
use crate::media::stream::{Pictures, Word};
use crate::output::DiskFull;
use crate::stop::Stop;
use anyhow::{Context, Result, anyhow, bail};
use gst::prelude::*;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// What happens while a clip is worked on.
enum Event {
    Graph(gst::Message),
    Reader(Report),
    Note(String),
    Failed(anyhow::Error),
}

impl From<Report> for Event {
    fn from(report: Report) -> Self {
        Self::Reader(report)
    }
}

impl From<Word> for Event {
    fn from(word: Word) -> Self {
        match word {
            Word::Note(text) => Self::Note(text),
            Word::Failed(error) => Self::Failed(error),
        }
    }
}

/// What was told while the clip was enlarged, and did not end it.
#[derive(Debug, Default)]
pub struct Told {
    /// Warnings about recordings, each with its file.
    pub warnings: Vec<String>,
    /// Where reference frames were missing, in the order of the output.
    pub missing: Vec<Missing>,
}

/// Reference frames that were missing one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The camera, as its pad is named.
    pub lens: String,
    /// Running time of the first ultra-wide frame without one.
    pub from: gst::ClockTime,
    /// Running time of the first one that has one again.
    pub until: Option<gst::ClockTime>,
    /// How many; none where they did not come again.
    pub frames: Option<u64>,
}

/// How pictures are handed over.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Of frames that do not say when they are.
    pub framerate: gst::Fraction,
    /// Interlaced pictures are taken.
    pub interlaced: bool,
}

/// Plays the pipeline to its end.
pub fn play(
    clip: &Clip,
    graph: &Graph,
    shifts: &[i64],
    lead: i64,
    how: How,
    reporter: &mut Reporter,
    stop: &Stop,
) -> Result<Told> {
    let (events, received) = channel();
    let bus = graph.pipeline.bus().context("a pipeline without a bus")?;
    let to = events.clone();
    bus.set_sync_handler(move |_, message| {
        _ = to.send(Event::Graph(message.clone()));
        gst::BusSyncReply::Drop
    });
    let started = graph.pipeline.set_state(gst::State::Playing);
    if started.is_err() {
        // A message says why.
        return watch(&received, clip, graph, reporter, stop)
            .and_then(|_| bail!("the pipeline does not start"));
    }
    let start = |footage, source, shift| start(footage, source, shift, &how, &events);
    for (((_, footage), source), shift) in clip.references.iter().zip(&graph.references).zip(shifts)
    {
        start(footage, source, shift + lead)?;
    }
    if let Footage::Recording(reader) = &clip.ultrawide {
        for (track, way) in reader.tracks.iter().zip(&graph.tracks) {
            let tell = {
                let events = events.clone();
                move |word| _ = events.send(Event::from(word))
            };
            if let Way::Encoded(room) = way {
                room.start(track.path().display().to_string(), tell.clone())?;
            }
            if let Some(input) = way.input() {
                track.play(input, lead, tell)?;
            }
        }
    }
    start(&clip.ultrawide, &graph.ultrawide, lead)?;
    watch(&received, clip, graph, reporter, stop)
}

/// Starts reading.
fn start(
    footage: &Footage,
    video: &gst_app::AppSrc,
    shift: i64,
    how: &How,
    events: &Sender<Event>,
) -> Result<()> {
    match footage {
        Footage::Recording(reader) => {
            let pictures = Pictures {
                path: reader.path().to_owned(),
                framerate: how.framerate,
                interlaced: how.interlaced,
            };
            let tell = events.clone();
            let tell = move |word: Word| _ = tell.send(word.into());
            reader
                .video
                .connect(video.clone(), shift, Some(pictures), tell);
            reader.player.report_to(events.clone())?;
            reader.player.play()
        }
        Footage::Pictures(pictures) => {
            let events = events.clone();
            pictures.play(video.clone(), move |error| {
                _ = events.send(Event::Failed(error));
            });
            Ok(())
        }
    }
}

fn watch(
    events: &Receiver<Event>,
    clip: &Clip,
    graph: &Graph,
    reporter: &mut Reporter,
    stop: &Stop,
) -> Result<Told> {
    let (mut told, mut noted) = (Told::default(), Vec::new());
    loop {
        stop.check()?;
        reporter.frames(graph.usage.frames() as u64);
        let event = match events.recv_timeout(Duration::from_millis(100)) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => bail!("the pipeline has gone"),
        };
        match event {
            Event::Failed(error) => return Err(error),
            Event::Note(text) => {
                // One file may stand for two cameras.
                if !noted.contains(&text) {
                    reporter.note(&text);
                    noted.push(text);
                }
            }
            Event::Reader(report) => match report.message.view() {
                gst::MessageView::Error(error) => {
                    let (path, why) = (report.path.display(), unreadable(error));
                    let text = format!("cannot read {path}: {why}");
                    return Err(match error.error().matches(gst::ResourceError::Read) {
                        true => TryAgain(text).into(),
                        false => anyhow!(text),
                    });
                }
                gst::MessageView::Warning(warning) => {
                    let text = format!("{} is damaged: {}", report.path.display(), warning.error());
                    if !told.warnings.contains(&text) {
                        told.warnings.push(text);
                    }
                }
                _ => (),
            },
            Event::Graph(message) => match message.view() {
                gst::MessageView::Eos(_) => return Ok(told),
                gst::MessageView::Error(error) => {
                    let text = error_text(error);
                    if error.error().matches(gst::ResourceError::NoSpaceLeft) {
                        bail!(DiskFull(clip.output.path().to_owned()))
                    }
                    let is_from =
                        |element: &gst::Element| message.src() == Some(element.upcast_ref());
                    let text = match is_from(&graph.writer) {
                        true => format!("cannot write {}: {text}", clip.output.path().display()),
                        false => format!("cannot enlarge {}: {text}", clip.name),
                    };
                    // The device, or its memory: both may be there again later.
                    let passes =
                        is_from(&graph.refvsr) && error.error().matches(gst::LibraryError::Failed);
                    return Err(match passes {
                        true => TryAgain(text).into(),
                        false => anyhow!(text),
                    });
                }
                gst::MessageView::Element(element) => {
                    if let Some(structure) = element.structure() {
                        told.note(structure);
                    }
                }
                _ => (),
            },
        }
    }
}

impl Told {
    /// Takes note of an element message.
    fn note(&mut self, structure: &gst::StructureRef) {
        if structure.name() != "refvsr-missing-references" {
            return;
        }
        let (Ok(lens), Ok(begins), Ok(time)) = (
            structure.get::<String>("pad"),
            structure.get::<bool>("missing"),
            structure.get::<gst::ClockTime>("running-time"),
        ) else {
            return;
        };
        if begins {
            self.missing.push(Missing {
                lens,
                from: time,
                until: None,
                frames: None,
            });
        } else if let Some(open) = self
            .missing
            .iter_mut()
            .rfind(|missing| missing.lens == lens && missing.frames.is_none())
        {
            open.until = Some(time);
            open.frames = structure.get("frames").ok();
        }
    }
}
