//! A clip that goes on with another network.

use super::{
    Session,
    clip::{Clip, ClipFrame},
};
use crate::{Error, Result};

impl Session {
    /// Goes on with the clip of another session, whose network is too slow or was a wrong choice: the frames that
    /// have not been received yet, what is known of the cameras, and whatever stops that session. Its own clip is
    /// forgotten, and the other one is left at a clip's start. The recurrence begins anew.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where one of the networks matches its references, or their devices differ. Both are
    /// as they were then.
    pub fn take_over(&mut self, other: &mut Self) -> Result<()> {
        let registers = |session: &Self| session.network.registered().is_some();
        if !registers(self) || !registers(other) {
            return Err(unsupported(
                "it takes two networks that register references",
            ));
        }
        if self.network.device() != other.network.device() {
            return Err(unsupported("their networks lie on two devices"));
        }
        let clip = std::mem::take(&mut other.clip);
        let left = clip.received - clip.gone;
        let frames = clip.frames.into_iter().skip(left).map(|frame| ClipFrame {
            pyramid: None,
            to_previous: None,
            to_next: None,
            to_itself: None,
            ..frame
        });
        self.clip = Clip {
            frames: frames.collect(),
            sent: clip.sent - clip.received,
            drained: clip.drained,
            followers: clip.followers,
            footage: clip.footage,
            unseen: clip.unseen,
            size: clip.size,
            ..Clip::default()
        };
        self.stopper = other.stopper.clone();
        Ok(())
    }
}

fn unsupported(why: &str) -> Error {
    Error::Unsupported {
        what: "going on with another session's clip".into(),
        why: why.into(),
    }
}
