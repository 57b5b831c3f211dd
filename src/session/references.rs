//! References, found when an output first needs them, as motions are: frames that are left out before then cost nothing.

use super::{Session, clip::ClipFrame};
use crate::{
    Result,
    net::{found::Found, registered::Moment},
};

impl Session {
    /// Finds what is not known yet of the references that output `n` takes from the frames before number `end`. They are
    /// matched, or those of frame `n` registered.
    pub(super) fn find_references(&mut self, n: usize, end: usize) -> Result<()> {
        if self.network.registered().is_some() {
            return self.register(n);
        }
        let first = n.saturating_sub(self.window_look_ahead());
        for number in first.max(self.clip.gone)..end.min(self.clip.sent) {
            self.match_references(number)?;
        }
        Ok(())
    }

    /// Matches a frame's references, where that has not been done, and finds its EDVR pyramid.
    pub(super) fn match_references(&mut self, number: usize) -> Result<()> {
        let ClipFrame { lr, waiting, .. } = self.clip.frame(number);
        let Some(waiting) = waiting else {
            return Ok(());
        };
        let found = self.network.matched(lr, &waiting.all(), waiting.step)?;
        let refill = self.network.refill();
        let levels = refill.map(|refill| refill.edvr.levels(lr)).transpose()?;
        let frame = self.clip.frame_mut(number);
        (frame.reference, frame.levels, frame.waiting) = (found, levels, None);
        Ok(())
    }

    /// Registers the references of frame `n`, which goes out, where they wait for that.
    fn register(&mut self, n: usize) -> Result<()> {
        let frame = self.clip.frame(n);
        let net = self.network.registered_for(self.footage());
        let Some((net, waiting)) = net.zip(frame.waiting.as_ref()) else {
            return Ok(());
        };
        let moment = Moment {
            ultrawide: &frame.lr,
            wide: waiting.wide.as_ref(),
            tele: waiting.tele.as_ref(),
        };
        let fresh;
        let followers = match &self.clip.followers {
            Some(followers) => followers,
            None => {
                fresh = self.options.followers();
                &fresh
            }
        };
        let (details, followers) = net.details(moment, followers)?;
        let frame = self.clip.frame_mut(n);
        frame.reference = Found::Registered(details);
        frame.waiting = None;
        frame.followers = Some(followers);
        Ok(())
    }
}
