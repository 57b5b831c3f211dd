//! The way in: one turn of the streaming thread takes an ultra-wide frame once its references are
//! known, and sends it to the session.

use super::{
    camera::{Camera, PerCamera},
    element::RefVsr,
    frames,
    last_frame::LastFrame,
    log::CAT,
    references::{Sight, at_rate_of, moved, sensor_time},
    state::{Running, State},
    video::Video,
    work::{Held, Turn, Work},
};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::{AGGREGATOR_FLOW_NEED_DATA, AggregatorPad, prelude::*};
use std::{sync::Arc, time::Instant};

/// The ultra-wide frame at the head of its pad.
struct Moment {
    time: ClockTime,
    /// When it was filmed, by which its references are looked for.
    filmed: ClockTime,
    duration: Option<ClockTime>,
    video: Arc<Video>,
    sights: Vec<Sight>,
}

impl RefVsr {
    pub fn turn(&self, timeout: bool) -> Result<gst::FlowSuccess, gst::FlowError> {
        let linked: Vec<Camera> = Camera::ALL
            .into_iter()
            .filter(|&camera| self.pad(camera).is_some_and(|pad| pad.is_linked()))
            .collect();
        let open_for = self.running(|running| running.epochs.open_for(&linked));
        if let Some(open_for) = open_for.flatten() {
            self.wait_while(open_for, |running| {
                running.passing == 0 && running.epochs.open_for(&linked).is_some()
            });
        }
        // One look at the state, so that no flush comes between.
        let ready = self.running(|running| {
            let open = running.epochs.open_for(&linked).is_some();
            let epoch = running.epochs.current();
            let last = std::mem::replace(&mut running.last_turn, epoch);
            if running.stopping {
                Err(gst::FlowError::Flushing)
            } else if open || last != epoch {
                // Buffers that the base class has peeked at since the last turn may be from before a
                // flush; it lets go of them at the end of this one.
                Err(AGGREGATOR_FLOW_NEED_DATA)
            } else {
                running.take_work().ok_or(AGGREGATOR_FLOW_NEED_DATA)
            }
        });
        let work = ready.ok_or(gst::FlowError::Flushing)??;
        let latency = self.obj().latency();
        self.running(|running| running.set_latency(latency));
        let (mut work, turn) = self.with_turn(work, timeout);
        let result = self.step(&mut work, turn);
        self.put_back(work);
        result
    }

