//! One recording: a pipeline that decodes its picture, and tracks that hand sound and subtitles over as they lie in the file.

use super::colours::Colours;
use super::contents::{Contents, Kind, is_container, kind, list};
use super::cut::is_cut;
use super::memory::fetcher;
use super::orientation::Orientation;
use super::player::{Player, pass_by};
use super::stream::{Part, Stream, tags};
use super::timecode::Timecode;
use super::track::Track;
use super::{Take, rotation};
use crate::stop::Stop;
use anyhow::{Context, Result, bail, ensure};
use gst::prelude::*;
use gst_app::AppSink;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Decoded frames that wait for the network. Small: a frame of a 4K camera has 12 MB.
const FRAMES_WAITING: u32 = 3;

/// A stream of sound whose last packet begins no earlier before the file's end is what the file's length comes from.
const SOUND_LEFT: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// A recording, open, at its first frame.
#[derive(Debug)]
pub struct Reader {
    pub player: Player,
    /// The picture, decoded.
    pub video: Stream,
    /// The sound tracks and subtitles, as they lie in the file.
    pub tracks: Vec<Track>,
    /// Tracks that cannot be read, in words.
    pub unread: Vec<String>,
    /// What the file says of all of it: title, place, date.
    pub tags: gst::TagList,
    /// All that lies in the file.
    pub contents: Contents,
    orientation: Orientation,
    timecode: Option<Timecode>,
    /// The latest frame that went into the decoder, in the file's time.
    encoded: Encoded,
}

type Encoded = Arc<Mutex<Option<gst::ClockTime>>>;

