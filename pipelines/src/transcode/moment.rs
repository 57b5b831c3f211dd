//! What all cameras saw about one moment, as pictures: so few frames that it takes no longer than a look.

use super::camera::{self, Camera};
use super::options::Lens;
use super::wishes::Options;
use crate::element::make;
use crate::frames::{self, of_sample};
use crate::media::messages::error_text;
use crate::media::pictures::Pictures;
use crate::media::player::Report;
use crate::media::reader::Reader;
use crate::media::stream::{self, Word};
use crate::media::{Footage, Take, open};
use crate::stop::Stop;
use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gst_app::{AppSink, AppSrc};
use refvsr::Triplet;
use refvsr::net::footage::Footage as Kind;
use refvsr_tools::picture::tensor as read;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tch::{Device, Tensor};

/// The ultra-wide camera's recording, and the others.
pub type Cameras<'a> = (&'a Footage, &'a [(Lens, Footage)]);

/// Frames about a moment, upright.
#[derive(Debug)]
pub struct Moment {
    /// When its frame is, in nanoseconds of the ultra-wide recording.
    pub at: i64,
    /// What the cameras saw, in order; a camera that had no frame then is missing.
    pub triplets: Vec<Triplet>,
    /// Which of them is the moment's.
    pub centre: usize,
    /// What the element takes the ultra-wide camera's frames for.
    pub footage: Kind,
}

/// A frame, and when it is in the ultra-wide recording, in nanoseconds.
type Timed = (i64, Tensor);

/// How frames are read.
#[derive(Debug, Clone, Copy)]
struct How<'a> {
    framerate: gst::Fraction,
    deinterlace: bool,
    stop: &'a Stop,
}

impl Moment {
    /// Reads `around` frames before and after the one at `at` nanoseconds, fewer at the ends of the recording. The other cameras started
    /// `offsets` later.
    ///
    /// # Errors
    /// A recording cannot be read, or the ultra-wide one has no frame there.
    pub fn read(
        (ultrawide, references): Cameras,
        offsets: &[i64],
        at: i64,
        around: usize,
        options: &Options,
        stop: &Stop,
    ) -> Result<Self> {
        let how = How {
            framerate: options.framerate,
            deinterlace: options.deinterlace,
            stop,
        };
        let step = interval(ultrawide, how.framerate)?;
        let before = around as i64 * step;
        let wanted = 2 * around + 1;
        let frames = how.frames(ultrawide.path(), at - before - step / 2, |frames| {
            frames.len() >= wanted
        })?;
        ensure!(
            !frames.is_empty(),
            "{} has no frame at {:.3} s",
            ultrawide.path().display(),
            at as f64 / 1e9
        );
        let (first, last) = (frames[0].0, frames[frames.len() - 1].0);
        let mut others = Vec::new();
        for ((lens, footage), offset) in references.iter().zip(offsets) {
            let own = interval(footage, how.framerate)?;
            let from = first - offset - own;
            let seen = how.frames(footage.path(), from, |frames| {
                let newest = frames.last().map(|(time, _)| time + offset);
                newest.is_some_and(|newest| newest >= last)
            })?;
            let seen: Vec<Timed> = seen.into_iter().map(|(t, x)| (t + offset, x)).collect();
            others.push((*lens, seen, own.max(step) / 2 + SLACK));
        }
        let of = |lens: Lens, time: i64| {
            let (_, seen, tolerance) = others.iter().find(|(own, ..)| *own == lens)?;
            nearest(seen, time, *tolerance).map(Tensor::shallow_clone)
        };
        let away = |(_, (time, _)): &(usize, &Timed)| time.abs_diff(at);
        let centre = frames.iter().enumerate().min_by_key(away);
        Ok(Self {
            at: centre.map_or(at, |(_, (time, _))| *time),
            centre: centre.map_or(0, |(n, _)| n),
            footage: kind(ultrawide)?,
            triplets: frames
                .iter()
                .map(|(time, picture)| Triplet {
                    ultrawide: picture.shallow_clone(),
                    wide: of(Lens::Wide, *time),
                    tele: of(Lens::Tele, *time),
                })
                .collect(),
        })
    }
}

/// Containers round times to a millisecond.
const SLACK: i64 = 1_000_000;
/// Longer than any decoder needs for a frame, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames of a recording that does not say how many it has a second.
const RATE: i64 = 30;

/// Frames whose colour has less density than their brightness are recorded ones.
fn kind(footage: &Footage) -> Result<Kind> {
    let Footage::Recording(reader) = footage else {
        return Ok(Kind::Clean);
    };
    let format = reader.format()?.format_info();
    let coarse = format
        .w_sub()
        .iter()
        .chain(format.h_sub())
        .any(|by| *by > 0);
    Ok(if coarse { Kind::Recorded } else { Kind::Clean })
}

/// From one frame to the next, in nanoseconds.
pub fn interval(footage: &Footage, framerate: gst::Fraction) -> Result<i64> {
    let rate = match footage {
        Footage::Recording(reader) => reader.format()?.fps(),
        Footage::Pictures(_) => framerate,
    };
    Ok(match rate.numer() {
        ..=0 => 1_000_000_000 / RATE,
        frames => 1_000_000_000 * i64::from(rate.denom()) / i64::from(frames),
    })
}

