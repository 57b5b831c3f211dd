//! What a session knows of its clip.

use super::{ReducedMatching, Session, Unseen};
use crate::{Result, net::registered::registration::Sighting};
use tch::{Kind, Tensor};

impl Session {
    /// Where the registered variant saw the wide and the tele camera last, as of the frame that was received
    /// last. `None` for a camera that was not found in this clip yet, and for other variants, which do
    /// not look for it.
    ///
    /// This waits for the device, so it is best asked once that frame has been taken from there. Where it
    /// is not asked, the next frame begins with it. Other than that no frame waits for the device, unless a
    /// camera has to be looked for.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where the device fails.
    pub fn sightings(&mut self) -> Result<(Option<Sighting>, Option<Sighting>)> {
        self.read_followers()?;
        match &self.clip.followers {
            Some(known) => Ok((known.wide.sighting()?, known.tele.sighting()?)),
            None => Ok((None, None)),
        }
    }

    /// How alike the frame that was received last is to what was matched in its references, on average: one
    /// number, on the device. `None` before a frame was received, and for the registered variant, which does
    /// not match; see [`sightings`](Self::sightings).
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn confidence(&self) -> Result<Option<Tensor>> {
        let shown = self.clip.shown();
        let confidence = shown.and_then(|(_, reference)| reference.confidence());
        Ok(confidence
            .map(|confidence| confidence.f_mean(Kind::Float))
            .transpose()?)
    }

    /// How alike each pixel of the frame that was received last is to what its references show, `[1, 1, H,
    /// W]` in \[0, 1\], on the device: the matching's cosine similarity, or for the registered variant the
    /// local correlation with the references, 0 outside of their fields. `None` before a frame was received.
    ///
    /// # Errors
    /// [`Error::Torch`](crate::Error::Torch) where memory runs out.
    pub fn confidence_map(&self) -> Result<Option<Tensor>> {
        let Some(((lr, reference), (h, w))) = self.clip.shown().zip(self.clip.size) else {
            return Ok(None);
        };
        let map = reference.confidence_map(lr)?;
        Ok(Some(map.f_narrow(2, 0, h)?.f_narrow(3, 0, w)?))
    }

    /// Bytes of device memory held for the weights and for all frames in flight. What a step needs while it
    /// runs comes on top.
    pub fn memory(&self) -> usize {
        self.weight_bytes + self.clip.bytes()
    }

    /// How the clip's frames are matched where that is not at full density: known once the first one has
    /// been sent.
    pub fn reduced_matching(&self) -> Option<&ReducedMatching> {
        self.clip.reduced_matching.as_ref()
    }

    /// The first reference camera of the clip that cannot be found, because its frames cover too few
    /// pixels of the ultra-wide ones: known once they have been sent.
    pub fn unseen(&self) -> Option<&Unseen> {
        self.clip.unseen.as_ref()
    }

    /// Brings what is known of the cameras from the device, where that has not been done.
    pub(super) fn read_followers(&mut self) -> Result<()> {
        if let Some(followers) = &self.clip.followers {
            self.clip.followers = Some(followers.read()?);
        }
        Ok(())
    }
}
