//! What becomes of frames on an overloaded machine, done and told: see [`overload`](super::overload).

use super::{
    element::RefVsr,
    log::CAT,
    overload::{Fate, News},
    qos::Late,
    work::Work,
};
use ::refvsr::{Error, Session};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::prelude::*;
use std::time::Instant;
use tch::Tensor;

/// The session's next picture; `Some(None)` where the frame does not come out, `None` where no frame is
/// ready. The network gives up at `deadline`.
fn next_picture(
    session: &mut Session,
    fate: Fate,
    deadline: Option<Instant>,
) -> Result<Option<Option<Tensor>>, Error> {
    Ok(match fate {
        Fate::Enlarged => match deadline {
            Some(deadline) => session.receive_until(deadline)?.map(Some),
            None => session.receive()?.map(Some),
        },
        Fate::Bypassed => session.bypass()?.map(Some),
        Fate::Dropped => session.skip()?.then_some(None),
    })
}

impl RefVsr {
    /// The session's next picture. Where a viewfinder must not stand still, the frame is bypassed in place of
    /// work that takes too long.
    pub fn picture(
        &self,
        work: &mut Work,
        mut fate: Fate,
        keep_going: bool,
    ) -> Result<Option<(Fate, Option<Tensor>)>, gst::FlowError> {
        let now = || self.obj().current_running_time().unwrap_or_default();
        if keep_going && fate == Fate::Enlarged && work.patience.rests(now()) {
            fate = Fate::Bypassed;
        }
        let deadline = (keep_going && fate == Fate::Enlarged).then(|| {
            let frame = self.running(|running| running.latency.frame());
            Instant::now() + work.patience.limit(frame.unwrap_or_default())
        });
        let mut picture = next_picture(&mut work.session, fate, deadline);
        match picture {
            Ok(Some(_)) if fate == Fate::Enlarged => work.patience.finished(),
            Err(Error::OutOfTime) => {
                gst::info!(CAT, imp = self, "The network takes too long: bypassed");
                work.patience.gave_up(now());
                fate = Fate::Bypassed;
                picture = next_picture(&mut work.session, fate, None);
            }
            _ => (),
        }
        let picture = picture.map_err(|e| self.failed(&e))?;
        Ok(picture.map(|picture| (fate, picture)))
    }

    /// Says on the bus where an overload begins and ends.
    pub fn note_overload(&self, work: &mut Work, fate: Fate, time: Option<ClockTime>) {
        let Some((time, news)) =
            time.and_then(|time| Some((time, work.overload.note(time, fate)?)))
        else {
            return;
        };
        let (dropped, bypassed) = match news {
            News::Begins => (0, 0),
            News::Ends { dropped, bypassed } => (dropped, bypassed),
        };
        let told = gst::Structure::builder("refvsr-overload")
            .field("overloaded", news == News::Begins)
            .field("running-time", time)
            .field("dropped", dropped)
            .field("bypassed", bypassed)
            .build();
        self.tell(told);
    }

    pub fn tell_dropped(&self, late: &Late) {
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
