//! The way in: one turn of the streaming thread takes an ultra-wide frame once its references are
//! known, and sends it to the session.

use super::{
    camera::Camera,
    element::RefVsr,
    enums::MissingReference,
    frames::{self, Reference},
    log::CAT,
    pairing::{Pair, Stamped, automatic_tolerance},
    video::Video,
    work::{Held, Turn, Work},
};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::{AGGREGATOR_FLOW_NEED_DATA, AggregatorPad, prelude::*};
use std::{sync::Arc, time::Instant};
use tch::Tensor;

/// The ultra-wide frame at the head of its pad.
struct Moment {
    time: ClockTime,
    duration: Option<ClockTime>,
    video: Arc<Video>,
    sights: Vec<Sight>,
}

/// A reference camera, as the ultra-wide frame's references are looked for.
struct Sight {
    camera: Camera,
    pad: AggregatorPad,
    video: Option<Arc<Video>>,
    ultrawide: Arc<Video>,
    /// How far from the ultra-wide frame a frame may lie.
    tolerance: ClockTime,
    /// Whether its frames are used.
    wanted: bool,
}

/// A stretch of a pad's stream in running time, in which playback at half the rate takes twice as long.
fn at_rate_of(pad: &AggregatorPad, duration: Option<ClockTime>) -> Option<ClockTime> {
    let rate = pad.segment().rate().abs();
    let scaled = |duration: ClockTime| (duration.nseconds() as f64 / rate) as u64;
    duration.map(|duration| match rate {
        1.0 => duration,
        _ => ClockTime::from_nseconds(scaled(duration).min(ClockTime::MAX.nseconds())),
    })
}

