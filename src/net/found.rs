//! What a frame's references have to say about it.

use super::{refvsr::propagation::Reference, registered::Details};
use crate::Result;
use tch::Tensor;

/// What the references have to say about one frame.
#[derive(Debug)]
pub(crate) enum Found {
    /// Matched and aligned: RefVSR.
    Matched(Reference),
    /// Registered: the registered variant.
    Registered(Details),
}

impl Found {
    /// The matching's confidence, where there was one.
    pub(crate) fn confidence(&self) -> Option<&Tensor> {
        match self {
            Self::Matched(reference) => Some(reference.confidence()),
            Self::Registered(_) => None,
        }
    }

    /// How alike each pixel of the frame `[1, 3, h, w]` is to what its references show, `[1, 1, h, w]`.
    pub(crate) fn confidence_map(&self, frame: &Tensor) -> Result<Tensor> {
        match self {
            Self::Matched(reference) => Ok(reference.confidence().shallow_clone()),
            Self::Registered(details) => details.confidence(frame),
        }
    }

    pub(crate) fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Matched(reference) => reference.tensors().collect(),
            Self::Registered(details) => details.tensors().collect(),
        }
    }
}
