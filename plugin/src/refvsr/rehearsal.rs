//! A rehearsal before a live pipeline's first frames: the network works on one of them on a thread of its own, while
//! they come out enlarged bicubically and in time.
//!
//! The first frames of a size take several times as long as later ones, while memory and kernels are set up, and
//! until some are done nobody knows how long one takes here.

use super::timing::WARM_UP;
use ::refvsr::{Error, Received, Session, Stopper, Triplet};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, TryRecvError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tch::{Device, Kind, Tensor};

/// It ends after so long in any case.
const LONGEST: Duration = Duration::from_secs(8);

/// How long a frame takes, and the session, which has seen the cameras; `None` where it was given up.
pub type Outcome = Result<Option<(Duration, Session)>, Error>;

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
    pub fn begin(
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

    /// Whether that is known.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// What it has shown, once that is known.
    pub fn outcome(&self) -> Option<Outcome> {
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

/// Sets the network up for ultra-wide frames `[1, 3, H, W]` of this size, before there are any. Returns how long one takes; `None`
/// where it was given up.
pub fn warm_up(mut session: Session, size: &[i64]) -> Result<Option<Duration>, Error> {
    let [height, width] = [size[2], size[3]];
    // Something to be found in it, and in its centre as a wide camera shows it.
    let places = Tensor::f_arange(3 * height * width, (Kind::Float, Device::Cpu))?;
    let ultrawide = places.f_square()?.f_sin()?.f_abs()?.f_view(size)?;
    let centre = ultrawide.f_narrow(2, height / 4, (height / 2).max(1))?;
    let centre = centre.f_narrow(3, width / 4, (width / 2).max(1))?;
    let wide = centre.f_upsample_bilinear2d([height, width], false, None, None)?;
    let device = session.network().device();
    let moment = Triplet {
        ultrawide: ultrawide.f_to_device(device)?,
        wide: Some(wide.f_to_device(device)?),
        tele: None,
    };
    rehearse(&mut session, &moment, Duration::ZERO)
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
                Ok(Received::Frame(picture)) => break picture,
                // It is never drained.
                Ok(Received::Ended) => return Ok(None),
                Ok(Received::NeedsMore) => session.send(moment.shallow_clone())?,
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
