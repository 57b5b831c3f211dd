//! Motions between neighbouring frames, found when an output first needs them: frames that are left out
//! before then cost nothing.

use super::Session;
use crate::{
    Result,
    net::{flow::SpyNet, state::Motion},
};

impl Session {
    /// Finds the motions not known yet that output `n` takes from the frames before number `end`.
    pub(super) fn find_motions(&mut self, n: usize, end: usize) -> Result<()> {
        let first = n.saturating_sub(self.window_look_ahead());
        for number in first.max(self.clip.gone)..end.min(self.clip.sent) {
            self.find_motions_before(number, n)?;
        }
        if self.network.config().repeats_clip_ends() && self.look_ahead() > 0 {
            // Windows repeat the clip's first frame and, once it is known, its last.
            if self.clip.gone == 0 {
                self.find_motion_to_itself(0)?;
            }
            if self.clip.drained && n + self.look_ahead() + 1 > self.clip.sent {
                self.find_motion_to_itself(self.clip.sent - 1)?;
            }
        }
        Ok(())
    }

    /// Between a frame and the one before it, for output `n`.
    fn find_motions_before(&mut self, number: usize, n: usize) -> Result<()> {
        let is_held = number > self.clip.gone;
        // Runs of the forward branch go from earlier frames to `n`, those of the backward branch from later
        // ones; RefVSR-IR's go over the whole window.
        let whole = self.network.refill().is_some();
        let misses_previous = self.clip.frame(number).to_previous.is_none();
        let back = misses_previous && (is_held || self.clip.former.is_some());
        let on = is_held && self.clip.frame(number - 1).to_next.is_none();
        let (back, on) = match (whole, number <= n) {
            // What one output does not need the next one does, and two are found faster than one and one.
            _ if self.look_ahead() > 0 && !self.clip.left_out => (back, on),
            (true, _) => (back, on),
            (false, true) => (back, false),
            (false, false) => (false, on),
        };
        if !back && !on {
            return Ok(());
        }
        self.find_pyramid(number)?;
        if is_held {
            self.find_pyramid(number - 1)?;
        }
        let (net, clip) = (&self.network, &self.clip);
        let previous = match is_held {
            true => clip.frame(number - 1).pyramid.as_ref(),
            false => clip.former.as_ref(),
        };
        let Some((frame, previous)) = clip.frame(number).pyramid.as_ref().zip(previous) else {
            return Ok(());
        };
        let (to_previous, to_next): (Option<Motion>, Option<Motion>) = match (back, on) {
            (true, true) => {
                let [back, on] = net.flow_net().flows(frame, previous)?;
                (Some(net.motion_of(back)?), Some(net.motion_of(on)?))
            }
            (true, false) => (Some(net.motion(frame, previous)?), None),
            _ => (None, Some(net.motion(previous, frame)?)),
        };
        if let Some(motion) = to_previous {
            self.clip.frame_mut(number).to_previous = Some(motion);
        }
        if let Some(motion) = to_next {
            self.clip.frame_mut(number - 1).to_next = Some(motion);
        }
        Ok(())
    }

    fn find_motion_to_itself(&mut self, number: usize) -> Result<()> {
        if self.clip.frame(number).to_itself.is_none() {
            self.find_pyramid(number)?;
            let pyramid = self.clip.frame(number).pyramid.as_ref();
            let motion = pyramid.map(|pyramid| self.network.motion(pyramid, pyramid));
            self.clip.frame_mut(number).to_itself = motion.transpose()?;
        }
        Ok(())
    }

    /// A frame's pyramid, which is kept with it.
    pub(super) fn find_pyramid(&mut self, number: usize) -> Result<()> {
        let frame = self.clip.frame_mut(number);
        if frame.pyramid.is_none() {
            frame.pyramid = Some(SpyNet::pyramid(&frame.lr)?);
        }
        Ok(())
    }
}
