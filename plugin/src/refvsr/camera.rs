//! The cameras, and one value for each of them.

use gst::prelude::*;
use std::ops::{Index, IndexMut};

/// A camera; each has a sink pad of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Camera {
    UltraWide,
    Wide,
    Tele,
}

impl Camera {
    pub const ALL: [Self; 3] = [Self::UltraWide, Self::Wide, Self::Tele];
    /// The cameras that lend detail to the ultra-wide one.
    pub const REFERENCES: [Self; 2] = [Self::Wide, Self::Tele];

    /// The name of its pad.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UltraWide => "ultrawide",
            Self::Wide => "wide",
            Self::Tele => "tele",
        }
    }

    /// The camera of a sink pad.
    pub fn of(pad: &impl IsA<gst::Object>) -> Self {
        let name = pad.name();
        let camera = Self::ALL.into_iter().find(|camera| camera.name() == name);
        // The pads' names are those above; they cannot be given others.
        camera.unwrap_or(Self::Tele)
    }
}

/// One value for each camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PerCamera<T>([T; 3]);

impl<T> Index<Camera> for PerCamera<T> {
    type Output = T;

    fn index(&self, camera: Camera) -> &T {
        &self.0[camera as usize]
    }
}

impl<T> IndexMut<Camera> for PerCamera<T> {
    fn index_mut(&mut self, camera: Camera) -> &mut T {
        &mut self.0[camera as usize]
    }
}
