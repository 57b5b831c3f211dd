//! Information refill (RefVSR-IR): at key frames, features seen by five neighbouring frames are fused into both branches, so that what a long
//! recurrence has lost comes back (as in IconVSR, Chan et al., CVPR 2021).

use super::edvr::{self, Edvr};
use crate::{
    Result,
    net::{
        branch::Branch,
        layers::{
            conv::{Conv, Then},
            variables::Path,
        },
        state::State,
    },
};
use tch::Tensor;

/// Frames from one key frame to the next.
const STRIDE: usize = 5;

/// The refill's networks.
#[derive(Debug)]
pub struct Refill {
    /// The feature extractor.
    pub edvr: Edvr,
    backward_fusion: Conv,
    forward_fusion: Conv,
}

impl Refill {
    /// The smallest height and width that the research code takes; smaller frames are padded to it.
    pub const MIN_SIZE: i64 = 64;

    /// `vs` is the network's root.
    pub fn new(vs: &Path<'_>, channels: i64) -> Result<Self> {
        let fusion = |name: &str| Conv::new(vs / name, channels + edvr::CHANNELS, channels, 3);
        Ok(Self {
            edvr: Edvr::new(vs / "edvr")?,
            backward_fusion: fusion("backward_fusion")?,
            forward_fusion: fusion("forward_fusion")?,
        })
    }

    /// A branch's state with a key frame's features fused into its own; elsewhere as it is.
    pub(crate) fn fuse(&self, branch: Branch, state: State, key: Option<&Tensor>) -> Result<State> {
        let Some(key) = key else { return Ok(state) };
        let fusion = match branch {
            Branch::Backward => &self.backward_fusion,
            Branch::Forward => &self.forward_fusion,
        };
        let feature = fusion.then(&[&state.feature, key], Then::NOTHING)?;
        Ok(state.with_feature(feature))
    }
}

/// Where the key frames of a window lie: the same frames of the clip from window to window, and always the window's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// Position of the first key frame.
    first: usize,
}

impl Schedule {
    /// The key positions in a window of `frames` frames, ascending.
    pub fn positions(self, frames: usize) -> impl Iterator<Item = usize> {
        let last = frames.saturating_sub(1);
        (self.first..last)
            .step_by(STRIDE)
            .chain(std::iter::once(last))
    }

    /// The schedule of the next window, one frame on: all positions one less, those that drop out gone.
    pub fn next(self, frames: usize) -> Self {
        let second = STRIDE.min(frames.saturating_sub(1));
        let first = if self.first > 0 { self.first } else { second };
        Self {
            first: first.saturating_sub(1),
        }
    }
}

/// The five window positions a key frame's features are made from. Beyond the window's ends the research code's circular reflection goes on.
pub fn neighbours(position: usize, frames: usize) -> [usize; edvr::FRAMES] {
    let last = frames.saturating_sub(1);
    std::array::from_fn(|i| match (position + i).checked_sub(2) {
        // Left of the window: -2 is frame 4, -1 frame 3.
        None => (4 - (position + i)).min(last),
        // Right of it: t is frame t - 4, t + 1 frame t - 5.
        Some(p) if p > last => (2 * frames).saturating_sub(4 + p),
        Some(p) => p,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule as the research code states it, on lists.
    fn lists(frames: usize, windows: usize) -> Vec<Vec<i64>> {
        let t = frames as i64;
        let from = |first: i64| {
            let mut keys: Vec<i64> = (first..t).step_by(5).collect();
            if keys.last() != Some(&(t - 1)) {
                keys.push(t - 1);
            }
            keys
        };
        let mut all = vec![from(0)];
        while all.len() < windows {
            let moved: Vec<i64> = all[all.len() - 1]
                .iter()
                .map(|k| k - 1)
                .filter(|&k| k >= 0)
                .collect();
            all.push(from(moved.first().copied().unwrap_or(0)));
        }
        all
    }

    #[test]
    fn key_frames_stay_where_they_are_in_the_clip() {
        for frames in [1, 3, 5, 7, 9, 13] {
            let mut schedule = Schedule::default();
            for expected in lists(frames, 20) {
                let positions: Vec<i64> = schedule.positions(frames).map(|p| p as i64).collect();
                assert_eq!(positions, expected, "{frames} frames");
                schedule = schedule.next(frames);
            }
        }
        assert_eq!(lists(9, 3), [vec![0, 5, 8], vec![4, 8], vec![3, 8]]);
    }

    #[test]
    fn neighbours_reflect_in_a_circle() {
        assert_eq!(neighbours(4, 9), [2, 3, 4, 5, 6]);
        assert_eq!(neighbours(0, 9), [4, 3, 0, 1, 2]);
        assert_eq!(neighbours(1, 9), [3, 0, 1, 2, 3]);
        assert_eq!(neighbours(8, 9), [6, 7, 8, 5, 4]);
        assert_eq!(neighbours(7, 9), [5, 6, 7, 8, 5]);
        for frames in [1, 3] {
            assert!((0..frames).all(|p| neighbours(p, frames).iter().all(|&n| n < frames)));
        }
    }
}
