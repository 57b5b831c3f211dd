//! What the cameras saw at one moment, what is known of them, and what a frame's references add to it.

use super::{
    fusion::Detail,
    registration::{Follower, Zooms},
};
use crate::{
    Result,
    layout::size,
    net::layers::{ops::zeros, rectangle::crop},
};
use tch::Tensor;

/// Pixels of references an ultra-wide pixel, in each direction: the wide camera's are fused after
/// the first enlargement, the tele camera's after the second.
pub const WIDE_DENSITY: i64 = 2;
/// See [`WIDE_DENSITY`].
pub const TELE_DENSITY: i64 = 4;

/// What the three cameras saw at one moment of a window. Frames are RGB in \[0, 1\].
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The frame to enlarge, `[1, 3, h, w]`.
    pub ultrawide: &'a Tensor,
    /// The wide camera's frame, `[1, 3, H, W]` of any size.
    pub wide: Option<&'a Tensor>,
    /// The tele camera's frame, the same.
    pub tele: Option<&'a Tensor>,
}

/// What is known of both reference cameras at a point of a clip.
#[derive(Debug)]
pub struct Followers {
    /// Of the wide camera.
    pub wide: Follower,
    /// Of the tele camera.
    pub tele: Follower,
}

impl Followers {
    /// At a clip's start.
    pub fn new(wide: Zooms, tele: Zooms) -> Self {
        Self {
            wide: Follower::new(wide, WIDE_DENSITY),
            tele: Follower::new(tele, TELE_DENSITY),
        }
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.wide.tensors().chain(self.tele.tensors())
    }

    /// The same with all that is known, see [`Follower::read`].
    ///
    /// # Errors
    /// [`Error::Torch`] where the device fails.
    pub fn read(&self) -> Result<Self> {
        Ok(Self {
            wide: self.wide.read()?,
            tele: self.tele.read()?,
        })
    }

    /// The same once more.
    pub fn shallow_clone(&self) -> Self {
        Self {
            wide: self.wide.shallow_clone(),
            tele: self.tele.shallow_clone(),
        }
    }
}

/// What a frame's references add to it. A function of that frame, its references and what was known
/// of the cameras before.
#[derive(Debug, Default)]
pub struct Details {
    /// Of the wide camera, where it was found. Where its picture does not hold, its mask is 0.
    pub wide: Option<Detail>,
    /// Of the tele camera.
    pub tele: Option<Detail>,
}

impl Details {
    /// The part in `rows` rows of the frame from `first` on, as details of those rows alone.
    pub(super) fn in_rows(&self, first: i64, rows: i64) -> Result<Self> {
        let part = |detail: &Option<Detail>| match detail {
            Some(detail) => detail.in_rows(first, rows),
            None => Ok(None),
        };
        Ok(Self {
            wide: part(&self.wide)?,
            tele: part(&self.tele)?,
        })
    }

    /// How alike each pixel of a frame `[1, 3, h, w]` is to what its references show there, `[1, 1, h,
    /// w]`: the highest local correlation, 0 outside of their fields.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn confidence(&self, frame: &Tensor) -> Result<Tensor> {
        let (h, w) = size(frame);
        let map = zeros([1, 1, h, w], frame.kind(), frame.device())?;
        for detail in self.wide.iter().chain(&self.tele) {
            let mut part = crop(&map, detail.field)?;
            part.f_copy_(&part.f_maximum(&detail.correlation()?)?)?;
        }
        Ok(map)
    }

    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.wide
            .iter()
            .chain(&self.tele)
            .map(|detail| &detail.input)
    }
}
