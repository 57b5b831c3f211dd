//! What becomes of frames on an overloaded machine, done and told: see [`overload`](super::overload).

use super::{
    element::RefVsr,
    log::CAT,
    model,
    overload::{self, Fate, Late, News, Patience},
    rehearsal::Rehearsal,
    work::{Turn, Work},
};
use ::refvsr::{Error, Received, Session, Triplet};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::prelude::*;
use std::time::Instant;
use tch::Tensor;

/// The session's next picture; of a frame that does not come out, none. The network gives up at `deadline`.
fn next_picture(
    session: &mut Session,
    fate: Fate,
    deadline: Option<Instant>,
) -> Result<Received<Option<Tensor>>, Error> {
    Ok(match fate {
        Fate::Enlarged => match deadline {
            Some(deadline) => session.receive_until(deadline)?.map(Some),
            None => session.receive()?.map(Some),
        },
        Fate::Bypassed => session.bypass()?.map(Some),
        Fate::Dropped => session.skip()?.map(|()| None),
    })
}

impl RefVsr {
    /// Where a viewfinder must not stand still: before the first frame of a size, and after a rest, the
    /// network begins a rehearsal with this moment.
    pub fn rehearse(&self, work: &mut Work, moment: &Triplet, turn: &Turn) {
        let size = moment.ultrawide.size();
        if !self.keeps_going(turn) || !work.patience.needs_rehearsal(&size, self.now()) {
            return;
        }
        let element = self.obj().downgrade();
        let done = move || {
            element.upgrade().inspect(|element| element.imp().notify());
        };
        let (session, moment) = (work.session.sibling(), moment.shallow_clone());
        match Rehearsal::begin(session, moment, self.interval().into(), done) {
            Ok(rehearsal) => work.patience.rehearse(size, rehearsal),
            Err(error) => gst::warning!(CAT, imp = self, "No thread for a rehearsal: {error}"),
        }
    }

    /// The session's next picture, which is due at this running time. Where a viewfinder must not stand
    /// still, the frame is bypassed in place of work that takes too long.
    pub fn picture(
        &self,
        work: &mut Work,
        mut fate: Fate,
        due: Option<ClockTime>,
        turn: &Turn,
    ) -> Result<Option<(Fate, Option<Tensor>)>, gst::FlowError> {
        let keep_going = self.keeps_going(turn);
        if keep_going {
            // A frame that is late in any case waits for nothing.
            let wait_until = due.filter(|_| fate == Fate::Enlarged);
            if !self.is_ready(work, wait_until, turn) && fate == Fate::Enlarged {
                fate = Fate::Bypassed;
            }
        }
        let deadline = (keep_going && fate == Fate::Enlarged)
            .then(|| Instant::now() + overload::limit(self.interval()));
        let mut picture = next_picture(&mut work.session, fate, deadline);
        match picture {
            Ok(Received::Frame(_)) if fate == Fate::Enlarged => work.patience.finished(),
            Err(Error::OutOfTime) => {
                gst::info!(CAT, imp = self, "The network takes too long: bypassed");
                work.patience.gave_up(self.now());
                fate = Fate::Bypassed;
                picture = next_picture(&mut work.session, fate, None);
            }
            _ => (),
        }
        let picture = picture.map_err(|e| self.failed(&e))?;
        Ok(picture.frame().map(|picture| (fate, picture)))
    }

    /// Whether the network may work on a frame: the rehearsal, which is waited for as long as the frame is in
    /// time all the same, has shown that it is fast enough.
    fn is_ready(&self, work: &mut Work, due: Option<ClockTime>, turn: &Turn) -> bool {
        let frame = self.interval();
        // A part of the frame's time is left to enlarge it bicubically.
        let last = due.map_or(ClockTime::ZERO, |due| due.saturating_sub(frame / 2));
        while let Some(rehearsal) = work.patience.rehearsal() {
            let Some(outcome) = rehearsal.outcome() else {
                let left = last.saturating_sub(self.now());
                if left.is_zero() || self.is_over(turn) {
                    return false;
                }
                // The clock need not be this machine's, so it is asked again after that.
                self.wait_while(left.into(), |running| {
                    !rehearsal.is_over() && !running.is_over(turn.epoch)
                });
                continue;
            };
            let rehearsed = outcome.unwrap_or_else(|error| {
                gst::warning!(CAT, imp = self, "The rehearsal failed: {error}");
                None
            });
            let took = rehearsed.as_ref().map(|(took, _)| *took);
            gst::info!(CAT, imp = self, "Rehearsal: a frame takes {took:?}");
            let fast = work.patience.rehearsed(took, frame, self.now());
            if let Some((took, mut session)) = rehearsed.filter(|_| fast) {
                work.session.begin_with_cameras_of(&mut session);
                self.running(|running| running.timing.rehearsed(took));
                self.update_latency();
            } else if !fast && self.takes_live_model(work, turn) {
                return false; // its own rehearsal comes with the next frame
            }
        }
        !work.patience.rests()
    }

    /// Where the model was left to the element and is too slow, the live one goes on in its place. Whether it does.
    fn takes_live_model(&self, work: &mut Work, turn: &Turn) -> bool {
        let taken = model::lighter(&turn.settings, &work.session).and_then(|lighter| {
            let Some((mut session, name)) = lighter else {
                return Ok(None);
            };
            session.take_over(&mut work.session)?;
            Ok(Some((session, name)))
        });
        let (session, name) = match taken {
            Ok(Some(taken)) => taken,
            Ok(None) => return false,
            Err(error) => {
                gst::warning!(CAT, imp = self, "The live model cannot be used: {error}");
                return false;
            }
        };
        work.session = session;
        work.patience = Patience::default();
        let look_ahead = work.session.look_ahead();
        self.running(|running| running.timing.set_look_ahead(look_ahead));
        self.update_latency();
        self.state().stats.model.clone_from(&name);
        let told = gst::Structure::builder("refvsr-model")
            .field("model", "live")
            .field("description", name)
            .field(
                "reason",
                "the model for this device is too slow for a live pipeline",
            )
            .build();
        self.tell(told);
        true
    }

    /// What becomes of late frames.
    pub fn of_late(&self, turn: &Turn) -> Fate {
        let live = self.obj().latency().is_some();
        turn.settings.overload.of_late(turn.settings.qos, live)
    }

    /// Whether a live pipeline must not stand still for a frame that takes long.
    fn keeps_going(&self, turn: &Turn) -> bool {
        self.obj().latency().is_some() && self.of_late(turn) == Fate::Bypassed
    }

    fn now(&self) -> ClockTime {
        self.obj().current_running_time().unwrap_or_default()
    }

    /// The distance of two frames.
    fn interval(&self) -> ClockTime {
        let interval = self.running(|running| running.timing.interval());
        interval.unwrap_or_default()
    }

    /// Says on the bus where an overload begins and ends.
    pub fn note_overload(&self, work: &mut Work, fate: Fate, time: Option<ClockTime>) {
        if work.patience.rehearsal().is_some() {
            return; // bypassed until it is over, whether the machine is too slow or not
        }
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
        let [out, dropped] =
            [stats.frames_out, stats.frames_dropped].map(gst::format::Buffers::from_u64);
        let message = late.message(self.obj().latency().is_some());
        gst::debug!(CAT, imp = self, "Left out a frame: {late:?}");
        self.post(message.stats(out, dropped).src(&*self.obj()).build());
    }
}