impl Reader {
    /// Opens a file and decodes its first frame.
    ///
    /// # Errors
    /// One message that names the file: it cannot be read, holds no video, or needs a decoder that is not installed.
    pub fn open(path: &Path, take: Take, stop: &Stop) -> Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let opened = list(path, stop)
            .and_then(|contents| Self::picture(path, contents, stop).with_context(cannot));
        let mut reader = match opened {
            Err(error) if stop.check().is_ok() && is_cut(path) => bail!(
                "{error:#}; the file ends in the middle: it was cut off, or is still being written"
            ),
            opened => opened?,
        };
        let wanted = |kind| match kind {
            Kind::Sound => take.sound,
            Kind::Subtitles => take.subtitles,
            Kind::Picture | Kind::Other => false,
        };
        for listed in &reader.contents.streams {
            if wanted(listed.kind) {
                // The picture is what counts.
                match Track::open(path, listed, stop) {
                    Ok(track) => reader.tracks.push(track),
                    Err(error) => {
                        stop.check()?;
                        let what = listed.caps.structure(0).map(|s| s.name().to_string());
                        let what = what.unwrap_or_default();
                        let file = path.display();
                        reader
                            .unread
                            .push(format!("{file}: its {what} cannot be read: {error:#}"));
                    }
                }
            }
        }
        Ok(reader)
    }

    fn picture(path: &Path, contents: Contents, stop: &Stop) -> Result<Self> {
        let chosen = contents.picture().map(|picture| picture.id.clone());
        let goes_on = move |pad: &gst::Pad, caps: &gst::Caps| match kind(caps) {
            Kind::Sound | Kind::Subtitles => false,
            Kind::Other => true,
            Kind::Picture => {
                let other = |chosen: &String| pad.stream_id().as_deref() != Some(chosen);
                is_container(caps) || !chosen.as_ref().is_some_and(other)
            }
        };
        let found = Arc::new(Mutex::new(None));
        let (video, colours) = (found.clone(), Colours::default());
        let settled = colours.clone();
        let player = Player::new(path, goes_on, move |pipeline, pad| {
            link(pipeline, pad, &mut lock(&video), &settled)
        })?;
        let encoded = Encoded::default();
        let latest = encoded.clone();
        player
            .pipeline
            .connect_deep_element_added(move |_, _, element| {
                follow(element, &latest);
                colours.listen(element);
            });
        player.begin(stop)?;
        let video = lock(&found).clone().context("it holds no video")?;
        ensure!(
            !video.is_eos(),
            "its video has no frame that can be decoded"
        );
        let global = tags(&video, gst::TagScope::Global);
        let stream = video.static_pad("sink").and_then(|pad| pad.stream_id());
        let video = Stream::open(video)?;
        let matrix = stream.and_then(|stream| rotation::of_track(path, &stream));
        let orientation = matrix
            .or_else(|| rotation::of_tags(&video.tags))
            .or_else(|| rotation::of_tags(&global));
        let frame = video.sample.as_ref().and_then(|sample| sample.buffer());
        let timecode = frame.and_then(Timecode::of_frame);
        Ok(Self {
            timecode: timecode.or_else(|| Timecode::of_file(path)),
            orientation: orientation.unwrap_or_default(),
            video,
            tracks: vec![],
            unread: vec![],
            tags: global,
            contents,
            encoded,
            player,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.player.path()
    }

    /// How long it is, where the file says so. Demuxers that guess say zero of what is too short for a guess.
    pub fn duration(&self) -> Option<gst::ClockTime> {
        let lasts: Option<gst::ClockTime> = self.player.pipeline.query_duration();
        lasts.filter(|lasts| !lasts.is_zero())
    }

    /// The picture's size and format.
    pub fn format(&self) -> Result<gst_video::VideoInfo> {
        gst_video::VideoInfo::from_caps(&self.video.caps).with_context(|| {
            format!(
                "{} has a picture of an unknown format, {}",
                self.path().display(),
                self.video.caps
            )
        })
    }

    /// How the camera was held.
    pub fn orientation(&self) -> Orientation {
        self.orientation
    }

    /// The time of day of its first frame, where it has timecodes.
    pub fn timecode(&self) -> Option<Timecode> {
        self.timecode
    }

    /// What was wrong with the picture as far as it was read, or up to `to`: frames that are missing or cannot be decoded, and an end
    /// that comes too early.
    pub fn complaint(&self, to: Option<gst::ClockTime>) -> Option<String> {
        let encoded = *lock(&self.encoded);
        // Where a reference goes on longer than the ultra-wide picture, its end has not been seen.
        let end = match self.video.has_ended() {
            true => self.length().map(|end| to.map_or(end, |to| to.min(end))),
            false => None,
        };
        let cut = self.video.has_ended() && to.is_none() && is_cut(self.path());
        self.video.seen().complaint(encoded, end, cut)
    }

    /// Where the picture should end: the file's length, if that is written in the file (others make a guess) and is not the sound's.
    fn length(&self) -> Option<gst::ClockTime> {
        let mut sound = self.tracks.iter().filter(|track| track.kind == Kind::Sound);
        let read = sound.clone().count() == self.contents.of_kind(Kind::Sound).count();
        let alone = self.contents.of_kind(Kind::Subtitles).next().is_none();
        let length = self
            .duration()
            .filter(|_| read && alone && self.has_length())?;
        let reaches = |track: &Track| {
            let last = track.stream.seen().last();
            last.is_some_and(|last| last.saturating_add(SOUND_LEFT) >= length)
        };
        (!sound.any(reaches)).then_some(length)
    }

    /// Whether the length is written in the file.
    fn has_length(&self) -> bool {
        let names = ["matroskademux", "qtdemux"];
        let elements = self.player.pipeline.iterate_recurse().into_iter().flatten();
        elements
            .filter_map(|element| element.factory())
            .any(|factory| names.contains(&factory.name().as_str()))
    }

    /// Goes to the first frame at or after `from`; streams end before `to`. Running time starts anew there.
    pub fn seek(
        &self,
        from: gst::ClockTime,
        to: Option<gst::ClockTime>,
        stop: &Stop,
    ) -> Result<()> {
        let sought = self.player.seek(from, to, stop);
        stop.check()?;
        let path = self.path().display();
        // Without an index some files cannot be read from the middle, or say no more when their frames are.
        if sought.is_err() || (!self.video.has_ended() && !self.video.stands_at_a_time()) {
            let rewound = self.player.rewind(stop);
            rewound.with_context(|| format!("cannot go to {from:.3} in {path}"))?;
            self.video.cut(Part::new(from, to));
        }
        ensure!(
            !self.video.has_ended(),
            "{path} has no frame after {from:.3}"
        );
        for track in &self.tracks {
            track.seek(from, to, stop)?;
        }
        Ok(())
    }
}

/// Notes the latest frame that goes into an element, if that is a decoder of pictures.
fn follow(element: &gst::Element, latest: &Encoded) {
    let decodes = element.factory().is_some_and(|factory| {
        let pictures = gst::ElementFactoryType::MEDIA_VIDEO | gst::ElementFactoryType::MEDIA_IMAGE;
        factory.has_type(gst::ElementFactoryType::DECODER | pictures)
    });
    let (true, Some(pad)) = (decodes, element.static_pad("sink")) else {
        return;
    };
    let latest = latest.clone();
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        if let Some(event) = info.event() {
            // What came before a seek does not count.
            if event.type_() == gst::EventType::Segment {
                *lock(&latest) = None;
            }
        } else if let Some(time) = info.buffer().and_then(|buffer| stream_time(pad, buffer)) {
            let mut latest = lock(&latest);
            *latest = latest.max(Some(time));
        }
        gst::PadProbeReturn::Ok
    });
}

