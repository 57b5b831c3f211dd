//! Pictures and tensors: pixel formats, resizing, padding.

mod band;
mod chroma;
pub mod colour;
pub mod enlarge;
mod format;
pub mod pad;
mod plane;
pub mod resize;
pub mod scene;
