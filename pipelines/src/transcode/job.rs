//! One clip: its cameras are read, enlarged and written under a temporary name, which becomes the output's at the end.

use super::container::Container;
use super::graph::{self, Camera, Graph};
use super::options::Lens;
use super::partial::{Kind, Partial};
use super::report::Reporter;
use super::wishes::Options;
use crate::media::Footage;
use crate::media::messages::error_text;
use crate::media::orientation::Orientation;
use crate::media::reader;
use crate::stop::Stop;
use anyhow::{Context, Result, anyhow, bail, ensure};
use gst::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// The error of an output for which there is no room.
#[derive(Debug, Clone)]
pub struct DiskFull(PathBuf);

impl std::fmt::Display for DiskFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot write {}: the disk is full", self.0.display())
    }
}

impl std::error::Error for DiskFull {}

/// A clip to enlarge.
#[derive(Debug)]
pub struct Clip {
    pub name: String,
    pub ultrawide: Footage,
    pub references: Vec<(Lens, Footage)>,
    /// A video file, or a folder for PNG files.
    pub output: Target,
}

/// Where a clip goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Video(PathBuf, Container),
    Pictures(PathBuf),
}

impl Target {
    /// What a path asks for: a folder of PNG files where it ends in `/` or is a folder, else a video.
    pub fn of(path: &Path) -> Result<Self> {
        let folder = path.to_string_lossy().ends_with('/') || path.is_dir();
        Ok(if folder {
            Self::Pictures(path.components().collect())
        } else {
            Self::Video(path.to_owned(), Container::of(path)?)
        })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Video(path, _) | Self::Pictures(path) => path,
        }
    }
}

/// What happens while a clip is worked on.
enum Event {
    Graph(gst::Message),
    Reader(reader::Report),
    Failed(anyhow::Error),
}

impl From<reader::Report> for Event {
    fn from(report: reader::Report) -> Self {
        Self::Reader(report)
    }
}

fn camera(footage: &Footage) -> Result<Camera> {
    Ok(match footage {
        Footage::Recording(reader) => Camera {
            info: reader.format()?,
            caps: reader.video.caps.clone(),
            orientation: reader.orientation(),
        },
        Footage::Pictures(pictures) => Camera {
            info: pictures.format().clone(),
            caps: pictures.format().to_caps()?,
            orientation: Orientation::default(),
        },
    })
}

/// How many frames will come; a guess for a recording.
fn frames(footage: &Footage, options: &Options) -> Option<u64> {
    match footage {
        Footage::Recording(reader) => {
            let rate = reader.format().ok()?.fps();
            let end = reader.duration().into_iter().chain(options.to).min()?;
            let time = end.saturating_sub(options.from.unwrap_or_default());
            let frames = time
                .nseconds()
                .mul_div_round(rate.numer() as u64, rate.denom() as u64)?;
            Some(frames / 1_000_000_000).filter(|frames| *frames > 0)
        }
        Footage::Pictures(pictures) => Some(pictures.files().len() as u64),
    }
}