/// When a buffer is in the file; none where it is to be cut off.
fn stream_time(pad: &gst::Pad, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
    let event = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = event.segment().downcast_ref::<gst::ClockTime>()?;
    let pts = buffer
        .pts()
        .filter(|pts| segment.stop().is_none_or(|stop| *pts < stop))?;
    segment.to_stream_time(pts)
}

/// Links a new pad of the decoder, if it is the picture's. Where the coding changes in the middle of a file, the decoder takes its pad away and
/// brings another one, with which the picture goes on.
fn link(
    pipeline: &gst::Pipeline,
    pad: &gst::Pad,
    video: &mut Option<AppSink>,
    colours: &Colours,
) -> Result<()> {
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let is_raw = |caps: &gst::StructureRef| caps.name() == "video/x-raw";
    if !caps.structure(0).is_some_and(is_raw) {
        pass_by(pad);
        return Ok(());
    }
    let sink = match video {
        Some(sink) => sink,
        None => {
            let sink = AppSink::builder()
                .sync(false)
                .max_buffers(FRAMES_WAITING)
                .build();
            sink.set_property("enable-last-sample", false);
            pipeline.add(&sink)?;
            sink.sync_state_with_parent()?;
            let input = sink.static_pad("sink").context("a sink without a pad")?;
            colours.settle(&input);
            video.insert(sink)
        }
    };
    let input = sink.static_pad("sink").context("a sink without a pad")?;
    // What fetched the pictures of a pad that has gone.
    if let Some(peer) = input.peer()
        && let Some(old) = peer.parent_element()
        && old.static_pad("sink").is_some_and(|sink| !sink.is_linked())
    {
        old.unlink(sink);
        pipeline.remove(&old)?;
        old.set_state(gst::State::Null)?;
    }
    if input.is_linked() {
        pass_by(pad);
        return Ok(());
    }
    match fetcher(&caps)? {
        Some(fetcher) => {
            pipeline.add(&fetcher)?;
            fetcher.sync_state_with_parent()?;
            fetcher.link(sink)?;
            pad.link(
                &fetcher
                    .static_pad("sink")
                    .context("an element without input")?,
            )?;
        }
        None => _ = pad.link(&input)?,
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_opening_finds_all_tracks() {
        gst::init().unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/media");
        let take = Take {
            sound: true,
            subtitles: true,
        };
        for round in 0..20 {
            for (name, tracks) in [("ea.mkv", 1), ("k1.mkv", 2), ("apac.mov", 2)] {
                let reader = Reader::open(&folder.join(name), take, &Stop::default()).unwrap();
                assert_eq!(reader.unread, [""; 0], "{name}, round {round}");
                assert_eq!(
                    reader.contents.streams.len(),
                    tracks + 1,
                    "{name}, round {round}"
                );
                assert_eq!(reader.tracks.len(), tracks, "{name}, round {round}");
            }
        }
    }
}
