//! What becomes of frames on an overloaded machine, done and told: see [`overload`](super::overload).
//!
//! Before a live pipeline's first frames the network rehearses with one of them on a thread of its own, while they come
//! out enlarged bicubically and in time: the first frames of a size take several times as long as later ones, and
//! until some are done nobody knows how long one takes here.

use super::{
    element::RefVsr,
    log::CAT,
    overload::{self, Fate, Late, News},
    timing::WARM_UP,
    work::{Turn, Work},
};
use ::refvsr::{Error, Session, Stopper, Triplet};
use gst::{ClockTime, prelude::*, subclass::prelude::*};
use gst_base::prelude::*;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tch::{Device, Tensor};

/// A rehearsal ends after so long in any case.
const LONGEST: Duration = Duration::from_secs(8);

/// How long a frame takes, and the session, which has seen the cameras; `None` where it was given up.
type Outcome = Result<Option<(Duration, Session)>, Error>;

/// A rehearsal under way. Dropped, it stops.
#[derive(Debug)]
pub struct Rehearsal {
    outcome: Receiver<Outcome>,
    is_over: Arc<AtomicBool>,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Rehearsal {
    /// Begins one on this session, which is at a clip's start, with a moment of the stream. A frame that takes no longer than
    /// `enough` is the last; `done` is called when the outcome is there.
    fn begin(
        mut session: Session,
        moment: Triplet,
        enough: Duration,
        done: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, outcome) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let stopper = session.stopper();
        let thread = std::thread::Builder::new().name("refvsr-rehearsal".into());
        let thread = thread.spawn(move || {
            let took = rehearse(&mut session, &moment, enough);
            let outcome = took.map(|took| took.map(|took| (took, session)));
            // Nobody waits for it where the element has stopped.
            sender.send(outcome).unwrap_or_default();
            over.store(true, Ordering::Release);
            done();
        })?;
        Ok(Self {
            outcome,
            is_over,
            stopper,
            thread: Some(thread),
        })
    }

    /// What it has shown, once that is known.
    fn outcome(&self) -> Option<Outcome> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Ok(None)),
        }
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.stopper.stop();
        // A panic of that thread is on stderr.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Sends the moment again and again, until frames have come out that do not set anything up any more.
fn rehearse(
    session: &mut Session,
    moment: &Triplet,
    enough: Duration,
) -> Result<Option<Duration>, Error> {
    let end = Instant::now() + LONGEST;
    let mut started = Instant::now();
    for done in 0.. {
        let picture = loop {
            match session.receive_until(end) {
                Ok(Some(picture)) => break picture,
                Ok(None) => session.send(moment.shallow_clone())?,
                Err(Error::OutOfTime | Error::Stopped) => return Ok(None),
                Err(error) => return Err(error),
            }
        };
        // A GPU's work is done when its picture is here.
        drop(picture.f_to_device(Device::Cpu)?);
        let took = std::mem::replace(&mut started, Instant::now()).elapsed();
        if done >= WARM_UP || took <= enough {
            return Ok(Some(took));
        }
    }
    Ok(None)
}

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
        if keep_going && fate == Fate::Enlarged && !self.is_ready(work, due, turn) {
            fate = Fate::Bypassed;
        }
        let deadline = (keep_going && fate == Fate::Enlarged)
            .then(|| Instant::now() + overload::limit(self.interval()));
        let mut picture = next_picture(&mut work.session, fate, deadline);
        match picture {
            Ok(Some(_)) if fate == Fate::Enlarged => work.patience.finished(),
            Err(Error::OutOfTime) => {
                gst::info!(CAT, imp = self, "The network takes too long: bypassed");
                work.patience.gave_up(self.now());
                fate = Fate::Bypassed;
                picture = next_picture(&mut work.session, fate, None);
            }
            _ => (),
        }
        let picture = picture.map_err(|e| self.failed(&e))?;
        Ok(picture.map(|picture| (fate, picture)))
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
                    !rehearsal.is_over.load(Ordering::Acquire) && !running.is_over(turn.epoch)
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
            }
        }
        !work.patience.rests()
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
