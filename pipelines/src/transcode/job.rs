//! One clip: its cameras are read, enlarged and written under a temporary name, which becomes the output's at the end.

use super::camera::Camera;
use super::container::Container;
use super::graph;
use super::options::Lens;
use super::report::Reporter;
use super::wishes::Options;
use super::{attachments, check, damage, estimate, extras, lineup, moment, watch};
use crate::media::reader::Reader;
use crate::media::{Footage, Take};
use crate::output::{Kind, Partial, Slot, Written};
use crate::stop::Stop;
use anyhow::{Context, Result};
use gst::prelude::*;
use std::path::{Path, PathBuf};

/// A clip to enlarge.
#[derive(Debug)]
pub struct Clip {
    pub name: String,
    pub ultrawide: Footage,
    pub references: Vec<(Lens, Footage)>,
    /// A video file, or a folder for PNG files.
    pub output: Target,
    /// Where it is written.
    pub slot: Slot,
}

/// Notes what is to come before the output gets its name.
pub type Record<'a> = dyn FnMut(&Finished, &Written) -> Result<()> + 'a;
impl Clip {
    /// All cameras.
    fn footage(&self) -> impl Iterator<Item = &Footage> {
        let others = self.references.iter().map(|(_, footage)| footage);
        std::iter::once(&self.ultrawide).chain(others)
    }
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

    /// What of a recording goes in besides the picture.
    pub fn takes(&self, no_sound: bool) -> Take {
        let video = matches!(self, Self::Video(..));
        Take {
            sound: video && !no_sound,
            subtitles: video,
        }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Video(path, _) | Self::Pictures(path) => path,
        }
    }

    /// What is written there.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Video(..) => Kind::File,
            Self::Pictures(_) => Kind::Folder,
        }
    }
}

/// A clip that was enlarged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub frames: u64,
    /// What was wrong with the recordings and could be left out, each with its file.
    pub damage: Vec<String>,
}