/// Starts reading.
fn start(
    footage: &Footage,
    video: &gst_app::AppSrc,
    shift: i64,
    events: &Sender<Event>,
) -> Result<()> {
    match footage {
        Footage::Recording(reader) => {
            reader.video.connect(video.clone(), shift);
            reader.report_to(events.clone())?;
            reader.play()
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

/// Enlarges a clip. Returns its number of frames.
///
/// # Errors
/// One message that names the file; what was written of the output is removed.
pub fn run(clip: &Clip, options: &Options, reporter: &mut Reporter, stop: &Stop) -> Result<u64> {
    reporter.begin(&clip.name, frames(&clip.ultrawide, options));
    let shifts = line_up(clip, options, reporter, stop)?;
    let (partial, output, lead);
    let no_sound = [];
    match &clip.output {
        Target::Video(path, container) => {
            partial = Partial::begin(path, Kind::File)?;
            let (sound, tags): (&[_], _) = match &clip.ultrawide {
                Footage::Recording(reader) => (&reader.audio, kept(&reader.tags)),
                Footage::Pictures(_) => (&no_sound, gst::TagList::new()),
            };
            // Sound that starts before time 0 (the priming of AAC) keeps its place: everything else starts later by as much.
            let first = sound.iter().map(|track| track.first).min().unwrap_or(0);
            lead = if options.from.is_some() {
                0
            } else {
                -first.min(0)
            };
            output = graph::Output::Video {
                path: partial.path(),
                container: *container,
                sound,
                tags,
            };
        }
        Target::Pictures(path) => {
            partial = Partial::begin(path, Kind::Folder)?;
            output = graph::Output::Pictures {
                folder: partial.path(),
                first: 0,
            };
            lead = 0;
        }
    }
    let cameras: Vec<_> = clip
        .references
        .iter()
        .map(|(lens, footage)| Ok((*lens, camera(footage)?)))
        .collect::<Result<_>>()?;
    let ultrawide = camera(&clip.ultrawide)?;
    let graph = graph::build(
        &options.network,
        &options.encoder,
        &ultrawide,
        &cameras,
        &output,
    )
    .with_context(|| format!("cannot write {}", clip.output.path().display()))?;
    for note in &graph.notes {
        reporter.note(&format!("{}: {note}", clip.output.path().display()));
    }
    let played = play(clip, &graph, &shifts, lead, reporter, stop);
    let missing = graph
        .refvsr
        .property::<gst::Structure>("stats")
        .get::<u64>("missing-references")
        .unwrap_or(0);
    // First the pipeline that others feed, so that they do not wait for it.
    _ = graph.pipeline.set_state(gst::State::Null);
    let damage = played?;
    partial.finish()?;
    reporter.frames(graph.frames.load(Ordering::Relaxed));
    reporter.done(&clip.output.path().to_string_lossy(), missing);
    ensure!(damage.is_empty(), "{}", damage.join("; "));
    Ok(graph.frames.load(Ordering::Relaxed))
}

/// Brings every camera to the moment where the output begins. Returns how much later than time 0 each reference is fed in, in
/// nanoseconds.
fn line_up(clip: &Clip, options: &Options, reporter: &Reporter, stop: &Stop) -> Result<Vec<i64>> {
    let from = options.from.map_or(0, |from| from.nseconds() as i64);
    if let (Footage::Recording(reader), true) = (
        &clip.ultrawide,
        options.from.is_some() || options.to.is_some(),
    ) {
        reader.seek(options.from.unwrap_or_default(), options.to, stop)?;
    }
    let mut shifts = Vec::new();
    for (lens, footage) in &clip.references {
        let given = options.offsets.iter().find(|(given, _)| given == lens);
        let offset = match (given, options.sync, &clip.ultrawide, footage) {
            (Some((_, offset)), ..) => *offset,
            (None, Some(sync), Footage::Recording(ultrawide), Footage::Recording(reader)) => {
                let offset = super::sync::offset(sync, ultrawide, reader, stop)?;
                reporter.note(&format!(
                    "the {} camera started {:+.4} s after the ultra-wide one",
                    lens.name(),
                    offset as f64 / 1e9
                ));
                offset
            }
            _ => 0,
        };
        // The place in this recording that belongs to the output's first frame.
        let place = from - offset;
        shifts.push((-place).max(0));
        if let Footage::Recording(reader) = footage
            && place > 0
        {
            reader.seek(gst::ClockTime::from_nseconds(place as u64), None, stop)?;
        }
    }
    Ok(shifts)
}

/// Plays the pipeline to its end. Returns what was wrong with the input and could be left out.
fn play(
    clip: &Clip,
    graph: &Graph,
    shifts: &[i64],
    lead: i64,
    reporter: &mut Reporter,
    stop: &Stop,
) -> Result<Vec<String>> {
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
    for (((_, footage), source), shift) in clip.references.iter().zip(&graph.references).zip(shifts)
    {
        start(footage, source, shift + lead, &events)?;
    }
    if let Footage::Recording(reader) = &clip.ultrawide {
        for (track, source) in reader.audio.iter().zip(&graph.sound) {
            track.connect(source.clone(), lead);
        }
    }
    start(&clip.ultrawide, &graph.ultrawide, lead, &events)?;
    watch(&received, clip, graph, reporter, stop)
}

fn watch(
    events: &Receiver<Event>,
    clip: &Clip,
    graph: &Graph,
    reporter: &mut Reporter,
    stop: &Stop,
) -> Result<Vec<String>> {
    let mut damage: Vec<String> = Vec::new();
    loop {
        stop.check()?;
        reporter.frames(graph.frames.load(Ordering::Relaxed));
        let event = match events.recv_timeout(Duration::from_millis(100)) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => bail!("the pipeline has gone"),
        };
        match event {
            Event::Failed(error) => return Err(error),
            Event::Reader(report) => match report.message.view() {
                gst::MessageView::Error(error) => {
                    return Err(anyhow!(
                        "cannot read {}: {}",
                        report.path.display(),
                        error_text(error)
                    ));
                }
                gst::MessageView::Warning(warning) => {
                    let text = format!("{} is damaged: {}", report.path.display(), warning.error());
                    if !damage.contains(&text) {
                        damage.push(text);
                    }
                }
                _ => (),
            },
            Event::Graph(message) => match message.view() {
                gst::MessageView::Eos(_) => return Ok(damage),
                gst::MessageView::Error(error) => {
                    let text = error_text(error);
                    if error.error().matches(gst::ResourceError::NoSpaceLeft) {
                        bail!(DiskFull(clip.output.path().to_owned()))
                    }
                    let writes = message.src() == Some(graph.writer.upcast_ref());
                    return Err(match writes {
                        true => anyhow!("cannot write {}: {text}", clip.output.path().display()),
                        false => anyhow!("cannot enlarge {}: {text}", clip.name),
                    });
                }
                _ => (),
            },
        }
    }
}

/// Tags of the recording that hold for the output as well: not those about how the recording was written.
fn kept(tags: &gst::TagListRef) -> gst::TagList {
    let mut kept = tags.to_owned();
    let inner = kept.make_mut();
    for name in [
        "container-format",
        "video-codec",
        "audio-codec",
        "codec",
        "bitrate",
        "nominal-bitrate",
        "minimum-bitrate",
        "maximum-bitrate",
        "encoder",
        "encoder-version",
        "duration",
        "image-orientation",
    ] {
        inner.remove_generic(name);
    }
    kept
}
