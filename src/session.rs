//! The streaming session: triplets in, finished frames out.

use crate::{Network, Result};
use tch::Tensor;

/// What the three cameras saw at one moment. Each is RGB, `[1, 3, H, W]`, f32 in \[0, 1\], on the network's device.
#[derive(Debug)]
pub struct Triplet {
    /// The frame to put out larger.
    pub ultrawide: Tensor,
    /// The wide camera's frame, of any size; `None`: the ultra-wide frame stands in for it.
    pub wide: Option<Tensor>,
    /// The tele camera's frame, of any size, if there is one.
    pub tele: Option<Tensor>,
}

/// How a session runs.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionOptions {
    /// Frames of look-ahead; `None` = the model's own.
    pub look_ahead: Option<usize>,
    /// The forward recurrence starts anew every so many outputs; `None` = never. Start from the model's own value, [`Session::options_of`].
    pub reset_interval: Option<usize>,
    /// The wide lens's focal length over the ultra-wide's, more than 0.
    pub wide_zoom: f64,
    /// The tele lens's focal length over the ultra-wide's, more than 0.
    pub tele_zoom: f64,
}

/// The streaming session. Send a triplet, receive finished frames, drain at the end.
#[derive(Debug)]
pub struct Session {
    network: Network,
}

impl Session {
    /// The options a model was made for: its own look-ahead and reset interval, zooms of 2 and 5.
    pub fn options_of(network: &Network) -> SessionOptions {
        let config = network.config();
        SessionOptions { look_ahead: None, reset_interval: config.reset_interval, wide_zoom: 2.0, tele_zoom: 5.0 }
    }

    /// A session at the start of a clip.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for options outside their range.
    pub fn new(network: Network, options: SessionOptions) -> Result<Self> {
        let _ = options;
        Ok(Self { network })
    }

    /// Takes the next moment of the clip and does all work that depends on it alone.
    ///
    /// # Errors
    /// [`Error::Full`](crate::Error::Full) while a finished frame waits, [`Error::Drained`](crate::Error::Drained) after
    /// [`drain`](Self::drain), [`Error::Shape`](crate::Error::Shape) for a frame of another size than the first.
    pub fn send(&mut self, triplet: Triplet) -> Result<()> {
        let _ = triplet;
        Ok(())
    }

    /// The next finished frame in order, `[1, 3, scale*H, scale*W]` in \[0, 1\], or `None` while more input is needed (or, after
    /// [`drain`](Self::drain), at the end).
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn receive(&mut self) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// Says that no more frames come: [`receive`](Self::receive) then gives all that are held.
    pub fn drain(&mut self) {}

    /// Forgets the clip: the next frame sent is the first of a new one, of any size.
    pub fn reset(&mut self) {}

    /// Frames that must follow a frame before it can be received.
    pub fn look_ahead(&self) -> usize {
        self.network.config().look_ahead()
    }

    /// Bytes of device memory held for the weights and for all frames in flight.
    pub fn memory(&self) -> usize {
        0
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }
}