/// Enlarges a clip.
///
/// # Errors
/// One message that names the file; what was written of the output is removed.
pub fn run(
    clip: &Clip,
    options: &Options,
    reporter: &mut Reporter,
    stop: &Stop,
    record: &mut Record,
) -> Result<Finished> {
    reporter.begin(&clip.name, moment::frames(&clip.ultrawide, options));
    let cameras: Vec<_> = clip
        .references
        .iter()
        .map(|(lens, footage)| Ok((*lens, Camera::of(footage, options.deinterlace)?)))
        .collect::<Result<_>>()?;
    let ultrawide = Camera::of(&clip.ultrawide, options.deinterlace)?;
    for footage in clip.footage() {
        if let Footage::Recording(reader) = footage {
            extras::notes(reader)
                .iter()
                .for_each(|note| reporter.note(note));
        }
    }
    if let (Footage::Recording(reader), true) = (
        &clip.ultrawide,
        options.from.is_some() || options.to.is_some(),
    ) {
        reader.seek(options.from.unwrap_or_default(), options.to, stop)?;
    }
    let offsets = lineup::offsets(
        &clip.ultrawide,
        &clip.references,
        options,
        &mut |text| reporter.note(text),
        stop,
    )?;
    let recordings = (&clip.ultrawide, clip.references.as_slice());
    let form = match &clip.output {
        Target::Video(_, container) => estimate::Form::Video(*container),
        Target::Pictures(_) => estimate::Form::Pictures,
    };
    if let Some(estimate) = estimate::of_job(recordings, &offsets, form, options, stop)? {
        reporter.estimate(&estimate);
    }
    let shifts = line_up(clip, &offsets, options, stop)?;
    let partial = clip.slot.begin()?;
    if !partial.is_locked() {
        reporter.note(&format!(
            "{}: its file system has no locks; see to it that no other process writes it",
            clip.output.path().display()
        ));
    }
    let (output, lead);
    let no_tracks = [];
    match &clip.output {
        Target::Video(_, container) => {
            let (tracks, tags): (&[_], _) = match &clip.ultrawide {
                Footage::Recording(reader) => (&reader.tracks, kept(&reader.tags)),
                Footage::Pictures(_) => (&no_tracks, gst::TagList::new()),
            };
            // Sound that starts before time 0 (the priming of AAC) keeps its place: everything else starts later by as much.
            let first = tracks.iter().filter_map(|track| track.stream.first).min();
            let first = first.unwrap_or(0);
            lead = if options.from.is_some() {
                0
            } else {
                -first.min(0)
            };
            let chapters = match &clip.ultrawide {
                Footage::Recording(reader) => reader.contents.chapters.clone(),
                Footage::Pictures(_) => None,
            };
            let from = options.from.map_or(0, |from| from.nseconds() as i64);
            output = graph::Output::Video {
                path: partial.path(),
                container: *container,
                tracks,
                tags,
                chapters: chapters.map(|chapters| (chapters, lead - from)),
            };
        }
        Target::Pictures(_) => {
            output = graph::Output::Pictures {
                folder: partial.path(),
                first: 0,
            };
            lead = 0;
        }
    }
    let graph = graph::build(
        &options.network,
        &options.encoder,
        &ultrawide,
        &cameras,
        &output,
        options.deinterlace,
    )
    .with_context(|| format!("cannot write {}", clip.output.path().display()))?;
    let mut notes = graph.notes.clone();
    if let (Footage::Recording(reader), Target::Video(_, container)) =
        (&clip.ultrawide, &clip.output)
    {
        notes.extend(extras::left_out(reader, *container));
    }
    for note in &notes {
        reporter.note(&format!("{}: {note}", clip.output.path().display()));
    }
    let how = watch::How {
        framerate: options.framerate,
        interlaced: options.deinterlace,
    };
    let played = watch::play(clip, &graph, &shifts, lead, how, reporter, stop);
    let stats = graph.refvsr.property::<gst::Structure>("stats");
    let count = |name: &str| stats.get::<u64>(name).unwrap_or(0);
    let (missing, sent) = (count("missing-references"), count("frames-in"));
    let coded = graph.coded.as_ref().and_then(|pad| pad.current_caps());
    // First the pipeline that others feed, so that they do not wait for it.
    _ = graph.pipeline.set_state(gst::State::Null);
    let told = played?;
    let frames = graph.usage.frames() as u64;
    reporter.frames(frames);
    if let (Footage::Recording(reader), Target::Video(_, Container::Matroska)) =
        (&clip.ultrawide, &clip.output)
    {
        attach(reader, &partial, reporter)?;
    }
    let written = match &clip.output {
        Target::Video(..) => check::frames(partial.path(), stop),
        Target::Pictures(_) => check::pictures(partial.path()),
    };
    let output = clip.output.path();
    let written = written.with_context(|| format!("cannot read {} back", output.display()))?;
    if let Some(coded) = coded {
        let lost = check::colours(partial.path(), &ultrawide.caps, &coded, stop);
        lost.iter()
            .for_each(|lost| reporter.note(&format!("{}: {lost}", output.display())));
    }
    let mut damage = damage::of(clip, options, &told, lead);
    damage.extend(damage::little_used(clip, options, &told, &graph));
    if written != sent {
        damage.push(format!(
            "{} holds {written} frames, but {sent} were sent into it",
            output.display()
        ));
    }
    let finished = Finished { frames, damage };
    partial.finish(&mut |written| record(&finished, written))?;
    reporter.done(&output.to_string_lossy(), missing);
    Ok(finished)
}

/// Adds the files that are attached to a recording.
fn attach(reader: &Reader, partial: &Partial, reporter: &mut Reporter) -> Result<()> {
    let attached = attachments::of(reader);
    if !attached.is_empty() && !partial.edit(|file| attachments::append(file, &attached))? {
        reporter.note(&format!(
            "the files that are attached to {} are left out: GStreamer writes Matroska files in an unknown way",
            reader.path().display()
        ));
    }
    Ok(())
}

/// Brings every reference to the moment where the output begins. Returns how much later than time 0 each reference is fed in, in
/// nanoseconds.
fn line_up(clip: &Clip, offsets: &[i64], options: &Options, stop: &Stop) -> Result<Vec<i64>> {
    let from = options.from.map_or(0, |from| from.nseconds() as i64);
    let mut shifts = Vec::new();
    for ((_, footage), offset) in clip.references.iter().zip(offsets) {
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
