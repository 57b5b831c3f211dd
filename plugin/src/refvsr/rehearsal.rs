//! A rehearsal before a live pipeline's first frames: the network works on one of them on a thread of its own,
//! while they come out enlarged bicubically and in time.
//!
//! The first frames of a size take several times as long as later ones, while memory and kernels are set up, and
//! until some are done nobody knows how long one takes here.

use super::latency::WARM_UP;
use ::refvsr::{Error, Session, Stopper, Triplet};
use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tch::Device;

/// It ends after so long in any case.
const LONGEST: Duration = Duration::from_secs(8);

/// What a rehearsal has shown.
#[derive(Debug)]
pub struct Rehearsed {
    /// How long a frame takes.
    pub took: Duration,
    /// The session, which has seen the cameras.
    pub session: Session,
}

/// `None` where it was given up.
pub type Outcome = Result<Option<Rehearsed>, Error>;

/// A rehearsal under way. Dropped, it stops.
#[derive(Debug)]
pub struct Rehearsal {
    outcome: Receiver<Outcome>,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Rehearsal {
    /// Begins one on this session, which is at a clip's start, with a moment of the stream.
    pub fn begin(mut session: Session, moment: Triplet) -> std::io::Result<Self> {
        let (sender, outcome) = channel();
        let stopper = session.stopper();
        let thread = std::thread::Builder::new()
            .name("refvsr-rehearsal".into())
            .spawn(move || {
                let outcome = rehearse(&mut session, &moment);
                let outcome = outcome.map(|took| took.map(|took| Rehearsed { took, session }));
                // Nobody waits for it where the element has stopped.
                sender.send(outcome).unwrap_or_default();
            })?;
        Ok(Self {
            outcome,
            stopper,
            thread: Some(thread),
        })
    }

    /// What it has shown, if that is known within so long.
    pub fn wait(&self, timeout: Duration) -> Option<Outcome> {
        match self.outcome.recv_timeout(timeout) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Ok(None)),
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
fn rehearse(session: &mut Session, moment: &Triplet) -> Result<Option<Duration>, Error> {
    let end = Instant::now() + LONGEST;
    let mut started = Instant::now();
    let mut took = Vec::new();
    while took.len() <= WARM_UP {
        session.send(moment.shallow_clone())?;
        loop {
            let picture = match session.receive_until(end) {
                Ok(Some(picture)) => picture,
                Ok(None) => break,
                Err(Error::OutOfTime | Error::Stopped) => return Ok(None),
                Err(error) => return Err(error),
            };
            // A GPU's work is done when its picture is here.
            drop(picture.f_to_device(Device::Cpu)?);
            took.push(started.elapsed());
            started = Instant::now();
        }
    }
    Ok(took
        .get(WARM_UP..)
        .unwrap_or_default()
        .iter()
        .max()
        .copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::refvsr::{ModelConfig, Network};
    use tch::{Kind, Tensor};

    fn session() -> Session {
        let config = ModelConfig {
            mid_channels: 4,
            num_blocks: 1,
            frame_num: 3,
            ..ModelConfig::preset("refvsr-mfid").unwrap()
        };
        let network = Network::new(config, Device::Cpu).unwrap();
        let options = Session::options_of(&network);
        Session::new(network, options).unwrap()
    }

    fn moment(width: i64) -> Triplet {
        let camera = || Tensor::rand([1, 3, 16, width], (Kind::Float, Device::Cpu));
        Triplet {
            ultrawide: camera(),
            wide: Some(camera()),
            tele: None,
        }
    }

    #[test]
    fn it_tells_how_long_a_frame_takes() {
        let rehearsal = Rehearsal::begin(session(), moment(16)).unwrap();
        let rehearsed = rehearsal.wait(LONGEST).unwrap().unwrap().unwrap();
        let took = rehearsed.took;
        assert!(!took.is_zero() && took < LONGEST, "{took:?}");
    }

    #[test]
    fn it_stops_when_it_is_dropped() {
        let rehearsal = Rehearsal::begin(session(), moment(4096)).unwrap();
        assert!(rehearsal.wait(Duration::ZERO).is_none());
        let before = Instant::now();
        drop(rehearsal);
        assert!(before.elapsed() < LONGEST / 2);
    }

    #[test]
    fn what_goes_wrong_is_told() {
        let moment = Triplet {
            ultrawide: Tensor::zeros([1, 1, 16, 16], (Kind::Float, Device::Cpu)),
            ..moment(16)
        };
        let rehearsal = Rehearsal::begin(session(), moment).unwrap();
        let outcome = rehearsal.wait(LONGEST).unwrap();
        assert!(matches!(outcome, Err(Error::Shape { .. })), "{outcome:?}");
    }
}