impl RefVsr {
    pub fn turn(&self, timeout: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        let linked: Vec<Camera> = Camera::ALL
            .into_iter()
            .filter(|&camera| self.pad(camera).is_some_and(|pad| pad.is_linked()))
            .collect();
        let ready = self.running(|running| {
            let open = running.epochs.is_open(&linked);
            let epoch = running.epochs.current();
            let last = std::mem::replace(&mut running.last_turn, epoch);
            // Buffers that the base class has peeked at since the last turn may be from before a
            // flush; it lets go of them at the end of this one.
            (open, last == epoch, running.stopping)
        });
        match ready {
            None | Some((_, _, true)) => return Err(gst::FlowError::Flushing),
            Some((true, ..)) => {
                // Briefly: the base class may be about to stop this thread.
                std::thread::sleep(std::time::Duration::from_millis(1));
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            Some((false, false, _)) => return Err(AGGREGATOR_FLOW_NEED_DATA),
            Some((false, true, _)) => (),
        }
        let Some((mut work, turn)) = self.take_work(timeout) else {
            return Err(AGGREGATOR_FLOW_NEED_DATA);
        };
        let result = self.step(&mut work, turn);
        self.put_back(work);
        result
    }

    /// Until when the frame at hand may wait for its references, in running time before the latency: for
    /// half a frame longer than it took to come here.
    pub fn deadline(&self) -> Option<ClockTime> {
        // Without an ultra-wide frame there is nothing to give up waiting for; a time in the past
        // would make the base class ask again and again.
        if self.ultrawide.is_eos() {
            return Some(ClockTime::ZERO);
        }
        let head = self.ultrawide.peek_buffer()?;
        let segment = self.ultrawide.segment().downcast::<ClockTime>().ok();
        let Some(time) = segment.and_then(|segment| segment.to_running_time(head.pts()?)) else {
            return self.obj().simple_get_next_time();
        };
        // The base class adds all latency to it; but a frame has the latency of the branches before
        // the element to wait in, not that of the element itself, which is for the work.
        let deadline = self.settings().processing_deadline;
        let (own, grace) = self.running(|running| {
            let (own, _) = running.latency.range(deadline);
            (own, running.latency.frame() / 2)
        })?;
        Some(time.saturating_add(grace).saturating_sub(own))
    }

    fn step(&self, work: &mut Work, turn: Turn) -> Result<gst::FlowSuccess, gst::FlowError> {
        if work.clip_ends() {
            self.drain(work, &turn)?;
        }
        let Some(buffer) = self.ultrawide.peek_buffer() else {
            if !self.ultrawide.is_eos() {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            gst::debug!(CAT, imp = self, "End of the ultra-wide stream");
            self.drain(work, &turn)?;
            return Err(gst::FlowError::Eos);
        };
        let time = work.clocks[Camera::UltraWide].time(&self.ultrawide, &buffer);
        if frames::is_gap(&buffer) {
            let buffer = self.take(&self.ultrawide, buffer, &turn)?;
            let duration = at_rate_of(&self.ultrawide, buffer.duration());
            work.clocks[Camera::UltraWide].advance(time, duration);
            if let Some(pts) = buffer.pts() {
                work.held.push_back(Held::Gap(pts, buffer.duration()));
            }
            return self.put_out(work, turn);
        }

        let moment = self.moment(time, &buffer, &turn)?;
        let mut decided = true;
        for sight in &moment.sights {
            let known = self.look(work, sight, time, &turn)?;
            decided &= known || !sight.wanted;
        }
        if !decided {
            gst::trace!(
                CAT,
                imp = self,
                "The frame at {time} waits for its references"
            );
            return Err(AGGREGATOR_FLOW_NEED_DATA);
        }
        let turn = Turn {
            started: Instant::now(),
            ..turn
        };
        self.send(work, &moment, buffer, &turn)?;
        self.put_out(work, turn)
    }

    /// What is looked for at the ultra-wide frame of this running time.
    fn moment(
        &self,
        time: ClockTime,
        buffer: &gst::BufferRef,
        turn: &Turn,
    ) -> Result<Moment, gst::FlowError> {
        let videos = self.running(|running| Camera::ALL.map(|c| running.videos[c].clone()));
        let [ultrawide, wide, tele] = videos.ok_or(gst::FlowError::Flushing)?;
        let video = ultrawide.ok_or_else(|| self.no_caps(&self.ultrawide))?;
        let duration = buffer.duration().or_else(|| video.frame_duration());
        let duration = at_rate_of(&self.ultrawide, duration);
        let sights = self.references().map(|(camera, pad)| {
            let theirs = if camera == Camera::Tele { &tele } else { &wide };
            let tolerance = match turn.settings.pts_tolerance {
                ClockTime::ZERO => {
                    let frame = theirs.as_ref().and_then(|video| video.frame_duration());
                    automatic_tolerance(duration, at_rate_of(&pad, frame))
                }
                tolerance => at_rate_of(&self.ultrawide, Some(tolerance)).unwrap_or(tolerance),
            };
            Sight {
                camera,
                pad,
                video: theirs.clone(),
                ultrawide: video.clone(),
                tolerance,
                wanted: camera == Camera::Wide || turn.settings.use_tele,
            }
        });
        Ok(Moment {
            time,
            duration,
            sights: sights.collect(),
            video,
        })
    }

    /// Takes the ultra-wide frame and sends it to the session with its references.
    fn send(
        &self,
        work: &mut Work,
        moment: &Moment,
        buffer: gst::Buffer,
        turn: &Turn,
    ) -> Result<(), gst::FlowError> {
        let buffer = self.take(&self.ultrawide, buffer, turn)?;
        if !work.under_way {
            self.choose_backward_group(work, turn)?;
        }
        work.clocks[Camera::UltraWide].advance(moment.time, moment.duration);
        self.running(|running| running.latency.came_in(moment.time, moment.duration));
        self.update_latency();
        self.obj()
            .selected_samples(buffer.pts(), buffer.dts(), buffer.duration(), None);
        let device = work.session.network().device();
        let mut triplet = ::refvsr::Triplet {
            ultrawide: frames::read(&buffer, &moment.video, device)
                .map_err(|why| self.bad_frame(&self.ultrawide, &why))?,
            wide: None,
            tele: None,
        };
        for sight in moment.sights.iter().filter(|sight| sight.wanted) {
            let picture = self.reference(work, sight, moment.time, turn)?;
            match sight.camera {
                Camera::Tele => triplet.tele = picture,
                _ => triplet.wide = picture,
            }
        }
        gst::log!(
            CAT,
            imp = self,
            "Frame at {}, wide: {}, tele: {}",
            moment.time,
            triplet.wide.is_some(),
            triplet.tele.is_some()
        );
        let shell = frames::shell(&buffer)
            .map_err(|why| self.bad_frame(&self.ultrawide, &why.to_string()))?;
        drop(buffer);
        self.state().stats.frames_in += 1;
        work.session.send(triplet).map_err(|e| self.failed(&e))?;
        work.under_way = true;
        work.held.push_back(Held::Frame(shell));
        Ok(())
    }

    /// At a clip's start: sharing backward runs between frames makes them come later, so that it is not
    /// done unasked where the pipeline is live.
    fn choose_backward_group(&self, work: &mut Work, turn: &Turn) -> Result<(), gst::FlowError> {
        let asked = usize::try_from(turn.settings.backward_group).ok();
        let live = self.obj().latency().is_some();
        let group = asked.or(live.then_some(1));
        let session = &mut work.session;
        session
            .set_backward_group(group)
            .map_err(|e| self.failed(&e))?;
        let look_ahead = session.look_ahead();
        self.running(|running| running.latency.set_look_ahead(look_ahead));
        Ok(())
    }

    /// Takes the buffer that was peeked at in this turn. Within a turn the base class keeps it for
    /// that, whatever happens to the pad; but if there was a flush since the turn began, then the
    /// buffer may be from after it, and stays for the next turn.
    fn take(
        &self,
        pad: &AggregatorPad,
        peeked: gst::Buffer,
        turn: &Turn,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let flushed = self.running(|running| {
            Camera::ALL
                .iter()
                .any(|&camera| running.epochs.left(camera, turn.epoch))
        });
        if flushed != Some(false) {
            return Err(AGGREGATOR_FLOW_NEED_DATA);
        }
        drop(peeked); // so that the one returned can be the only reference to it
        pad.pop_buffer().ok_or(AGGREGATOR_FLOW_NEED_DATA)
    }

    /// Looks at a reference pad's frames up to the one after `time`. Whether the frame that belongs
    /// there is known.
    fn look(
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
            let start = clock.time(pad, &buffer);
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
            clock.advance(start, duration);
            pairing.advance(time);
        }
        let complete = turn.timeout || pad.is_eos();
        Ok(!matches!(
            pairing.choose(time, sight.tolerance, complete),
            Pair::Undecided
        ))
    }

    /// Says on the bus where reference frames begin to be missing, and where they come again.
    fn tell_missing(&self, missing: &mut u64, sight: &Sight, time: ClockTime, found: bool) {
        let (starts, ends) = (!found && *missing == 0, found && *missing > 0);
        *missing += u64::from(!found);
        if !starts && !ends {
            return;
        }
        let frames = if ends { std::mem::take(missing) } else { 0 };
        let told = gst::Structure::builder("refvsr-missing-references")
            .field("pad", sight.camera.name())
            .field("missing", starts)
            .field("running-time", time)
            .field("frames", frames)
            .build();
        let message = gst::message::Element::builder(told).src(&*self.obj());
        if self.obj().post_message(message.build()).is_err() {
            gst::debug!(
                CAT,
                imp = self,
                "No bus takes the message of missing references"
            );
        }
    }

    /// The reference picture for the frame at `time`, after [`Self::look`] has said that it is known.
    fn reference(
        &self,
        work: &mut Work,
        sight: &Sight,
        time: ClockTime,
        turn: &Turn,
    ) -> Result<Option<Tensor>, gst::FlowError> {
        let device = work.session.network().device();
        let choice = work.references[sight.camera].choose(time, sight.tolerance, true);
        let found = matches!(choice, Pair::Found(_));
        self.tell_missing(&mut work.missing[sight.camera], sight, time, found);
        let pairing = &work.references[sight.camera];
        if let Pair::Found(frame) = pairing.choose(time, sight.tolerance, true) {
            let picture = frame.tensor(device);
            return picture
                .map(Some)
                .map_err(|why| self.bad_frame(&sight.pad, &why));
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
                .map(|frame| frame.tensor(device))
                .transpose()
                .map_err(|why| self.bad_frame(&sight.pad, &why)),
            MissingReference::Own => Ok(None),
            MissingReference::Error => {
                gst::element_imp_error!(
                    self,
                    gst::StreamError::Failed,
                    (
                        "No frame on pad {} belongs to the ultra-wide frame at {time} (see on-missing-reference)",
                        sight.pad.name()
                    )
                );
                Err(gst::FlowError::Error)
            }
        }
    }
}