/// How many frames will come; a guess for a recording.
pub fn frames(footage: &Footage, options: &Options) -> Option<u64> {
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

/// The frame that is nearest to a time, if it is near enough.
fn nearest(frames: &[Timed], time: i64, tolerance: i64) -> Option<&Tensor> {
    let (at, frame) = frames.iter().min_by_key(|(at, _)| at.abs_diff(time))?;
    (at.abs_diff(time) <= tolerance as u64).then_some(frame)
}

impl How<'_> {
    /// Frames from a time of the recording on, until there are `enough`.
    fn frames(
        self,
        path: &Path,
        from: i64,
        enough: impl Fn(&[Timed]) -> bool,
    ) -> Result<Vec<Timed>> {
        let from = from.max(0);
        let footage = open(path, self.framerate, Take::default(), self.stop)?;
        match &footage {
            Footage::Pictures(pictures) => self.files(pictures, from, enough),
            Footage::Recording(reader) => {
                let camera = Camera::of(&footage, self.deinterlace)?;
                self.decoded(reader, &camera, from, enough)
            }
        }
    }

    fn files(
        self,
        pictures: &Pictures,
        from: i64,
        enough: impl Fn(&[Timed]) -> bool,
    ) -> Result<Vec<Timed>> {
        let mut frames = Vec::new();
        for (number, file) in pictures.files().iter().enumerate() {
            let time = pictures.time(number).nseconds() as i64;
            if time < from {
                continue;
            }
            self.stop.check()?;
            frames.push((time, read(file, Device::Cpu)?));
            if enough(&frames) {
                break;
            }
        }
        Ok(frames)
    }

    fn decoded(
        self,
        reader: &Reader,
        camera: &Camera,
        from: i64,
        enough: impl Fn(&[Timed]) -> bool,
    ) -> Result<Vec<Timed>> {
        let ends = reader.duration().map(|lasts| lasts.nseconds() as i64);
        if ends.is_some_and(|ends| from >= ends) {
            return Ok(vec![]);
        }
        if from > 0 {
            reader.seek(gst::ClockTime::from_nseconds(from as u64), None, self.stop)?;
        }
        let line = Line::new(camera, self.deinterlace)?;
        let (events, told) = channel();
        let pictures = stream::Pictures {
            path: camera.path.clone(),
            framerate: self.framerate,
            interlaced: self.deinterlace,
        };
        let tell = events.clone();
        reader
            .video
            .connect(line.source.clone(), 0, Some(pictures), move |word| {
                _ = tell.send(word.into())
            });
        reader.player.report_to(events)?;
        reader.player.play()?;
        let (mut frames, mut last) = (Vec::new(), Instant::now());
        while !enough(&frames) {
            self.stop.check()?;
            if let Some((time, picture)) = line.next(&told)? {
                frames.push((from + time, picture));
                last = Instant::now();
            } else if line.sink.is_eos() {
                break;
            }
            let path = camera.path.display();
            ensure!(
                last.elapsed() < PATIENCE,
                "{path} gives no frame for a minute"
            );
        }
        Ok(frames)
    }
}

/// What is told while frames are read.
enum Event {
    Reader(Report),
    Failed(anyhow::Error),
    /// What does no harm to a few frames.
    Note,
}

impl From<Report> for Event {
    fn from(report: Report) -> Self {
        Self::Reader(report)
    }
}

impl From<Word> for Event {
    fn from(word: Word) -> Self {
        match word {
            Word::Note(_) => Self::Note,
            Word::Failed(error) => Self::Failed(error),
        }
    }
}

/// A pipeline that brings decoded frames into the form of tensors.
struct Line {
    pipeline: gst::Pipeline,
    source: AppSrc,
    sink: AppSink,
}

impl Line {
    fn new(camera: &Camera, deinterlace: bool) -> Result<Self> {
        let pipeline = gst::Pipeline::new();
        let (source, last) = camera::begin(&pipeline, camera, camera.orientation, deinterlace)?;
        let convert = make("videoconvert")?;
        let sink = frames::sink();
        pipeline.add_many([&convert, sink.upcast_ref()])?;
        gst::Element::link_many([&last, &convert, sink.upcast_ref()])?;
        pipeline.set_state(gst::State::Playing)?;
        Ok(Self {
            pipeline,
            source,
            sink,
        })
    }

    /// The next frame with its running time, if one comes soon.
    fn next(&self, told: &Receiver<Event>) -> Result<Option<Timed>> {
        let soon = gst::ClockTime::from_mseconds(100);
        if let Some(sample) = self.sink.try_pull_sample(soon) {
            let time = sample.buffer().and_then(|buffer| buffer.pts());
            let time = time.context("a frame without a time")?.nseconds() as i64;
            return Ok(Some((time, of_sample(&sample)?)));
        }
        for event in told.try_iter() {
            match event {
                Event::Failed(error) => return Err(error),
                Event::Reader(report) => {
                    if let gst::MessageView::Error(error) = report.message.view() {
                        let path = report.path.display();
                        bail!("cannot read {path}: {}", error_text(error))
                    }
                }
                Event::Note => (),
            }
        }
        let bus = self.pipeline.bus().context("a pipeline without a bus")?;
        if let Some(message) = bus.pop_filtered(&[gst::MessageType::Error])
            && let gst::MessageView::Error(error) = message.view()
        {
            bail!("frames cannot be converted: {}", error_text(error))
        }
        Ok(None)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Whoever feeds it then waits no longer.
        _ = self.pipeline.set_state(gst::State::Null);
    }
}
