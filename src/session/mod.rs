//! The streaming session: triplets in, finished frames out.
//!
//! It computes what [`Network::forward`] computes for every window, frame for frame and bit for bit (in
//! fp32, at full matching density, without shared backward runs), from the same steps; but whatever depends on one frame or on one
//! pair of neighbours is computed once, when an output first needs it, and kept only as long as a window can
//! need it.

mod backward;
mod branches;
mod clip;
mod density;
mod forward;
mod handover;
mod intake;
mod known;
mod lease;
mod motions;
mod options;
mod received;
mod references;
mod refill;
mod settings;
mod shared;
mod signs;
mod takeover;
mod triplet;
mod unseen;
mod watch;
mod watched;

pub use density::ReducedMatching;
pub use options::SessionOptions;
pub use received::Received;
pub use shared::{SharedNetwork, WeakNetwork};
pub use triplet::Triplet;
pub use unseen::Unseen;

use crate::{
    Error, Network, Result,
    config::Recurrence,
    image::enlarge::bicubic,
    net::{
        footage::Footage,
        layers::context::{self, Arithmetic},
    },
    stop::Stopper,
};
use clip::{Clip, ClipFrame, Shown};
use lease::Lease;
use std::time::Instant;
use tch::Tensor;

/// The streaming session of one network. Send a triplet, receive finished frames, drain at the end, reset for the next clip.
///
/// ```
/// use refvsr::{ModelConfig, Network, Received, Session, Triplet};
/// use tch::{Device, Kind, Tensor};
///
/// # fn main() -> refvsr::Result<()> {
/// let config = ModelConfig { mid_channels: 4, num_blocks: 1, frame_num: 3, ..ModelConfig::preset("refvsr-mfid")? };
/// let network = Network::new(config, Device::Cpu)?; // a trained one comes from Network::load
/// let options = Session::options_of(&network);
/// let mut session = Session::new(network, options)?;
///
/// let mut finished = 0;
/// for _ in 0..3 {
///     let camera = || Tensor::rand([1, 3, 16, 24], (Kind::Float, Device::Cpu));
///     session.send(Triplet { ultrawide: camera(), wide: Some(camera()), tele: None })?;
///     while let Some(frame) = session.receive()?.frame() {
///         assert_eq!(frame.size(), [1, 3, 64, 96]);
///         finished += 1;
///     }
/// }
/// session.drain();
/// while session.receive()?.is_frame() {
///     finished += 1;
/// }
/// assert_eq!((finished, session.receive()?), (3, Received::Ended));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Session {
    network: SharedNetwork,
    /// Of the network, whose size does not change: [`Session::memory`] is asked for at every frame.
    weight_bytes: usize,
    options: SessionOptions,
    arithmetic: Arithmetic,
    stopper: Stopper,
    /// See [`Session::restarts`].
    restarts: usize,
    clip: Clip,
    /// Last, so that what the others held is free when it goes.
    lease: Lease,
}

impl Session {
    /// The options a model was made for: its own look-ahead, reset interval and backward group;
    /// RealMCVSR's zooms of 2 and 5; the device's best precision.
    pub fn options_of(network: &Network) -> SessionOptions {
        // A registered network finds zooms itself.
        let find = network.registered().is_some();
        SessionOptions {
            look_ahead: None,
            backward_group: None,
            reset_interval: network.config().reset_interval,
            safety_net: true,
            footage: Footage::Clean,
            matching_step: None,
            wide_zoom: if find { 0.0 } else { 2.0 },
            tele_zoom: if find { 0.0 } else { 5.0 },
            precision: crate::Precision::Auto,
        }
    }

    /// A session at the start of a clip, of a network of its own or of one that it shares with others.
    ///
    /// # Errors
    /// [`Error::Config`] for options outside their range.
    pub fn new(network: impl Into<SharedNetwork>, options: SessionOptions) -> Result<Self> {
        let network = network.into();
        options.validate(network.config())?;
        Ok(Self {
            weight_bytes: network.weight_bytes(),
            arithmetic: options.precision.arithmetic(network.device()),
            network,
            options,
            stopper: Stopper::default(),
            restarts: 0,
            clip: Clip::default(),
            lease: Lease::new(),
        })
    }

