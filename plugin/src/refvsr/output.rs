//! The way out: finished frames, and what lies between them in the stream, in order.

use super::{
    element::RefVsr,
    frames,
    log::CAT,
    qos::Late,
    video::Video,
    work::{Held, Turn, Work},
};
use gst::{prelude::*, subclass::prelude::*};
use gst_base::{AGGREGATOR_FLOW_NEED_DATA, prelude::*};
use std::{sync::Arc, time::Instant};
use tch::Tensor;

/// A frame on its way out.
struct GoingOut {
    shell: gst::Buffer,
    input: Arc<Video>,
    output: Arc<Video>,
    late: Option<Late>,
}

impl RefVsr {
    /// Puts out everything that is held, as at the end of a clip.
    pub fn drain(&self, work: &mut Work, turn: &Turn) -> Result<(), gst::FlowError> {
        if work.under_way {
            gst::debug!(CAT, imp = self, "Draining");
            work.session.drain();
        }
        self.put_out_finished(work, turn)?;
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

    /// Puts out what is finished, as the end of a turn.
    pub fn put_out(&self, work: &mut Work, turn: Turn) -> Result<gst::FlowSuccess, gst::FlowError> {
        self.put_out_finished(work, &turn)?;
        Ok(gst::FlowSuccess::Ok)
    }

    fn put_out_finished(&self, work: &mut Work, turn: &Turn) -> Result<(), gst::FlowError> {
        let mut started = turn.started;
        loop {
            self.pass_on_leading(work, turn)?;
            if self.is_over(turn) {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            let Some(Held::Frame(shell)) = work.held.front() else {
                return Ok(());
            };
            let going_out = self.going_out(shell.clone())?;
            // Judged before the work, most of which a frame that is not shown saves.
            let late = going_out.late.as_ref().filter(|_| turn.settings.qos);
            let picture = match late {
                Some(_) => work.session.skip().map(|skipped| skipped.then_some(None)),
                None => work.session.receive().map(|picture| picture.map(Some)),
            };
            let Some(picture) = picture.map_err(|e| self.failed(&e))? else {
                return Ok(());
            };
            work.held.pop_front();
            self.state().stats.device_memory = work.session.memory() as u64;
            let buffer = match picture {
                Some(picture) => Some(self.output_buffer(&picture, &going_out, work.discont)?),
                None => None,
            };
            if self.is_over(turn) {
                return Err(AGGREGATOR_FLOW_NEED_DATA);
            }
            work.discont = late.is_some();
            let took = started.elapsed();
            self.state().stats.finished(took, late.is_some());
            self.running(|running| running.latency.took(took));
            self.update_latency();
            self.finish(buffer, late, &going_out)?;
            started = Instant::now();
        }
    }

    /// What is to be known of the next frame that comes out.
    fn going_out(&self, shell: gst::Buffer) -> Result<GoingOut, gst::FlowError> {
        let (videos, late) = self
            .running(|running| {
                let videos = running.source.clone().zip(running.output.clone());
                let late = Late::of(&shell, running.segment.as_ref(), &running.qos);
                (videos, late)
            })
            .ok_or(gst::FlowError::Flushing)?;
        let (input, output) = videos.ok_or_else(|| self.not_negotiated())?;
        Ok(GoingOut {
            shell,
            input,
            output,
            late,
        })
    }

    /// Passes on what lies before the next frame, as far as that cannot fail.
    pub fn pass_on_between_turns(
        &self,
        work: &mut Work,
        turn: &Turn,
    ) -> Result<(), gst::FlowError> {
        if work
            .held
            .iter()
            .any(|held| matches!(held, Held::Caps { .. }))
        {
            return Ok(());
        }
        self.pass_on_leading(work, turn)
    }

    /// Passes on what lies before the next frame.
    fn pass_on_leading(&self, work: &mut Work, turn: &Turn) -> Result<(), gst::FlowError> {
        while work
            .held
            .front()
            .is_some_and(|held| !matches!(held, Held::Frame(_)))
        {
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
                Held::Segment(_) => has_caps && !has_segment,
                Held::Frame(_) | Held::Gap(..) | Held::Event(_) => false,
            };
            return match held.iter().position(is_missing) {
                Some(index) => held.remove(index),
                None if has_caps && has_segment => held.pop_front(),
                None => None,
            };
        }
        let caps_and_segment = matches!(held.front(), Some(Held::Caps { .. }))
            && matches!(held.get(1), Some(Held::Segment(_)));
        if caps_and_segment {
            held.swap(0, 1);
        }
        held.pop_front()
    }

    fn pass_on(&self, held: Held) -> Result<(), gst::FlowError> {
        match held {
            Held::Frame(_) => (),
            Held::Caps { video, .. } => self.apply_caps(video)?,
            Held::Segment(segment) => self.apply_segment(segment),
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
        late: Option<&Late>,
        frame: &GoingOut,
    ) -> Result<(), gst::FlowError> {
        let pts = frame.shell.pts();
        self.running(|running| running.position = pts.or(running.position));
        if let Some(buffer) = buffer {
            gst::log!(CAT, imp = self, "Putting out the frame at {pts:?}");
            self.obj().finish_buffer(buffer)?;
        }
        if let Some(late) = late {
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

    fn output_buffer(
        &self,
        picture: &Tensor,
        frame: &GoingOut,
        discont: bool,
    ) -> Result<gst::Buffer, gst::FlowError> {
        let output = &frame.output;
        let mut buffer = match self.obj().buffer_pool() {
            Some(pool) => {
                pool.set_active(true)
                    .map_err(|_| gst::FlowError::Flushing)?;
                pool.acquire_buffer(None)?
            }
            None => {
                gst::Buffer::with_size(output.info.size()).map_err(|_| gst::FlowError::Error)?
            }
        };
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

    fn tell_dropped(&self, late: &Late) {
        let stats = self.state().stats.clone();
        let message = late
            .message(self.obj().latency().is_some())
            .stats(
                gst::format::Buffers::from_u64(stats.frames_out),
                gst::format::Buffers::from_u64(stats.frames_dropped),
            )
            .src(&*self.obj())
            .build();
        gst::debug!(CAT, imp = self, "Left out a frame: {late:?}");
        if self.obj().post_message(message).is_err() {
            gst::debug!(CAT, imp = self, "No bus takes the QOS message");
        }
    }
}
