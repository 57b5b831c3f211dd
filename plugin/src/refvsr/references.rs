//! The reference cameras' frames: which of them belongs to an ultra-wide frame.

use super::{
    camera::Camera,
    element::RefVsr,
    enums::{MissingReference, Sync},
    frames::{self, Reference},
    log::CAT,
    pairing::{Missing, Pair, Stamped},
    timing::{Timing, apart},
    video::Video,
    work::{Turn, Work},
};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::{AggregatorPad, prelude::*};
use std::{rc::Rc, sync::Arc};
use tch::Tensor;

/// A reference camera, as the ultra-wide frame's references are looked for.
pub struct Sight {
    pub camera: Camera,
    pad: AggregatorPad,
    video: Option<Arc<Video>>,
    ultrawide: Arc<Video>,
    /// How far from the ultra-wide frame a frame may lie.
    tolerance: ClockTime,
    /// How far the camera's frames are moved in time, in nanoseconds.
    offset: i64,
    timing: Rc<Timing>,
    sync: Sync,
    /// Whether its frames are used.
    pub wanted: bool,
}

/// A stretch of a pad's stream in running time, in which playback at half the rate takes twice as long.
pub fn at_rate_of(pad: &AggregatorPad, duration: Option<ClockTime>) -> Option<ClockTime> {
    at_rate(pad.segment().rate(), duration)
}

/// The same at a rate.
pub fn at_rate(rate: f64, duration: Option<ClockTime>) -> Option<ClockTime> {
    let rate = rate.abs();
    let scaled = |duration: ClockTime| (duration.nseconds() as f64 / rate) as u64;
    duration.map(|duration| match rate {
        1.0 => duration,
        _ => ClockTime::from_nseconds(scaled(duration).min(ClockTime::MAX.nseconds())),
    })
}

/// A time, some nanoseconds later or earlier; not before 0.
pub fn moved(time: ClockTime, by: i64) -> ClockTime {
    let moved = time.nseconds().saturating_add_signed(by);
    ClockTime::from_nseconds(moved.min(ClockTime::MAX.nseconds()))
}

/// When a frame was filmed, by the sensor's clock.
pub fn sensor_time(buffer: &gst::BufferRef) -> Option<ClockTime> {
    let meta = buffer.meta::<gst::ReferenceTimestampMeta>()?;
    Some(meta.timestamp())
}

impl RefVsr {
    /// The reference cameras at an ultra-wide frame of this video that lasts so long.
    pub fn sights(
        &self,
        ultrawide: &Arc<Video>,
        duration: Option<ClockTime>,
        turn: &Turn,
    ) -> Result<Vec<Sight>, gst::FlowError> {
        let (videos, timing) = self
            .running(|running| (running.videos.clone(), Rc::new(running.timing.clone())))
            .ok_or(gst::FlowError::Flushing)?;
        let sights = self.references().map(|(camera, pad)| {
            let video = videos[camera].clone();
            let tolerance = match turn.settings.pts_tolerance {
                ClockTime::ZERO => timing.tolerance(camera, duration, turn.settings.repeat_limit),
                tolerance => at_rate_of(&self.ultrawide, Some(tolerance)).unwrap_or(tolerance),
            };
            Sight {
                camera,
                offset: self
                    .reference_pad(camera)
                    .map_or(0, |pad| pad.imp().offset()),
                pad,
                video,
                ultrawide: ultrawide.clone(),
                tolerance,
                timing: timing.clone(),
                sync: turn.settings.sync,
                wanted: self.is_used(camera),
            }
        });
        Ok(sights.collect())
    }

    /// Looks at a reference pad's frames up to the one after `time`. Whether the frame that belongs
    /// there is known.
    pub fn look(
        &self,
        work: &mut Work,
        sight: &Sight,
        time: ClockTime,
        turn: &Turn,
    ) -> Result<bool, gst::FlowError> {
        let Sight { pad, video, .. } = sight;
        let clock = &mut work.clocks[sight.camera];
        let pairing = &mut work.references[sight.camera];
        loop {
            // The head of the queue may change between turns, so only its converted tensor is kept.
            let Some(buffer) = pad.peek_buffer() else {
                pairing.hide();
                break;
            };
            let given = clock.time(pad, &buffer);
            let shift = sight
                .timing
                .shift(sight.sync, sight.camera, given, sensor_time(&buffer));
            let start = moved(moved(given, sight.offset), shift);
            let duration = buffer
                .duration()
                .or_else(|| video.as_ref().and_then(|video| video.frame_duration()));
            let duration = at_rate_of(pad, duration);
            let known = pairing
                .head()
                .and_then(|head| head.frame.as_ref())
                .is_some_and(|frame| frame.is_of(&buffer));
            if !known {
                let frame = match video {
                    _ if frames::is_gap(&buffer) => None,
                    Some(video) => Some(Reference::new(
                        buffer.clone(),
                        video.clone(),
                        &sight.ultrawide,
                        start,
                    )),
                    None => return Err(self.no_caps(pad)),
                };
                pairing.show(Stamped {
                    time: start,
                    duration,
                    frame,
                });
            }
            if !pairing.is_due(time) {
                break;
            }
            self.take(pad, buffer, turn)?;
            clock.advance(given, duration);
            pairing.advance(time);
        }
        let complete = turn.timeout || pad.is_eos();
        Ok(!matches!(
            pairing.choose(time, sight.tolerance, complete),
            Pair::Undecided
        ))
    }

    /// Says on the bus where reference frames begin to be missing, and where they come again.
    fn tell_missing(&self, missing: &mut Missing, sight: &Sight, time: ClockTime, found: bool) {
        let Some((starts, frames)) = missing.note(time, found) else {
            return;
        };
        let told = gst::Structure::builder("refvsr-missing-references")
            .field("pad", sight.camera.name())
            .field("missing", starts)
            .field("running-time", time)
            .field("frames", frames)
            .build();
        self.tell(told);
    }

    /// The reference picture for the frame at `time`, and how much later it was filmed, in nanoseconds, after
    /// [`Self::look`] has said that it is known.
    pub fn reference(
        &self,
        work: &mut Work,
        sight: &Sight,
        time: ClockTime,
        turn: &Turn,
    ) -> Result<Option<(Tensor, i64)>, gst::FlowError> {
        let device = work.session.network().device();
        let seen =
            |frame: &Reference| Ok::<_, String>((frame.tensor(device)?, apart(frame.time, time)));
        let bad = |why: String| self.bad_frame(&sight.pad, &why);
        let pairing = &work.references[sight.camera];
        let choice = pairing.choose(time, sight.tolerance, true);
        let found = matches!(choice, Pair::Found(_));
        self.tell_missing(&mut work.missing[sight.camera], sight, time, found);
        if let Pair::Found(frame) = choice {
            return seen(frame).map(Some).map_err(bad);
        }
        gst::debug!(
            CAT,
            obj = sight.pad,
            "No frame belongs to the ultra-wide one at {time}"
        );
        self.state().stats.missing_references += 1;
        match turn.settings.on_missing_reference {
            MissingReference::Repeat => pairing
                .latest(time, turn.settings.repeat_limit)
                .map(seen)
                .transpose()
                .map_err(bad),
            MissingReference::Own => Ok(None),
            MissingReference::Error => {
                let text = format!(
                    "No frame on pad {} belongs to the ultra-wide frame at {time} (see on-missing-reference)",
                    sight.pad.name()
                );
                Err(self.error(gst::StreamError::Failed, &text))
            }
        }
    }
}