    /// Another session of the same network with the same options, at the start of a clip.
    pub fn sibling(&self) -> Self {
        Self {
            network: self.network.clone(),
            weight_bytes: self.weight_bytes,
            options: self.options.clone(),
            arithmetic: self.arithmetic,
            stopper: Stopper::default(),
            restarts: 0,
            clip: Clip::default(),
            lease: Lease::new(),
        }
    }

    /// Takes the next moment of the clip. Next to nothing is computed before [`receive`](Self::receive) needs it.
    /// Values beyond \[0, 1\] count as 0 or 1, those that are no numbers as 0.
    ///
    /// # Errors
    /// [`Error::Full`] while a finished frame waits, [`Error::Drained`] after [`drain`](Self::drain),
    /// [`Error::Shape`] for anything but RGB frames of floating-point numbers, an ultra-wide frame of another
    /// size than the first, or a reference far larger than that at the camera's zoom; [`Error::Stopped`]
    /// where the [`stopper`](Self::stopper) says so, [`Error::Torch`] where memory runs out. The session
    /// then is as it was before.
    pub fn send(&mut self, triplet: Triplet) -> Result<()> {
        if self.clip.drained {
            return Err(Error::Drained);
        }
        let held = self.clip.sent - self.clip.received;
        if held > self.look_ahead() {
            return Err(Error::Full { held });
        }
        let stopper = self.stopper.clone();
        context::within(self.arithmetic, &stopper, || self.take(&triplet))
    }

    /// The next finished frame in order, fp32 `[1, 3, scale*H, scale*W]` in \[0, 1\], or whether more frames
    /// have to be sent first or all have come out. With shared backward runs frames become ready in groups.
    ///
    /// # Errors
    /// [`Error::Stopped`] where the [`stopper`](Self::stopper) says so, [`Error::Torch`] where memory runs
    /// out. The session then is as it was before: the same frame can be asked for again.
    pub fn receive(&mut self) -> Result<Received<Tensor>> {
        self.next(None, Self::output)
    }

    /// The same, given up at a point in time.
    ///
    /// # Errors
    /// [`Error::OutOfTime`] some tenths of a second after that at most; the same frame can then be asked for
    /// again, or [passed by](Self::bypass). Otherwise as [`receive`](Self::receive).
    pub fn receive_until(&mut self, deadline: Instant) -> Result<Received<Tensor>> {
        self.next(Some(deadline), Self::output)
    }

    /// Passes by the frame that [`receive`](Self::receive) would give, for little more than a step of the
    /// forward branch (RefVSR-IR saves the picture alone).
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn skip(&mut self) -> Result<Received<()>> {
        self.next(None, Self::pass)
    }

