//! Which of a model's trunks a clip is for: those for clean footage, or those for what was recorded.

use super::Session;
use crate::{Result, net::footage::Footage};
use tch::Tensor;

/// Frames at a clip's start that are looked at, of those that are there when the first one goes out.
const LOOKED_AT: usize = 4;

/// What a clip's first frames showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Which trunks it takes.
    pub footage: Footage,
    /// How certain it is, 0 to 1, that it was recorded. `None` where the options say what footage it is.
    pub recorded: Option<f64>,
}

impl Session {
    /// What this clip's footage was found to be, from its first output on. `None` for models that have
    /// one set of trunks for all.
    pub fn seen_footage(&self) -> Option<Seen> {
        self.clip.footage
    }

    pub(super) fn footage(&self) -> Footage {
        let seen = self.clip.footage;
        seen.map_or(Footage::Clean, |seen| seen.footage)
    }

    /// Before output `n`: looks at the clip's first frames. This waits for the device, once a clip.
    pub(super) fn look_at_footage(&mut self, n: usize) -> Result<()> {
        let Some(meter) = self.network.meter() else {
            return Ok(());
        };
        if n > 0 || self.clip.footage.is_some() {
            return Ok(());
        }
        let seen = match self.options.footage {
            Some(footage) => Seen {
                footage,
                recorded: None,
            },
            None => {
                let frames = self.clip.frames.iter().take(LOOKED_AT);
                let frames: Vec<_> = frames.map(|frame| frame.lr.shallow_clone()).collect();
                let recorded = meter.recorded(&Tensor::f_cat(&frames, 0)?)?;
                let footage = match recorded > 0.5 {
                    true => Footage::Recorded,
                    false => Footage::Clean,
                };
                Seen {
                    footage,
                    recorded: Some(recorded),
                }
            }
        };
        self.clip.footage = Some(seen);
        Ok(())
    }
}