    /// Until when the frame at hand may wait for its references, in running time before the latency.
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
        let awaited: Vec<_> = self.awaited().collect();
        // The base class adds all latency to it.
        self.running(|running| running.wait_until(time, &awaited))
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
            self.running(|running| running.ended = true);
            // Wakes those who wait for room; let_in() turns them away when they come again.
            for (_, pad) in self.references() {
                while pad.drop_buffer() {}
            }
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
            self.put_out(work, &turn)?;
            return Ok(gst::FlowSuccess::Ok);
        }

        self.restart_at_jump(work, time, &turn)?;
        let moment = self.moment(time, &buffer, &turn)?;
        let mut decided = true;
        for sight in &moment.sights {
            let known = self.look(work, sight, moment.filmed, &turn)?;
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
        self.put_out(work, &turn)?;
        Ok(gst::FlowSuccess::Ok)
    }

    /// What is looked for at the ultra-wide frame of this running time.
    fn moment(
        &self,
        time: ClockTime,
        buffer: &gst::BufferRef,
        turn: &Turn,
    ) -> Result<Moment, gst::FlowError> {
        let video = self
            .running(|running| running.videos[Camera::UltraWide].clone())
            .ok_or(gst::FlowError::Flushing)?
            .ok_or_else(|| self.no_caps(&self.ultrawide))?;
        let duration = buffer.duration().or_else(|| video.frame_duration());
        let duration = at_rate_of(&self.ultrawide, duration);
        let (sync, camera) = (turn.settings.sync, Camera::UltraWide);
        let shift = |running: &mut Running| {
            running
                .timing
                .shift(sync, camera, time, sensor_time(buffer))
        };
        Ok(Moment {
            time,
            filmed: moved(time, self.running(shift).unwrap_or(0)),
            duration,
            sights: self.sights(&video, duration, turn)?,
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
        let device = work.session.network().device();
        let ultrawide = frames::read(&buffer, &moment.video, device)
            .map_err(|why| self.bad_frame(&self.ultrawide, &why))?;
        let scene = self.restart_at_cut(work, &ultrawide, moment.time, turn)?;
        let buffer = self.take(&self.ultrawide, buffer, turn)?;
        if !work.under_way {
            self.choose_backward_group(work, turn)?;
            self.choose_footage(work, &moment.video, moment.time, turn);
        }
        work.last = Some(LastFrame::new(moment.time, moment.duration, scene));
        work.clocks[Camera::UltraWide].advance(moment.time, moment.duration);
        self.update_latency();
        self.obj()
            .selected_samples(buffer.pts(), buffer.dts(), buffer.duration(), None);
        let mut triplet = ::refvsr::Triplet {
            ultrawide,
            wide: None,
            tele: None,
        };
        let mut residuals = PerCamera::default();
        for sight in moment.sights.iter().filter(|sight| sight.wanted) {
            let seen = self.reference(work, sight, moment.filmed, turn)?;
            let (picture, residual) = seen.unzip();
            residuals[sight.camera] = residual;
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
        self.note_cameras(residuals);
        let zooms = |camera| {
            self.reference_pad(camera)
                .map_or(0.0, |pad| pad.imp().zoom())
        };
        let zooms = (zooms(Camera::Wide), zooms(Camera::Tele));
        let (wide, tele) = turn.settings.zooms(work.session.network(), zooms);
        work.session
            .set_zooms(wide, tele)
            .map_err(|e| self.failed(&e))?;
        self.rehearse(work, &triplet, turn);
        work.session.send(triplet).map_err(|e| self.failed(&e))?;
        work.under_way = true;
        self.tell_sizes(work, turn);
        work.held.push_back(Held::Frame(shell, residuals));
        Ok(())
    }

    /// Counts a frame, and notes how the cameras' frames come.
    fn note_cameras(&self, residuals: PerCamera<Option<i64>>) {
        let mut state = self.state();
        let State { running, stats, .. } = &mut *state;
        stats.frames_in += 1;
        for camera in Camera::ALL {
            let told = running.as_ref().map(|running| running.timing.told(camera));
            let stats = &mut stats.cameras[camera];
            stats.residual = residuals[camera].unwrap_or(stats.residual);
            (stats.interval, stats.delay, stats.drift) = told.unwrap_or_default();
        }
    }

    /// Says once where frames are larger than the model's matching is made for, unless the user chose it, and where they are
    /// too small for a reference camera to be found in them.
    fn tell_sizes(&self, work: &mut Work, turn: &Turn) {
        let chosen = turn.settings.matching_step != 0;
        if let Some(reduced) = work.session.reduced_matching().filter(|_| !chosen)
            && !std::mem::replace(&mut work.told_reduced, true)
        {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{reduced}"));
        }
        if let Some(unseen) = work.session.unseen()
            && !std::mem::replace(&mut work.told_unseen, true)
        {
            gst::element_imp_warning!(self, gst::LibraryError::Settings, ("{unseen}"));
        }
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
        self.running(|running| running.timing.set_look_ahead(look_ahead));
        Ok(())
    }

    /// Takes the buffer that was peeked at in this turn. Within a turn the base class keeps it for
    /// that, whatever happens to the pad; but if there was a flush since the turn began, or one is on its
    /// way, then the buffer stays: for the next turn, or for the flush.
    pub fn take(
        &self,
        pad: &AggregatorPad,
        peeked: gst::Buffer,
        turn: &Turn,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let flushed = self.running(|running| {
            let left = |&camera: &Camera| running.epochs.left(camera, turn.epoch);
            running.epochs.is_ending(turn.epoch) || Camera::ALL.iter().any(left)
        });
        if flushed != Some(false) {
            return Err(AGGREGATOR_FLOW_NEED_DATA);
        }
        drop(peeked); // so that the one returned can be the only reference to it
        self.running(|running| running.timing.taken(Camera::of(pad)));
        pad.pop_buffer().ok_or(AGGREGATOR_FLOW_NEED_DATA)
    }
}
