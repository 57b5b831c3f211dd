//! What is known of a reference camera from the last frames.

use super::{register::Track, verdict::Verdict};
use tch::Tensor;

/// Where the camera was seen last.
#[derive(Debug)]
pub struct Last {
    /// References are brought to the density at this zoom.
    pub zoom: f64,
    pub track: Track,
    /// How alike both cameras' pictures were there, see [`Laid::agreement`](crate::net::registered::registration::Laid::agreement).
    pub agreement: f64,
}

/// The zoom may drift by this much before references are brought to the density at another one:
/// their size would else change from frame to frame.
const DRIFT: f64 = 1.02;

impl Last {
    pub fn without_flow(&self) -> Self {
        Self {
            track: self.track.placement.into(),
            ..*self
        }
    }

    /// The zoom at which the next reference is brought to the density.
    pub fn density_zoom(&self) -> f64 {
        let drift = self.track.placement.zoom / self.zoom;
        if (1.0 / DRIFT..DRIFT).contains(&drift) {
            self.zoom
        } else {
            self.track.placement.zoom
        }
    }
}

/// A frame that was registered, not yet read.
#[derive(Debug)]
pub struct Unread {
    /// As [`Last::zoom`].
    pub zoom: f64,
    pub verdict: Verdict,
    /// What [`Track::flow`] becomes if it holds.
    pub flow: Tensor,
}

impl Unread {
    pub fn shallow_clone(&self) -> Self {
        Self {
            zoom: self.zoom,
            verdict: self.verdict.shallow_clone(),
            flow: self.flow.shallow_clone(),
        }
    }
}
