//! What a session answers when it is asked for a frame.

use crate::Result;

/// What [`Session::receive`](crate::Session::receive) and its like give: a frame, or why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Received<T> {
    /// The next frame in order.
    Frame(T),
    /// No frame is ready before more are sent, or the session is drained.
    NeedsMore,
    /// The session was drained and every frame has come out.
    Ended,
}

impl<T> Received<T> {
    /// The frame, where there is one.
    pub fn frame(self) -> Option<T> {
        match self {
            Self::Frame(frame) => Some(frame),
            Self::NeedsMore | Self::Ended => None,
        }
    }

    /// Whether there is a frame.
    pub fn is_frame(&self) -> bool {
        matches!(self, Self::Frame(_))
    }

    /// The same with something else made of the frame.
    pub fn map<U>(self, made: impl FnOnce(T) -> U) -> Received<U> {
        match self {
            Self::Frame(frame) => Received::Frame(made(frame)),
            Self::NeedsMore => Received::NeedsMore,
            Self::Ended => Received::Ended,
        }
    }

    /// The same with what `made` makes of the frame, unless that fails.
    pub(super) fn try_map<U>(self, made: impl FnOnce(T) -> Result<U>) -> Result<Received<U>> {
        Ok(match self {
            Self::Frame(frame) => Received::Frame(made(frame)?),
            Self::NeedsMore => Received::NeedsMore,
            Self::Ended => Received::Ended,
        })
    }
}
