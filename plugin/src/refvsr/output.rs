//! The way out: finished frames, and what lies between them in the stream, in order.

use super::{
    confidence,
    element::RefVsr,
    frames,
    log::CAT,
    origin,
    overload::{Fate, Late},
    sightings::Sources,
    video::Video,
    work::{Held, Turn, Work},
};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::{AGGREGATOR_FLOW_NEED_DATA, prelude::*};
use std::{sync::Arc, time::Instant};
use tch::Tensor;

/// A frame on its way out.
struct GoingOut {
    shell: gst::Buffer,
    input: Arc<Video>,
    output: Arc<Video>,
    running_time: Option<ClockTime>,
    /// In running time, where the pipeline is live.
    due: Option<ClockTime>,
    late: Option<Late>,
}

impl RefVsr {
    /// Puts out everything that is held, as at the end of a clip.
    pub fn drain(&self, work: &mut Work, turn: &Turn) -> Result<(), gst::FlowError> {
        if work.under_way {
            gst::debug!(CAT, imp = self, "Draining");
            work.session.drain();
        }
        self.put_out(work, turn)?;
        work.end_clip();
        // Behind the last frame of one clip may lie the caps of the next.
        self.pass_on_leading(work, turn)
    }

    /// The same between two turns of the streaming thread, on that thread.
    pub fn drain_now(&self) {
        let Some((mut work, turn)) = self.take_work(false) else {
            return;
        };
        if let Err(why) = self.drain(&mut work, &turn) {
            // The next turn fails likewise; errors are on the bus.
            gst::debug!(CAT, imp = self, "Drained until {why}");
        }
        self.put_back(work);
    }