    /// The ultra-wide frame of what [`receive`](Self::receive) would give, enlarged bicubically, of the same
    /// size and in \[0, 1\]. The network never sees the frame: the clip goes on as if it had not been
    /// filmed, so this costs next to nothing however large the network is.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn bypass(&mut self) -> Result<Received<Tensor>> {
        self.ready().try_map(|n| {
            let (h, w) = self.clip.size.unwrap_or_default();
            let padded = &self.clip.frame(n).lr;
            let frame = padded.f_narrow(2, 0, h)?.f_narrow(3, 0, w)?;
            let scale = self.network.config().scale;
            let enlarged = bicubic(&frame, scale)?.f_clamp_(0.0, 1.0)?;
            self.clip.leave_out();
            Ok(enlarged)
        })
    }

    /// Says that no more frames come: [`receive`](Self::receive) then gives all that are held.
    pub fn drain(&mut self) {
        self.clip.drained = true;
    }

    /// Forgets the clip: the next frame sent is the first of a new one, of any size.
    pub fn reset(&mut self) {
        self.clip = Clip::default();
    }

    /// Frames that must follow a frame before it can be received: m of the window, with backward runs
    /// shared by g outputs g - 1 more, and in registered networks the outputs in which one such run fades
    /// into the next.
    pub fn look_ahead(&self) -> usize {
        self.window_look_ahead() + self.group() - 1 + self.overlap()
    }

    /// A handle that stops the session's work from another thread.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The look-ahead of every window (m).
    fn window_look_ahead(&self) -> usize {
        let own = self.network.config().look_ahead();
        self.options.look_ahead.unwrap_or(own)
    }

    /// Outputs that share a backward run.
    fn group(&self) -> usize {
        let own = self.network.config().backward_group();
        self.options.backward_group.unwrap_or(own)
    }

    /// What the clip is.
    fn footage(&self) -> Footage {
        self.clip.footage.unwrap_or(self.options.footage)
    }

    fn recurrence(&self) -> Recurrence {
        self.network.config().recurrence
    }

    /// The number of the next output, if all it needs has been sent.
    fn ready(&self) -> Received<usize> {
        let Clip {
            sent,
            received,
            drained,
            ref backward,
            ..
        } = self.clip;
        let reached = backward.len() > self.overlap() || received + self.look_ahead() < sent;
        match received < sent {
            true if drained || reached => Received::Frame(received),
            false if drained => Received::Ended,
            _ => Received::NeedsMore,
        }
    }

    /// What `work` makes of the next output, if that is ready.
    fn next<T>(
        &mut self,
        deadline: Option<Instant>,
        work: impl FnOnce(&mut Self, usize) -> Result<T>,
    ) -> Result<Received<T>> {
        self.ready().try_map(|n| {
            // Now, while the device has nothing to do for this frame yet.
            self.read_followers()?;
            self.read_watch()?;
            let stopper = self.stopper.clone();
            context::within_until(self.arithmetic, &stopper, deadline, || work(self, n))
        })
    }

    /// Output `n`, which is the next.
    fn output(&mut self, n: usize) -> Result<Tensor> {
        let out = match self.network.refill() {
            Some(_) => self.refilled_output(n, true)?.ok_or_else(no_picture)?,
            None => self.joined_output(n)?,
        };
        self.cropped(out)
    }

    /// Passes output `n` by, which is the next.
    fn pass(&mut self, n: usize) -> Result<()> {
        match self.network.refill() {
            Some(_) => self.refilled_output(n, false).map(drop),
            None => self.joined_pass(n),
        }
    }

    /// The output of the size that was sent, in \[0, 1\].
    fn cropped(&self, mut out: Tensor) -> Result<Tensor> {
        let (h, w) = self.clip.size.unwrap_or_default();
        let scale = self.network.config().scale;
        Ok(out
            .f_clamp_(0.0, 1.0)?
            .f_narrow(2, 0, scale * h)?
            .f_narrow(3, 0, scale * w)?)
    }

    /// Output `next` is the next one: drops frames that no window from there on can need, which are those
    /// before it but for the ones that a coming run starts at.
    fn advance(&mut self, next: usize) {
        self.clip.received = next;
        self.clip.shown = None;
        let run = match self.options.reset_interval {
            _ if self.network.refill().is_some() => Some(next),
            _ if self.fades() => None,
            reset => reset.map(|r| next.next_multiple_of(r)),
        };
        let m = self.window_look_ahead();
        let needed = run.map_or(next, |run| next.min(run.saturating_sub(m)));
        while self.clip.gone < needed {
            let Some(frame) = self.clip.frames.pop_front() else {
                break;
            };
            self.clip.gone += 1;
            if self.clip.gone == next {
                let ClipFrame { lr, reference, .. } = frame;
                self.clip.former = frame.pyramid;
                self.clip.shown = Some(Shown { lr, reference });
            }
        }
    }
}

fn no_picture() -> Error {
    Error::Broken("an output without its picture".into())
}
