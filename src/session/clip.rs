//! What a session remembers of the clip it is in, and a window's view of it.

use super::{density::ReducedMatching, handover::Coming, unseen::Unseen, watch::Watch};
use crate::{
    Error, Result,
    net::{
        flow::Pyramid,
        footage::Footage,
        found::Found,
        refvsr::{
            edvr::{FRAMES, Levels},
            refill::Schedule,
        },
        registered::Followers,
        state::{Joined, Motion, State},
    },
};
use std::collections::VecDeque;
use tch::Tensor;

/// A key frame's features (RefVSR-IR), and the numbers of the frames they are made of.
pub type Refill = ([usize; FRAMES], Tensor);

/// All state of a clip; a reset replaces it.
#[derive(Debug, Default)]
pub struct Clip {
    /// Consecutive frames that a window may still need, oldest first.
    pub frames: VecDeque<ClipFrame>,
    /// Frames no longer held: the number of `frames[0]`.
    pub gone: usize,
    /// Frames sent.
    pub sent: usize,
    /// Frames received.
    pub received: usize,
    pub drained: bool,
    /// Pyramid of the frame that went out last.
    pub former: Option<Pyramid>,
    /// What that frame's references said of it.
    pub shown: Option<Shown>,
    /// A frame was left out: the next ones may be too, and are not worked on beforehand.
    pub left_out: bool,
    /// The forward branch, as the last output left it.
    pub forward: Option<State>,
    /// The run that takes over from that.
    pub coming: Option<Coming>,
    /// What the outputs say of that branch.
    pub watch: Watch,
    /// A run that began at the last output, to be compared with the one that goes on.
    pub trial: Option<State>,
    /// The backward branch at the coming outputs that shared a run of it, the next one's first.
    pub backward: VecDeque<Joined>,
    /// The next window's key frames.
    pub schedule: Schedule,
    /// The last window's key frames' features.
    pub refills: Vec<Refill>,
    /// The reference cameras of the registered variant, as the frame that went out last left them.
    pub followers: Option<Followers>,
    /// How frames are matched, where not at full density.
    pub reduced_matching: Option<ReducedMatching>,
    /// What it is taken for, from its first frame on.
    pub footage: Option<Footage>,
    /// The first reference camera that cannot be found.
    pub unseen: Option<Unseen>,
    /// Height and width of the frames as they were sent.
    pub size: Option<(i64, i64)>,
}

/// A frame and what depends on it, or on it and a neighbour, alone.
#[derive(Debug)]
pub struct ClipFrame {
    /// Padded.
    pub lr: Tensor,
    /// What the references say of it.
    pub reference: Found,
    /// Its references, padded, until they are matched or registered.
    pub waiting: Option<References>,
    /// The reference cameras as this frame leaves them, where it was registered and has not come out yet.
    pub followers: Option<Followers>,
    pub pyramid: Option<Pyramid>,
    /// EDVR pyramid of this frame; only RefVSR-IR has one.
    pub levels: Option<Levels>,
    /// From this frame to the one before.
    pub to_previous: Option<Motion>,
    /// From this frame to the one after.
    pub to_next: Option<Motion>,
    /// Flow from this frame to itself. Windows repeat a clip's first and last frame, and SPyNet does not
    /// answer exactly zero for equal frames.
    pub to_itself: Option<Motion>,
}

/// The frames of the wide and the tele camera.
#[derive(Debug)]
pub struct References {
    pub wide: Option<Tensor>,
    pub tele: Option<Tensor>,
    /// They are matched in blocks of so many positions a side.
    pub step: usize,
}

impl References {
    pub fn all(&self) -> Vec<&Tensor> {
        self.wide.iter().chain(&self.tele).collect()
    }
}

/// A frame that went out.
#[derive(Debug)]
pub struct Shown {
    pub lr: Tensor,
    pub reference: Found,
}

impl Clip {
    /// The frame of this number, which must be held.
    pub fn frame(&self, number: usize) -> &ClipFrame {
        &self.frames[number - self.gone]
    }

    /// The same, to be changed.
    pub fn frame_mut(&mut self, number: usize) -> &mut ClipFrame {
        &mut self.frames[number - self.gone]
    }

    /// The frame that went out last, and what its references said of it.
    pub fn shown(&self) -> Option<(&Tensor, &Found)> {
        let number = self.received.checked_sub(1)?;
        let held = number.checked_sub(self.gone);
        match held.and_then(|index| self.frames.get(index)) {
            Some(frame) => Some((&frame.lr, &frame.reference)),
            None => self
                .shown
                .as_ref()
                .map(|shown| (&shown.lr, &shown.reference)),
        }
    }