    /// Puts out what is finished.
    pub fn put_out(&self, work: &mut Work, turn: &Turn) -> Result<(), gst::FlowError> {
        let mut started = turn.started;
        loop {
            self.pass_on_leading(work, turn)?;
            if self.is_over(turn) {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            let Some(Held::Frame(shell, _)) = work.held.front() else {
                return Ok(());
            };
            let going_out = self.going_out(shell.clone())?;
            // Judged before the work, most of which a frame that is left out saves.
            let lateness = going_out.late.as_ref().map(|late| late.lateness);
            let fate = work.overload.fate(lateness, self.of_late(turn));
            let restarts = work.session.restarts();
            let Some((fate, picture)) = self.picture(work, fate, going_out.due, turn)? else {
                return Ok(());
            };
            let restarts = work.session.restarts() - restarts;
            if restarts > 0 {
                self.tell_recurrence_restarted(work, restarts, going_out.running_time);
            }
            let Some(Held::Frame(_, given)) = work.held.pop_front() else {
                return Ok(());
            };
            self.state().stats.device_memory = work.session.memory() as u64;
            let mut buffer = match picture {
                Some(picture) => match self.output_buffer(&picture, &going_out, work.discont) {
                    Err(_) if self.is_over(turn) => return Err(AGGREGATOR_FLOW_NEED_DATA),
                    buffer => Some(buffer?),
                },
                None => None,
            };
            // Asked once the picture has come from the device: nothing is to be waited for then.
            let sources = match fate {
                Fate::Enlarged => self.sources(work, given)?,
                Fate::Bypassed | Fate::Dropped => Sources::default(),
            };
            if let Some(buffer) = buffer.as_mut().and_then(gst::Buffer::get_mut) {
                origin::describe(buffer, &sources, fate)
                    .map_err(|why| self.bad_output(&why.to_string()))?;
            }
            if self.is_over(turn) {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            work.discont = fate == Fate::Dropped;
            let took = started.elapsed();
            self.state().stats.finished(took, fate);
            if fate == Fate::Enlarged {
                self.running(|running| running.timing.took(took));
                self.update_latency();
            }
            self.note_overload(work, fate, going_out.running_time);
            match sources.confidence_map {
                Some(map) => self.put_out_confidence(&map, &going_out.shell, &going_out.input)?,
                None => self.skip_confidence(&going_out.shell),
            }
            self.finish(buffer, fate, &going_out)?;
            started = Instant::now();
        }
    }

    /// What is to be known of the next frame that comes out.
    fn going_out(&self, shell: gst::Buffer) -> Result<GoingOut, gst::FlowError> {
        let deadline = self.settings().processing_deadline;
        let now = self.obj().current_running_time();
        let (videos, running_time, due, late) = self
            .running(|running| {
                let videos = running.source.clone().zip(running.output.clone());
                let (segment, timing) = (running.segment.as_ref(), &running.timing);
                let by_clock = |time| timing.lateness(time, now?, deadline);
                let late = Late::of(&shell, segment, &running.qos, by_clock);
                let times = segment.zip(shell.pts());
                let running_time = times.and_then(|(s, pts)| s.to_running_time(pts));
                let due = running_time.and_then(|time| timing.due(time, deadline));
                (videos, running_time, due, late)
            })
            .ok_or(gst::FlowError::Flushing)?;
        let (input, output) = videos.ok_or_else(|| self.not_negotiated())?;
        Ok(GoingOut {
            shell,
            input,
            output,
            running_time,
            due,
            late,
        })
    }

    /// Passes on what lies before the next frame, as far as that cannot fail.
    pub fn pass_on_between_turns(
        &self,
        work: &mut Work,
        turn: &Turn,
    ) -> Result<(), gst::FlowError> {
        let is_caps = |held: &Held| matches!(held, Held::Caps { .. });
        match work.held.iter().any(is_caps) {
            true => Ok(()),
            false => self.pass_on_leading(work, turn),
        }
    }

    /// Passes on what lies before the next frame.
    fn pass_on_leading(&self, work: &mut Work, turn: &Turn) -> Result<(), gst::FlowError> {
        let leads = |held: &Held| !matches!(held, Held::Frame(..));
        while work.held.front().is_some_and(leads) {
            if self.is_over(turn) {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            let Some(held) = self.next_to_pass_on(work) else {
                break;
            };
            self.pass_on(held)?;
        }
        Ok(())
    }

    /// The head of the queue; but nothing goes before caps and segment, and the segment goes first, since
    /// the base class sends the two as one.
    fn next_to_pass_on(&self, work: &mut Work) -> Option<Held> {
        let held = &mut work.held;
        if matches!(held.front(), Some(Held::Gap(..) | Held::Event(_))) {
            let (has_caps, has_segment) =
                self.running(|running| (running.output.is_some(), running.segment.is_some()))?;
            let is_missing = |held: &Held| match held {
                Held::Caps { .. } => !has_caps,
                Held::Segment(..) => has_caps && !has_segment,
                Held::Frame(..) | Held::Gap(..) | Held::Event(_) => false,
            };
            return match held.iter().position(is_missing) {
                Some(index) => held.remove(index),
                None if has_caps && has_segment => held.pop_front(),
                None => None,
            };
        }
        let caps_and_segment = matches!(held.front(), Some(Held::Caps { .. }))
            && matches!(held.get(1), Some(Held::Segment(..)));
        if caps_and_segment {
            held.swap(0, 1);
        }
        held.pop_front()
    }

    fn pass_on(&self, held: Held) -> Result<(), gst::FlowError> {
        match held {
            Held::Frame(..) => (),
            Held::Caps { video, .. } => self.apply_caps(video)?,
            Held::Segment(segment, seqnum) => self.apply_segment(segment, seqnum),
            Held::Gap(pts, duration) => {
                self.announce_segment();
                let gap = gst::event::Gap::builder(pts).duration(duration).build();
                self.obj().src_pad().push_event(gap);
            }
            Held::Event(event) => {
                self.announce_segment();
                self.obj().src_pad().push_event(event);
            }
        }
        Ok(())
    }

    /// Puts out one frame, or tells why it is left out.
    fn finish(
        &self,
        buffer: Option<gst::Buffer>,
        fate: Fate,
        frame: &GoingOut,
    ) -> Result<(), gst::FlowError> {
        let pts = frame.shell.pts();
        self.running(|running| running.position = pts.or(running.position));
        if let Some(buffer) = buffer {
            gst::log!(CAT, imp = self, "Putting out the frame at {pts:?}");
            let confidence = self.obj().static_pad(confidence::PAD);
            match self.obj().finish_buffer(buffer) {
                // Whoever takes one of the two outputs keeps the element going.
                Err(gst::FlowError::NotLinked) if confidence.is_some_and(|pad| pad.is_linked()) => {
                }
                result => drop(result?),
            }
        }
        if let Some(late) = frame.late.as_ref().filter(|_| fate == Fate::Dropped) {
            self.tell_dropped(late);
        }
        if let Some(pts) = pts {
            let duration = frame.shell.duration();
            let duration = duration.or_else(|| frame.input.frame_duration());
            let end = pts.saturating_add(duration.unwrap_or_default());
            self.obj().set_position(Some(end));
        }
        Ok(())
    }

    /// A buffer of the pool; one of so many bytes where there is no pool.
    fn room(&self, bytes: usize) -> Result<gst::Buffer, gst::FlowError> {
        let Some(pool) = self.obj().buffer_pool() else {
            return gst::Buffer::with_size(bytes).map_err(|e| self.bad_output(&e.to_string()));
        };
        pool.set_active(true)
            .map_err(|_| self.bad_output("the pool of its buffers could not be set up"))?;
        pool.acquire_buffer(None).map_err(|flow| match flow {
            gst::FlowError::Flushing => flow,
            _ => self.bad_output("the pool of its buffers gave none"),
        })
    }

    fn output_buffer(
        &self,
        picture: &Tensor,
        frame: &GoingOut,
        discont: bool,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let output = &frame.output;
        let mut buffer = self.room(output.info.size())?;
        buffer
            .get_mut()
            .ok_or_else(|| "the buffer is shared".to_owned())
            .and_then(|buffer| {
                frames::write(picture, buffer, output)?;
                frames::dress(&frame.shell, buffer, &frame.input, output)
                    .map_err(|e| e.to_string())?;
                if discont {
                    buffer.set_flags(gst::BufferFlags::DISCONT);
                }
                Ok(())
            })
            .map_err(|why| self.bad_output(&why))?;
        Ok(buffer)
    }
}