    /// Takes the next output's frame out of the clip, as if it had not been filmed.
    pub fn leave_out(&mut self) {
        let index = self.received - self.gone;
        let frame = self.frames.remove(index);
        // What was found of the cameras, in work that was given up, is true all the same.
        if let Some(followers) = frame.and_then(|frame| frame.followers) {
            self.followers = Some(followers);
        }
        self.sent -= 1;
        if let Some(after) = self.frames.get_mut(index) {
            after.to_previous = None;
        }
        if let Some(before) = index.checked_sub(1).and_then(|i| self.frames.get_mut(i)) {
            before.to_next = None;
        }
        self.backward.pop_front();
        self.refills.clear();
        self.left_out = true;
    }

    /// What is known of the reference cameras, and what it becomes with frames that wait.
    pub fn all_followers(&mut self) -> impl Iterator<Item = &mut Followers> {
        let waiting = self.frames.iter_mut().filter_map(|f| f.followers.as_mut());
        self.followers.iter_mut().chain(waiting)
    }

    /// The features made of these frames, where the last window had them.
    pub fn refill(&self, frames: [usize; FRAMES]) -> Option<&Tensor> {
        self.refills
            .iter()
            .find(|(of, _)| *of == frames)
            .map(|(_, features)| features)
    }

    /// The window about frame `n`.
    pub fn window(&self, n: usize, look_ahead: usize) -> Window<'_> {
        Window {
            clip: self,
            n,
            m: look_ahead,
        }
    }

    /// Bytes of all tensors held.
    pub fn bytes(&self) -> usize {
        let frames = self.frames.iter().flat_map(|frame| {
            let motions = [&frame.to_previous, &frame.to_next, &frame.to_itself];
            let motions = motions.into_iter().flatten().flat_map(Motion::tensors);
            let levels = frame.levels.iter().flat_map(Levels::tensors);
            let waiting = frame.waiting.iter().flat_map(References::all);
            std::iter::once(&frame.lr)
                .chain(frame.reference.tensors())
                .chain(waiting)
                .chain(frame.pyramid.iter().flat_map(Pyramid::tensors))
                .chain(motions)
                .chain(levels)
                .chain(frame.followers.iter().flat_map(Followers::tensors))
        });
        let shown = self.shown.iter();
        let shown =
            shown.flat_map(|shown| std::iter::once(&shown.lr).chain(shown.reference.tensors()));
        let branches = self
            .former
            .iter()
            .flat_map(Pyramid::tensors)
            .chain(shown)
            .chain(self.forward.iter().flat_map(State::tensors))
            .chain(self.coming.iter().flat_map(|coming| coming.state.tensors()))
            .chain(self.trial.iter().flat_map(State::tensors))
            .chain(self.backward.iter().flat_map(Joined::tensors));
        let followers = self.followers.iter().flat_map(Followers::tensors);
        let refills = self.refills.iter().map(|(_, features)| features);
        frames
            .chain(branches)
            .chain(refills)
            .chain(followers)
            .map(|t| t.numel() * t.kind().elt_size_in_bytes())
            .sum()
    }
}

/// The frames about one, by their position: 2m + 1 of them, or more where several outputs share a backward
/// run. Positions outside the clip are clamped to its first or last frame.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    clip: &'a Clip,
    n: usize,
    m: usize,
}

impl<'a> Window<'a> {
    pub fn frames(self) -> usize {
        2 * self.m + 1
    }

    /// The centre's position.
    pub fn centre(self) -> usize {
        self.m
    }

    /// The first position within the clip.
    pub fn first_within(self) -> usize {
        self.m.saturating_sub(self.n)
    }

    /// The position behind the clip's last frame, as far as it has come.
    pub fn end_within(self) -> usize {
        self.clip.sent + self.m - self.n
    }

    /// The number in the clip of the frame at a position.
    pub fn number(self, position: usize) -> usize {
        (self.n + position)
            .saturating_sub(self.m)
            .min(self.clip.sent.saturating_sub(1))
    }

    pub fn frame(self, position: usize) -> &'a ClipFrame {
        self.clip.frame(self.number(position))
    }

    /// From the frame at a position to the one at the next.
    pub fn to_next(self, position: usize) -> Result<&'a Motion> {
        let frame = self.frame(position);
        found(if self.number(position) == self.number(position + 1) {
            &frame.to_itself
        } else {
            &frame.to_next
        })
    }

    /// From the frame at a position, which is not the first, to the one at the position before.
    pub fn to_previous(self, position: usize) -> Result<&'a Motion> {
        self.back(position, self.number(position - 1))
    }

    /// From the frame at a position to the one at the same position of the window before this.
    pub fn to_former(self, position: usize) -> Result<&'a Motion> {
        self.back(
            position,
            Window {
                n: self.n.saturating_sub(1),
                ..self
            }
            .number(position),
        )
    }

    fn back(self, position: usize, number: usize) -> Result<&'a Motion> {
        let frame = self.frame(position);
        found(if self.number(position) == number {
            &frame.to_itself
        } else {
            &frame.to_previous
        })
    }
}

/// Something that must have been computed when its frame came.
pub fn found<T>(value: &Option<T>) -> Result<&T> {
    value
        .as_ref()
        .ok_or_else(|| Error::Broken("a step of a session without its predecessor".into()))
}
